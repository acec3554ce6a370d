import { spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { setMtimeNs } from "../../../src/base/posix.ts";
import { parseUidSet } from "../../../src/restore/options.ts";
import { findHolder } from "../../../src/restore/running-cyrus.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { compareTrees, readTree, type Tree } from "../../support/tree-compare.ts";
import {
  asOrdinaryUser,
  backUp,
  comparable,
  makeServer,
  messageFiles,
  restoreTo,
  type Stored,
  timeOf,
} from "./restore-fixture.ts";

let made: TempDir;
let server: string;
let stored: Stored;
let tree: Tree;
let dir: TempDir;
let target: string;
/** Of the restored server. */
let restored: string;

beforeAll(async () => {
  made = tempDir();
  server = made.in("server");
  makeServer(server);
  symlinkSync("imapd.conf", join(server, "conf/a-link"));
  tree = readTree(server);
  stored = await backUp(server);
});

afterAll(() => made.remove());

beforeEach(() => {
  dir = tempDir();
  target = dir.in("target");
  restored = join(target, server);
  return () => dir.remove();
});

const differences = () => compareTrees(tree, readTree(restored), comparable);

/** Files that are taken away before a restore. */
function mailboxesAndSieve(): number {
  const inSieve = [...tree].filter(([path, { type }]) => path.startsWith("sieve/") && type === "file");
  return 1 + inSieve.length;
}

function someMessage(): string {
  const [first = ""] = messageFiles(server);
  return join(target, first);
}

test("a place that is not empty is refused, and nothing is written", async () => {
  mkdirSync(join(restored, "spool"), { recursive: true });
  writeFileSync(join(restored, "spool/mine"), "mine");
  const before = readTree(target);
  await expect(restoreTo(target, stored)).rejects.toMatchObject({
    code: "TARGET_REFUSED",
    message: expect.stringContaining("spool is not empty"),
  });
  expect(compareTrees(before, readTree(target))).toEqual([]);
});

test("empty directories, and what a new filesystem has in it, are in nobody's way", async () => {
  mkdirSync(join(restored, "spool/lost+found"), { recursive: true });
  mkdirSync(join(restored, "conf"));
  await restoreTo(target, stored);
  expect(differences()).toEqual(["spool/lost+found: was not there"]);
});

test("a configuration that is there and differs is refused before anything is written, the same one is not", async () => {
  mkdirSync(join(restored, "etc"), { recursive: true });
  const config = join(restored, "etc/imapd.conf");
  const bytes = readFileSync(join(server, "etc/imapd.conf"));
  writeFileSync(config, Buffer.concat([bytes.subarray(1), Buffer.from("#")]));
  await expect(restoreTo(target, stored)).rejects.toMatchObject({
    code: "TARGET_REFUSED",
    message: expect.stringContaining("imapd.conf"),
  });
  expect(readdirSync(restored)).toEqual(["etc"]);
  writeFileSync(config, bytes);
  await restoreTo(target, stored);
  expect(differences()).toEqual([]);
});

test("a part is refused too where one of its files is, and nothing is written", async () => {
  const mailboxes = [fromText("user.*")];
  await restoreTo(target, stored, { mailboxes });
  rmSync(someMessage());
  const before = readTree(target);
  await expect(restoreTo(target, stored, { mailboxes })).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  await expect(
    restoreTo(target, stored, { only: [{ part: "partition", name: fromText("default") }] }),
  ).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  expect(compareTrees(before, readTree(target))).toEqual([]);
});

test("a message that is there is refused too when only messages are asked for", async () => {
  const options = { mailboxes: [fromText("user.*")], uids: parseUidSet("1:*") };
  await restoreTo(target, stored, options);
  const before = readTree(target);
  await expect(restoreTo(target, stored, options)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  expect(compareTrees(before, readTree(target))).toEqual([]);
});

test("never: what is there stays, whatever it is, and what is missing comes", async () => {
  const first = await restoreTo(target, stored);
  expect(first.outcomes).toEqual({ written: first.messages + first.files, replaced: 0, same: 0, kept: 0 });
  const message = someMessage();
  writeFileSync(message, "changed by somebody");
  rmSync(join(restored, "conf/mailboxes.db"));
  rmSync(join(restored, "sieve"), { recursive: true });
  rmSync(join(restored, "conf/a-link"));
  writeFileSync(join(restored, "conf/a-link"), "a file now");
  chmodSync(join(restored, "spool"), 0o711);
  const result = await restoreTo(target, stored, { overwrite: "never" });
  expect(readFileSync(message, "utf8")).toBe("changed by somebody");
  expect(readFileSync(join(restored, "conf/a-link"), "utf8")).toBe("a file now");
  expect(readTree(restored).get("spool")?.mode).toBe(0o711);
  const kept = [message.slice(target.length), join(server, "conf/a-link")];
  const whole = first.messages + first.files;
  expect(result.outcomes).toMatchObject({ written: mailboxesAndSieve(), replaced: 0, kept: 1 });
  expect(result.outcomes.same).toBe(whole - 1 - result.outcomes.written);
  expect(result.findings.map(({ code, path }) => [code, path]).sort()).toEqual(
    kept.map((path) => ["differs-kept", path]).sort(),
  );
  const left = differences().filter((line) => !/^(spool|conf): |: mtime is/.test(line));
  const paths = new Set(left.map((line) => join(server, line.split(":")[0] ?? "")));
  expect([...paths].sort()).toEqual(kept.sort());
});

test("if-different: what differs becomes what the backup has, the rest gets its times back", async () => {
  await restoreTo(target, stored);
  const [first = "", second = "", third = "", fourth = ""] = messageFiles(server).map((path) =>
    join(target, path),
  );
  const sameInode = readTree(restored).get(fourth.slice(restored.length + 1))?.inode;
  writeFileSync(first, "shorter");
  appendFileSync(second, "longer");
  const bytes = readFileSync(third);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(third, bytes);
  setMtimeNs(fromText(fourth), 5n);
  chmodSync(fourth, 0o777);
  rmSync(join(restored, "conf/a-link"));
  symlinkSync("elsewhere", join(restored, "conf/a-link"));
  rmSync(join(restored, "conf/mailboxes.db"));
  symlinkSync("/etc/hostname", join(restored, "conf/mailboxes.db"));
  const { messages, files, outcomes } = await restoreTo(target, stored, { overwrite: "if-different" });
  expect(outcomes).toEqual({ written: 0, replaced: 4, same: messages + files - 4, kept: 0 });
  expect(differences()).toEqual([]);
  expect(readTree(restored).get(fourth.slice(restored.length + 1))?.inode).toBe(sameInode);
});

test("a directory where a file must be, and the reverse, are refused and stay", async () => {
  await restoreTo(target, stored);
  const message = someMessage();
  rmSync(message);
  mkdirSync(join(message, "inner"), { recursive: true });
  await expect(restoreTo(target, stored, { overwrite: "if-different" })).rejects.toMatchObject({
    code: "TARGET_REFUSED",
    message: expect.stringContaining("is a directory"),
  });
  expect(existsSync(join(message, "inner"))).toBe(true);

  const mailbox = join(message, "..");
  rmSync(mailbox, { recursive: true });
  writeFileSync(mailbox, "a file");
  await expect(restoreTo(target, stored, { overwrite: "if-different" })).rejects.toMatchObject({
    code: "TARGET_REFUSED",
    message: expect.stringContaining("no directory"),
  });
  expect(readFileSync(mailbox, "utf8")).toBe("a file");
});

test("a root that is a file is refused", async () => {
  mkdirSync(restored, { recursive: true });
  writeFileSync(join(restored, "spool"), "a file");
  await expect(restoreTo(target, stored)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  await expect(restoreTo(join(restored, "spool/below"), stored)).rejects.toMatchObject({
    code: "TARGET_REFUSED",
  });
  expect(readdirSync(restored)).toEqual(["spool"]);
});

test("a symlink on the way to a root is followed within the target, and shown", async () => {
  mkdirSync(restored, { recursive: true });
  mkdirSync(join(target, "big-disk"));
  symlinkSync(join(target, "big-disk"), join(restored, "spool"));
  await restoreTo(target, stored);
  const ignore = (path: string) => path.startsWith("stage.");
  const spool = new Map(
    [...tree].filter(([path]) => path.startsWith("spool/")).map(([p, e]) => [p.slice(6), e]),
  );
  expect(
    compareTrees(spool, readTree(join(target, "big-disk")), { ignore }).filter(
      (line) => !line.startsWith(".: "),
    ),
  ).toEqual([]);
});

test("a symlink that leads out of the target, or to nothing, is refused", async () => {
  mkdirSync(restored, { recursive: true });
  mkdirSync(dir.in("outside"));
  for (const to of [dir.in("outside"), dir.in("nowhere")]) {
    rmSync(join(restored, "spool"), { force: true });
    symlinkSync(to, join(restored, "spool"));
    await expect(restoreTo(target, stored)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
  }
  expect(readdirSync(restored)).toEqual(["spool"]);
  expect(readdirSync(dir.in("outside"))).toEqual([]);
});

test("the target itself may be reached through a symlink", async () => {
  mkdirSync(dir.in("real"));
  symlinkSync("real", target);
  await restoreTo(target, stored);
  expect(differences()).toEqual([]);
});

test("a target that a running program uses is refused", async () => {
  mkdirSync(join(restored, "conf"), { recursive: true });
  const open = join(restored, "conf/socket");
  const program =
    "require('fs').openSync(process.argv[1], 'w'); console.log('open'); setInterval(() => {}, 1000)";
  const child = spawn(process.execPath, ["-e", program, open], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await expect(restoreTo(target, stored, { overwrite: "if-different" })).rejects.toMatchObject({
      code: "TARGET_REFUSED",
      message: expect.stringContaining(`process ${child.pid}`),
    });
    expect(readdirSync(restored)).toEqual(["conf"]);
    expect(findHolder([fromText(dir.in("other"))])).toBeUndefined();
  } finally {
    child.kill();
  }
});

test("processes that cannot be looked into are passed over", () => {
  const proc = dir.in("proc");
  for (const name of ["1", "self", "22"]) mkdirSync(join(proc, name), { recursive: true });
  mkdirSync(join(proc, "22/fd"));
  symlinkSync("/spool/a/cyrus.index", join(proc, "22/fd/7"));
  symlinkSync("socket:[123]", join(proc, "22/fd/8"));
  writeFileSync(join(proc, "22/fd/9"), "no link");
  expect(findHolder([fromText("/spool")], proc)).toEqual({
    pid: 22,
    command: "?",
    path: "/spool/a/cyrus.index",
  });
  expect(findHolder([fromText("/spool2")], proc)).toBeUndefined();
  expect(findHolder([fromText("/spool")], join(proc, "none"))).toBeUndefined();
});

test("an interrupted restore is continued, and what it had half-written is replaced", async () => {
  const stop = new AbortController();
  let items = 0;
  const progress = {
    beginPhase: () => {},
    add: () => {
      if (++items === 20) stop.abort(new Error("stopped"));
    },
  };
  await expect(
    restoreTo(target, stored, {}, { signal: stop.signal, progress: progress as never }),
  ).rejects.toThrow("stopped");
  expect(existsSync(join(target, ".cyrvault-restore"))).toBe(true);
  const files = [...readTree(restored)].filter(
    ([path, { type }]) => type === "file" && path.startsWith("conf/"),
  );
  expect(files.length).toBeGreaterThan(0);
  for (const [path] of files.slice(0, 3)) writeFileSync(join(restored, path), "ha");

  const result = await restoreTo(target, stored);

  expect(differences()).toEqual([]);
  expect(result.findings).toEqual([]);
  expect(existsSync(join(target, ".cyrvault-restore"))).toBe(false);
});

test("an interrupted restore of a part is continued, and its directories get their modes", async () => {
  const stop = new AbortController();
  const progress = { beginPhase: () => {}, add: () => stop.abort(new Error("stopped")) };
  const mailboxes = [fromText("user.*")];
  await expect(
    restoreTo(target, stored, { mailboxes }, { signal: stop.signal, progress: progress as never }),
  ).rejects.toThrow("stopped");
  await restoreTo(target, stored, { mailboxes });
  for (const [path, { type, mode, mtimeNs }] of readTree(restored))
    if (type === "directory" && path !== ".")
      expect({ path, mode, mtimeNs }).toEqual({
        path,
        mode: tree.get(path)?.mode,
        mtimeNs: tree.get(path)?.mtimeNs,
      });
});

test("another backup's interrupted restore is not continued", async () => {
  mkdirSync(join(restored, "spool/x"), { recursive: true });
  writeFileSync(join(target, ".cyrvault-restore"), "20200101T000000Z-00000000\n");
  await expect(restoreTo(target, stored)).rejects.toMatchObject({ code: "TARGET_REFUSED" });
});

test("a target that may not be written is an error, and stays empty", async () => {
  mkdirSync(target);
  chmodSync(dir.path, 0o755);
  await asOrdinaryUser(target, async () => {
    chmodSync(target, 0o555);
    await expect(restoreTo(target, stored)).rejects.toMatchObject({ code: "IO" });
  });
  expect(readdirSync(target)).toEqual([]);
});

test("a file's time is set although it is the same already", async () => {
  await restoreTo(target, stored);
  const message = someMessage();
  const time = timeOf(message);
  setMtimeNs(fromText(message), 1n);
  await restoreTo(target, stored, { overwrite: "if-different" });
  expect(timeOf(message)).toBe(time);
});
