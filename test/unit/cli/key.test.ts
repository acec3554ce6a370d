import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { initRepository } from "../../../src/store/repository.ts";
import { CHEAP } from "../store/repository-fixture.ts";
import { type FakeOptions, run } from "./fake-terminal.ts";

const FIRST = "the first password";
const SECOND = "the second password";
const ENV = { CYRVAULT_PASSWORD: FIRST };

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-key-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** With a first password that costs little to try. */
async function repository(): Promise<string> {
  const repo = join(place(), "r");
  const backend = await openBackend(repo);
  await initRepository(backend, { password: FIRST, scrypt: CHEAP });
  await backend.close();
  return repo;
}

async function json(
  argv: readonly string[],
  options: FakeOptions = { env: ENV },
): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await run([...argv, "--json"], options);
  expect({ code, stderr }, argv.join(" ")).toMatchObject({ code: 0 });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

describe("the key command", () => {
  test("adds, lists, changes and removes passwords and key files", async () => {
    const repo = await repository();
    const keyFile = join(place(), "cyrvault.key");
    const add = (env: Record<string, string>, ...rest: string[]) =>
      json(["key", "add", "--repo", repo, ...rest], { env: { ...ENV, ...env } });
    const [second] = await add({ CYRVAULT_NEW_PASSWORD: SECOND });
    const [again] = await add({ CYRVAULT_NEW_PASSWORD: SECOND });
    expect(again).toEqual({ ...second, added: false });
    const [file] = await add({}, "--new-key-file", keyFile);
    expect(statSync(keyFile)).toMatchObject({ size: 64 });
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    const listed = await json(["key", "list", "--repo", repo, "--key-file", keyFile], {});
    expect(listed.map(({ opensWith, inUse }) => `${opensWith} ${inUse}`).sort()).toEqual(
      ["key file true", "password false", "password false"].sort(),
    );

    const remove = ["key", "remove", "--repo", repo, String(second?.["key"])];
    const keys = () => readdirSync(join(repo, "keys")).length;
    const [planned] = await json([...remove, "--dry-run"]);
    expect(keys()).toBe(3);
    const [removed] = await json(remove);
    expect(removed).toEqual({ ...planned, dryRun: false });
    expect(keys()).toBe(2);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: SECOND } })).code).toBe(12);

    expect(await json(["key", "passwd", "--repo", repo, "--dry-run"])).toHaveLength(1);
    expect((await run(["list", "--repo", repo], { env: ENV })).code).toBe(0);
    const typed = await run(["key", "passwd", "--repo", repo], { env: ENV, typed: [SECOND, SECOND] });
    expect(typed.code).toBe(0);
    expect((await run(["list", "--repo", repo], { env: ENV })).code).toBe(12);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: SECOND } })).code).toBe(0);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_KEY_FILE: keyFile } })).code).toBe(0);
    expect(keys()).toBe(2);
    expect(file?.["added"]).toBe(true);
  });

  test("prints a key that opens the repository when keys/ is gone", async () => {
    const repo = await repository();
    const { stdout } = await run(["key", "export", "--repo", repo], { env: ENV });
    rmSync(join(repo, "keys"), { recursive: true });
    expect((await run(["list", "--repo", repo], { env: ENV })).code).toBe(1);
    const typed = join(place(), "typed");
    writeFileSync(typed, stdout.toLowerCase());
    expect((await run(["list", "--repo", repo, "--key-file", typed])).code).toBe(0);
    const added = await run(["key", "add", "--repo", repo, "--key-file", typed], {
      env: { CYRVAULT_NEW_PASSWORD: SECOND },
    });
    expect(added.code).toBe(0);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: SECOND } })).code).toBe(0);
    const wrong = stdout.replace(/^( 4: .)(.)/m, (_, start, letter) => start + (letter === "X" ? "Y" : "X"));
    writeFileSync(typed, wrong);
    const refused = await run(["list", "--repo", repo, "--key-file", typed]);
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("line 4 is not as it was printed"),
    });
  });

  test("answers with stable codes", async () => {
    const repo = await repository();
    const [own] = readdirSync(join(repo, "keys"));
    const code = async (args: readonly string[], env: Record<string, string> = ENV) => {
      const { code, stderr } = await run([...args, "--repo", repo, "--json"], { env });
      const { code: name } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "");
      return [code, name];
    };
    const short = join(place(), "short");
    writeFileSync(short, "x".repeat(31));
    const poor = join(place(), "poor");
    writeFileSync(poor, "x".repeat(64));
    expect(await code(["key", "list"], { CYRVAULT_PASSWORD: "wrong" })).toEqual([12, "PASSWORD_WRONG"]);
    expect(await code(["key", "list"], {})).toEqual([2, "PASSWORD_NEEDED"]);
    expect(await code(["key", "remove", "0123456789abcdef"])).toEqual([1, "KEY_NOT_FOUND"]);
    expect(await code(["key", "remove", own?.slice(0, 8) ?? ""])).toEqual([1, "KEY_NEEDED"]);
    expect(await code(["key", "remove"])).toEqual([2, "USAGE"]);
    expect(await code(["key", "add"])).toEqual([2, "USAGE"]);
    expect(await code(["key", "add", "--new-key-file", short])).toEqual([2, "USAGE"]);
    expect(await code(["key", "add", "--new-key-file", poor])).toEqual([2, "USAGE"]);
    expect(await code(["key", "add", "--new-key-file", poor, "--new-password-file", short])).toEqual([
      2,
      "USAGE",
    ]);
    expect(await code(["key", "list", "--key-file", poor, "--password-file", short])).toEqual([2, "USAGE"]);
    expect(await code(["key", "list", "--key-file", poor])).toEqual([12, "PASSWORD_WRONG"]);
    expect(readdirSync(join(repo, "keys"))).toEqual([own]);
  });

  test("shows no password in what it prints, in errors, or in the repository", async () => {
    const repo = await repository();
    const said: string[] = [];
    const say = async (args: readonly string[], options: FakeOptions) => {
      for (const verbose of [["--verbose"], ["--json", "--verbose"]]) {
        const { stdout, stderr } = await run([...args, "--repo", repo, ...verbose], options);
        said.push(stdout, stderr);
      }
    };
    const env = { ...ENV, CYRVAULT_NEW_PASSWORD: SECOND };
    await say(["key", "add"], { env });
    await say(["key", "list"], { env });
    await say(["list"], { env: { CYRVAULT_PASSWORD: "a wrong password" } });
    await say(["init"], { env });
    await say(["key", "passwd"], { env: ENV, typed: [SECOND, "another password"] });
    await say(["key", "remove", SECOND], { env });
    const named = said.filter((text) => /wrong password|another password|first password/.test(text));
    expect(named).toEqual([]);
    // What a person gives as the name of a key is repeated to that person, and to nobody else.
    expect(said.filter((text) => text.includes(SECOND)).length).toBe(2);
    for (const file of readdirSync(repo, { recursive: true, withFileTypes: true }))
      if (file.isFile()) {
        const bytes = readFileSync(join(file.parentPath, file.name), "latin1");
        for (const password of [FIRST, SECOND]) expect(bytes).not.toContain(password);
      }
  });
});

