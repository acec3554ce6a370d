import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { setMtimeNs } from "../../../src/base/posix.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree } from "../../support/tree-compare.ts";
import {
  asOrdinaryUser,
  backUp,
  comparable,
  isRoot,
  makeServer,
  messageFiles,
  restoreTo,
  timeOf,
  unpackServer,
} from "./restore-fixture.ts";

test.each(["uuid", "legacy"] as const)(
  "a whole server with the %s layout comes back equal in every byte and attribute",
  async (layout) => {
    using dir = tempDir();
    const server = dir.in("server");
    makeServer(server, { layout });
    const [message = ""] = messageFiles(server);
    linkSync(message, join(message, "../900."));
    mkdirSync(join(server, "spool/empty/in-it"), { recursive: true });
    mkdirSync(join(server, "conf/msg"), { recursive: true });
    writeFileSync(join(server, "conf/odd-\xff-name"), "x".repeat(3000));
    writeFileSync(join(server, "conf/motd"), "");
    chmodSync(join(server, "conf/motd"), 0o640);
    linkSync(join(server, "conf/motd"), join(server, "conf/motd2"));
    symlinkSync("motd", join(server, "conf/to-motd"));
    symlinkSync("/nowhere/at/all", join(server, "sieve/dangling"));
    chmodSync(join(server, "spool/empty"), 0o2750);
    if (isRoot) {
      chownSync(message, 4321, 1234);
      chownSync(join(server, "spool/empty/in-it"), 77, 88);
    }
    setMtimeNs(fromText(message), 1_234_567_890_123_456_789n);
    setMtimeNs(fromText(join(server, "conf/motd")), -1n);
    setMtimeNs(fromText(join(server, "conf/to-motd")), 987_654_321_000_000_001n);
    setMtimeNs(fromText(join(server, "spool/empty/in-it")), 5n);
    const before = readTree(server);
    const stored = await backUp(server);

    const result = await restoreTo(dir.in("target"), stored);

    expect(result.findings).toEqual([]);
    expect(result.incomplete).toBe(false);
    expect(result.messages).toBe(stored.backup.messages.total);
    expect(compareTrees(before, readTree(join(dir.in("target"), server)), comparable)).toEqual([]);
  },
);

test("left-out directories come back empty, and nothing disposable comes back", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  mkdirSync(join(server, "conf/msg"), { recursive: true });
  const disposable = [
    "conf/lock/x.lock",
    "spool/stage./1-2-3",
    "conf/msg/shutdown",
    "conf/deliver.db",
    "conf/x.NEW",
  ];
  for (const name of disposable) writeFileSync(join(server, name), "of the running server");
  const stored = await backUp(server);

  await restoreTo(dir.in("target"), stored);

  const restored = join(dir.in("target"), server);
  for (const name of disposable) expect(existsSync(join(restored, name)), name).toBe(false);
  expect(readdirSync(join(restored, "conf/lock"))).toEqual([]);
  expect(readdirSync(join(restored, "spool/stage."))).toEqual([]);
});

test("a file that the user included comes back, and so does a directory", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  mkdirSync(dir.in("ssl/private"), { recursive: true });
  writeFileSync(dir.in("ssl/private/key.pem"), "a key");
  writeFileSync(dir.in("single"), "a file");
  const includes = [dir.in("ssl"), dir.in("single")].map(fromText);
  const stored = await backUp(server, new Map(), { includes });

  const result = await restoreTo(dir.in("target"), stored);

  expect(result.findings).toEqual([]);
  expect(compareTrees(readTree(dir.in("ssl")), readTree(join(dir.in("target"), dir.in("ssl"))))).toEqual([]);
  expect(statSync(join(dir.in("target"), dir.in("single"))).isFile()).toBe(true);
});

test("a backup of a store that Cyrus 3.6.1 has written comes back equal", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  unpackServer(server);
  const before = readTree(server);
  const stored = await backUp(server);

  const result = await restoreTo(dir.in("target"), stored);

  expect(result.incomplete).toBe(false);
  expect(result.messages).toBeGreaterThan(0);
  expect(compareTrees(before, readTree(join(dir.in("target"), server)), comparable)).toEqual([]);
});

