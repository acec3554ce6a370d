/** docs/formats/reader.py knows the format from its documents only: what it restores is what `cyrvault restore` restores. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { fromText } from "../../src/base/byte-string.ts";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import type { SampleServer } from "../../src/sample/sample-server.ts";
import { type BackupResult, runJson } from "../support/cli.ts";
import { describeWithPython, PYTHON } from "../support/describe-with-python.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { type Comparison, compareTrees, readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";
import {
  type Claims,
  directory,
  file,
  HostileRepository,
  mailboxDirectory,
  symlink,
} from "../unit/restore/hostile-fixture.ts";

const SPOOL = directory("/spool");
const READER = join(import.meta.dirname, "../../docs/formats/reader.py");
const PASSWORD = "pässword";
/** No UTF-8, and a backslash where it could be taken for an escape. */
const ODD_NAME = "/elsewhere-\xe4\\xe4/\xff\\file";

/** With what it opens, too. */
type Env = Readonly<Record<string, string>> & { readonly CYRVAULT_REPO: string };

const KINDS: readonly (readonly [kind: string, isEncrypted: boolean])[] = [
  ["encrypted", true],
  ["unencrypted", false],
];

describeWithPython("a reader written from the documents", () => {
  let workspace: string;
  let server: SampleServer;

  beforeEach(() => {
    workspace = makeWorkspace();
    server = generateServer(join(workspace, "server"), { messages: 400, users: 2, linkedShare: 0.4 });
    addOddPlaces(server);
  });

  test.each(KINDS)("restores both days of an %s repository as cyrvault does", async (_, isEncrypted) => {
    const env = await twoDays(isEncrypted ? sealedRepository(workspace) : unsealed());
    const listed = reader(["list"], env);
    expect(listed.stderr).toBe("");
    const lines = listed.stdout.trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(reader(["check"], env)).toMatchObject({ status: 0, stderr: "" });
    for (const line of lines) {
      const backup = line.split(" ")[0] ?? "";
      const [theirs, ours] = [join(workspace, `${backup}-reader`), join(workspace, `${backup}-cyrvault`)];
      const { messages, mailboxes, files } = await runJson<{
        messages: number;
        mailboxes: number;
        files: number;
      }>(["restore", backup, "--target", ours], { env });
      expect(line).toContain(`${mailboxes} mailboxes, ${messages} messages, ${files} files`);
      expect(reader(["mailboxes", backup], env).stdout.trim().split("\n")).toHaveLength(mailboxes);
      const restored = reader(["restore", backup, theirs], env);
      expect(restored).toMatchObject({ status: 0, stderr: "" });
      expect(restored.stdout.trim().split(", ").sort()).toEqual(
        [`${files} files`, `${mailboxes} mailboxes`, `${messages} messages`].sort(),
      );
      const tree = readTree(ours);
      expect(compareTrees(tree, readTree(theirs), comparison())).toEqual([]);
      const inodes = [...tree.values()].filter(({ type }) => type === "file").map(({ inode }) => inode);
      expect(new Set(inodes).size, "there are hard links to compare").toBeLessThan(inodes.length);
      expect([...tree.values()].some(({ type }) => type === "symlink")).toBe(true);
      const isPaired = ([path, { sizeBytes }]: [string, { sizeBytes: number }]) =>
        path.endsWith("/cyrus.index") && sizeBytes > 8192;
      expect([...tree].some(isPaired), "there is an index that is stored in pairs").toBe(true);
      expect([...tree.keys()].filter((path) => path.endsWith(ODD_NAME))).toHaveLength(1);
    }
  });

  test("with no password or another one says so and restores nothing", async () => {
    const none = unsealed();
    await oneDay({ ...none, CYRVAULT_PASSWORD: PASSWORD });
    expect(reader(["list"], none)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("give a password"),
    });
    const other = reader(["list"], { ...none, CYRVAULT_PASSWORD: "password" });
    expect(other).toMatchObject({ status: 1, stdout: "", stderr: "reader.py: wrong password\n" });
    const file = join(workspace, "password");
    writeFileSync(file, `${PASSWORD.normalize("NFD")}\r\n`);
    expect(reader(["list"], { ...none, CYRVAULT_PASSWORD_FILE: file })).toMatchObject({
      status: 0,
      stderr: "",
    });
  });

  test("opens the sealed files that keys.md shows, with either key", () => {
    const document = readFileSync(join(import.meta.dirname, "../../docs/formats/keys.md"), "utf8");
    const shown = [...document.matchAll(/^```hex\n(.*?)^```$/gms)].map(([, text = ""]) =>
      text.replace(/;.*$|\s/gm, ""),
    );
    // After the key set, the ids and the unencrypted one.
    const [, , , byReader = "", byWriter = ""] = shown;
    const script = `
import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1])
import reader
repository = reader.Repository.__new__(reader.Repository)
repository.encrypted, repository.path = True, ""
repository.content_keys = {1: (bytes([3]) * 32, bytes([7]) * 32)}
for text in sys.argv[2:]:
    data = bytes.fromhex(text)
    reader.read_file = lambda path, limit: data
    print(repository.sealed_file(b"backup", "backups/one", 1000).decode())
`;
    const { stdout, stderr } = spawnSync(PYTHON, ["-c", script, dirname(READER), byReader, byWriter], {
      encoding: "utf8",
    });
    expect({ stdout, stderr }).toEqual({ stdout: "hello\nhello\n", stderr: "" });
  });

  test("opens with a key file, and with a key typed from paper when keys/ is gone", async () => {
    const none = unsealed();
    const env = await oneDay({ ...none, CYRVAULT_PASSWORD: PASSWORD });
    const [keyFile, paper] = [join(workspace, "key"), join(workspace, "paper")];
    await runJson(["key", "add", "--new-key-file", keyFile], { env });
    const { lines } = await runJson<{ lines: readonly string[] }>(["key", "export"], { env });
    writeFileSync(paper, lines.join("\r\n").toLowerCase());
    const expected = reader(["list"], env);
    expect(expected).toMatchObject({ status: 0, stderr: "" });
    expect(reader(["list"], { ...none, CYRVAULT_KEY_FILE: keyFile })).toEqual(expected);
    rmSync(join(env.CYRVAULT_REPO, "keys"), { recursive: true });
    const fromPaper = { ...none, CYRVAULT_KEY_FILE: paper };
    expect(reader(["list"], fromPaper)).toEqual(expected);
    expect(reader(["check"], fromPaper)).toMatchObject({ status: 0, stderr: "" });
  });

  test.each(KINDS)(
    "notices a flipped byte anywhere in a pack of an %s repository",
    async (_, isEncrypted) => {
      const env = await oneDay(isEncrypted ? sealedRepository(workspace) : unsealed());
      const packs = filesBelow(join(env.CYRVAULT_REPO, "packs"));
      expect(packs.length).toBeGreaterThan(1);
      for (const pack of packs) {
        const whole = readFileSync(pack);
        for (const at of [20, Math.floor(whole.length / 2), whole.length - 100, whole.length - 20]) {
          const damaged = Buffer.from(whole);
          damaged[at] = (damaged[at] ?? 0) ^ 1;
          writeFileSync(pack, damaged);
          const { status, stderr } = reader(["check"], env);
          expect({ at, status }).toEqual({ at, status: 1 });
          expect(stderr).toContain(pack.slice(-64));
        }
        writeFileSync(pack, whole);
      }
      expect(reader(["check"], env)).toMatchObject({ status: 0, stderr: "" });
    },
  );

  test.each<[string, Claims]>([
    ["a path with ..", { files: [SPOOL, file("/spool/../../canary/bird")] }],
    ["a relative path", { files: [file("canary/bird")] }],
    ["a path with two slashes", { files: [SPOOL, file("/spool//a")] }],
    [
      "a file below a symbolic link",
      { files: [SPOOL, symlink("/spool/a", "CANARY"), file("/spool/a/bird")] },
    ],
    [
      "a mailbox below a symbolic link",
      {
        files: [SPOOL, symlink("/spool/a", "CANARY")],
        mailboxes: [{ entry: { directories: [mailboxDirectory("/spool/a/inner")] } }],
      },
    ],
    ["a symbolic link twice", { files: [symlink("/spool", "CANARY")], mailboxes: [{ entry: {} }] }],
  ])("refuses %s and writes nowhere else", async (_, claims) => {
    const canary = join(workspace, "canary");
    mkdirSync(join(canary, "inner"), { recursive: true });
    writeFileSync(join(canary, "bird"), "sings");
    const before = readTree(canary);
    const files = claims.files?.map((entry) =>
      entry.target === undefined ? entry : { ...entry, target: fromText(canary) },
    );
    const hostile = await HostileRepository.make({ ...claims, ...(files === undefined ? {} : { files }) });
    const repository = join(workspace, "hostile");
    for (const [name, bytes] of hostile.files) {
      mkdirSync(dirname(join(repository, name)), { recursive: true });
      writeFileSync(join(repository, name), bytes);
    }
    const target = join(workspace, "target");
    const restored = reader(["restore", "latest", target], { CYRVAULT_REPO: repository });
    expect(restored).toMatchObject({ status: 1, stderr: expect.stringMatching(/^reader\.py: /) });
    expect(compareTrees(before, readTree(canary))).toEqual([]);
    expect(readdirSync(workspace).sort()).toEqual(["canary", "hostile", "server", "target"]);
  });

  function unsealed(): Env {
    return { CYRVAULT_REPO: join(workspace, "repository") };
  }

  async function twoDays(env: Env): Promise<Env> {
    await oneDay(env);
    advanceServer(server, { day: 1, share: 0.5 });
    const { parent } = await runJson<BackupResult>(backup(), { env });
    expect(parent).not.toBeNull();
    return env;
  }

  async function oneDay(env: Env): Promise<Env> {
    const isEncrypted = Object.keys(env).length > 1;
    await runJson(["init", ...(isEncrypted ? [] : ["--no-encryption"])], { env });
    await runJson<BackupResult>(backup(), { env });
    return env;
  }

  function backup(): string[] {
    return ["backup", "--config", server.configPath, "--server", "mail.example.org"];
  }

  /** What lies above a root is no part of a backup; the runbook is cyrvault's own. */
  function comparison(): Comparison {
    const above = `${join(workspace, "server", "etc")}/`.slice(1);
    return {
      ignore: (path) => path.startsWith("cyrvault-runbook-"),
      presenceOnly: (path) =>
        above.startsWith(`${path}/`) ||
        path.startsWith("cyrvault-mailbox-list-") ||
        [".", "etc", "etc/default", "etc/pam.d"].includes(path),
    };
  }
});

/** Names that are no UTF-8 and names with a backslash, also of a place that becomes a root of its own. */
function addOddPlaces(server: SampleServer): void {
  const directory = dirname(dirname(server.configPath));
  const file = Buffer.from(`${directory}${ODD_NAME}`, "latin1");
  const place = file.subarray(0, file.lastIndexOf("/"));
  mkdirSync(place);
  writeFileSync(file, "odd");
  symlinkSync(place, join(directory, "conf", "elsewhere"));
}

interface ReaderResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function reader(args: readonly string[], env: Env): ReaderResult {
  const { CYRVAULT_REPO, ...secret } = env;
  const { status, stdout, stderr } = spawnSync(PYTHON, [READER, CYRVAULT_REPO, ...args], {
    env: { ...secret, LC_ALL: "C.UTF-8", PYTHONDONTWRITEBYTECODE: "1" },
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}