describe("a key that may only write", () => {
  test("is refused by every command that reads or deletes, by one code", async () => {
    const repo = await repository();
    const keyFile = join(place(), "mail-server.key");
    const [added] = await json(["key", "add", "--write-only", "--repo", repo, "--new-key-file", keyFile]);
    expect(added).toMatchObject({ added: true, writeOnly: true });
    const config = JSON.parse(readFileSync(join(repo, "cyrvault.json"), "utf8"));
    expect(config.features).toEqual({ read: [], write: ["write-only-keys"] });
    expect((await json(["key", "list", "--repo", repo])).map(({ writeOnly }) => writeOnly).sort()).toEqual([
      false,
      true,
    ]);
    const commands = [
      ["list"],
      ["ls", "latest"],
      ["cat", "latest", "user.anna", "1"],
      ["diff", "latest", "latest"],
      ["restore", "latest", "--target", join(place(), "t")],
      ["check"],
      ["check", "--read-data"],
      ["stats"],
      ["findings", "latest"],
      ["findings", "--accept", "guid-absent", "--server", "s"],
      ["tag", "latest", "--add", "x"],
      ["forget", "--keep-last", "1"],
      ["forget", "--keep-last", "1", "--dry-run"],
      ["undelete"],
      ["prune"],
      ["prune", "--dry-run"],
      ["unlock"],
      ["rebuild-index"],
      ["repair"],
      ["key", "list"],
      ["key", "add", "--new-key-file", join(place(), "k")],
      ["key", "remove", String(added?.["key"])],
      ["key", "passwd"],
      ["key", "export"],
    ];
    const before = readdirSync(repo, { recursive: true }).sort();
    for (const command of commands) {
      const { code, stdout, stderr } = await run([
        ...command,
        "--repo",
        repo,
        "--key-file",
        keyFile,
        "--json",
      ]);
      const { code: name } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "");
      expect([command.join(" "), code, name, stdout]).toEqual([command.join(" "), 1, "KEY_WRITE_ONLY", ""]);
    }
    expect(readdirSync(repo, { recursive: true }).sort()).toEqual(before);
  });
});

describe("init", () => {
  test("makes a key file where there is none, and says that nothing comes back without it", async () => {
    const [repo, keyFile] = [join(place(), "r"), join(place(), "new.key")];
    const made = await run(["init", "--repo", repo, "--key-file", keyFile]);
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining("nothing comes back") });
    expect(made.stderr).toContain("cyrvault key export");
    expect((await run(["list", "--repo", repo, "--key-file", keyFile])).code).toBe(0);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: "x" } })).code).toBe(12);
    const both = ["init", "--repo", join(place(), "r"), "--no-encryption", "--key-file", join(place(), "k")];
    expect((await run(both)).code).toBe(2);
    expect(existsSync(both.at(-1) as string)).toBe(false);
  });

  test("makes files for the owner alone, whatever the umask", async () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const [repo, keyFile] = [join(place(), "r"), join(place(), "k")];
    expect((await run(["init", "--repo", repo, "--key-file", keyFile])).code).toBe(0);
    const typed = { env: { CYRVAULT_NEW_KEY_FILE: join(place(), "k2") } };
    expect((await run(["key", "add", "--repo", repo, "--key-file", keyFile], typed)).code).toBe(0);
    const entries = readdirSync(repo, { recursive: true, withFileTypes: true });
    expect(entries.length).toBeGreaterThan(3);
    for (const entry of entries) {
      const { mode } = statSync(join(entry.parentPath, entry.name));
      expect([entry.name, (mode & 0o777).toString(8)]).toEqual([entry.name, entry.isFile() ? "600" : "700"]);
    }
    expect(statSync(repo).mode & 0o777).toBe(0o700);
  });
});