test("a set-user-id bit does not come back, and is named; that of a directory does", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  writeFileSync(join(server, "conf/program"), "#!/bin/sh\n");
  chmodSync(join(server, "conf/program"), 0o6755);
  const [message = ""] = messageFiles(server);
  chmodSync(message, 0o4600);
  chmodSync(join(server, "conf"), 0o2755);
  const stored = await backUp(server);

  const result = await restoreTo(dir.in("target"), stored);

  const restored = join(dir.in("target"), server);
  expect(result.findings.map(({ code, path }) => [code, path])).toEqual([
    ["set-id-dropped", join(server, "conf/program")],
    ["set-id-dropped", message],
  ]);
  expect(lstatSync(join(restored, "conf/program")).mode & 0o7777).toBe(0o755);
  expect(lstatSync(join(dir.in("target"), message)).mode & 0o7777).toBe(0o600);
  expect(lstatSync(join(restored, "conf")).mode & 0o7777).toBe(0o2755);
});

test("with an owner given, everything belongs to them", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const owner = isRoot
    ? { uid: 4711, gid: 4712 }
    : { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  await restoreTo(dir.in("target"), await backUp(server), { owner });
  for (const [path, { uid, gid }] of readTree(join(dir.in("target"), server, "spool")))
    expect({ path, uid, gid }).toEqual({ path, ...owner });
});

test("owners are those of the same name, and a name that is not known here is a finding", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const stored = await backUp(server);
  const uid = statSync(join(server, "conf")).uid;
  const result = await restoreTo(dir.in("target"), stored, {}, {}, (root) => ({
    ...root,
    users: { [uid]: "nobody-of-that-name" },
  }));
  expect(result.findings.map(({ code }) => code)).toEqual(["owner-unknown"]);
  expect(statSync(join(dir.in("target"), server, "conf")).uid).toBe(uid);
});

test("an ordinary user gets everything but the owners, and is told so once", async () => {
  using dir = tempDir();
  chmodSync(dir.path, 0o755);
  const server = dir.in("server");
  makeServer(server);
  // Nobody but root can look into it: what lies in it must be finished first.
  if (isRoot) chmodSync(join(server, "spool"), 0o600);
  const before = readTree(server);
  const stored = await backUp(server);
  const { uid } = statSync(server);
  const isOfRoot = (root: ManifestRoot) => ({ ...root, users: { [uid]: "root" } });
  mkdirSync(dir.in("target"));

  const result = await asOrdinaryUser(dir.in("target"), () =>
    restoreTo(dir.in("target"), stored, {}, {}, isOfRoot),
  );

  expect(result.findings.map(({ code, severity }) => [code, severity])).toEqual([
    ["owner-not-set", "warning"],
  ]);
  expect(result.incomplete).toBe(false);
  const differences = compareTrees(before, readTree(join(dir.in("target"), server)), comparable);
  expect(differences.filter((line) => !/: owner is/.test(line))).toEqual([]);
});

test("nothing of ours stays in the target but the text mailbox list", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const stored = await backUp(server);
  await restoreTo(dir.in("target"), stored);
  // Configuration files of the machine itself may be among what comes back.
  const left = readdirSync(dir.in("target")).filter((name) => name.includes("cyrvault-") && name !== "tmp");
  expect(left).toEqual([`cyrvault-mailbox-list-${stored.backup.backup}.txt`]);
  const list = readFileSync(dir.in(`target/cyrvault-mailbox-list-${stored.backup.backup}.txt`), "utf8");
  expect(list.split("\n").filter((line) => line.includes("user."))).not.toEqual([]);
});

test("a directory's time is set after everything in it", async () => {
  using dir = tempDir();
  const server = dir.in("server");
  makeServer(server);
  const [message = ""] = messageFiles(server);
  rmSync(message);
  setMtimeNs(fromText(join(message, "..")), 42n);
  const stored = await backUp(server);
  await restoreTo(dir.in("target"), stored);
  expect(timeOf(join(dir.in("target"), message, ".."))).toBe(42n);
});
