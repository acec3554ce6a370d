import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { run } from "./fake-terminal.ts";

const COMMANDS =
  "init backup list ls restore export cat diff check status stats findings tag forget undelete key rebuild-index demo doctor".split(
    " ",
  );

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-cli-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

describe("usage", () => {
  test("the version is that of package.json", async () => {
    const { version } = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8"),
    ) as { version: string };
    expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test("help names every command", async () => {
    const { code, stdout, stderr } = await run(["--help"]);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
  });

  test.each(COMMANDS)("the help of %s has an example", async (command) => {
    const { code, stdout } = await run([command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Example:\n  cyrvault ${command}`);
  });

  test.each([
    ["no command", []],
    ["an unknown command", ["bakup", "--repo", "r"]],
    ["the help of an unknown command", ["bakup", "--help"]],
    ["the help of an unknown command, asked for by name", ["help", "bakup"]],
    ["the help of an unknown command among those of a command", ["key", "lst", "--help"]],
    ["an unknown option", ["list", "--repo", "r", "--what"]],
    ["an option of another command", ["list", "--repo", "r", "--target", "t"]],
    ["an argument too many", ["list", "--repo", "r", "surplus"]],
    ["an argument too few", ["cat", "--repo", "r", "latest", "user.anna"]],
    ["a missing value", ["list", "--repo"]],
    ["no repository", ["list"]],
    ["an empty name for the repository", ["list", "--repo", ""]],
    ["a repository of a kind that is none", ["list", "--repo", "gopher:x"]],
    ["a restore without a target", ["restore", "--repo", "r", "latest"]],
    ["a UID that is none", ["cat", "--repo", "r", "latest", "user.anna", "x"]],
    ["an unknown compression", ["backup", "--repo", "r", "--compression", "zip"]],
    ["a share of nothing", ["backup", "--repo", "r", "--scrub", "0"]],
    ["a share of more than all", ["backup", "--repo", "r", "--scrub", "3/2"]],
    ["a mapping without a target", ["backup", "--repo", "r", "--map", "/var"]],
    ["a percentage beyond all", ["check", "--repo", "r", "--read-data=101"]],
    ["an index from nothing", ["rebuild-index", "--repo", "r", "--from", "air"]],
    ["a part that is none", ["restore", "--repo", "r", "latest", "--target", "t", "--only", "all"]],
    ["a rule for overwriting", ["restore", "--repo", "r", "latest", "--target", "t", "--overwrite", "yes"]],
    ["an owner that is none", ["restore", "--repo", "r", "latest", "--target", "t", "--owner", "no-such"]],
    ["a set of UIDs", ["restore", "--repo", "r", "latest", "--target", "t", "--uid", "a:b"]],
    ["an export of no form", ["export", "--repo", "r", "latest"]],
    ["a part of an export that is none", ["export", "--repo", "r", "latest", "--tar", "--only", "all"]],
    ["an age that is none", ["status", "--repo", "r", "--max-age", "old"]],
    ["forgetting by no rule", ["forget", "--repo", "r"]],
    ["forgetting by name and by rule", ["forget", "--repo", "r", "latest", "--keep-last", "2"]],
    ["a number to keep", ["forget", "--repo", "r", "--keep-last", "-1"]],
    ["a time to keep", ["forget", "--repo", "r", "--keep-within", "3m"]],
    ["a hold without a reason", ["tag", "--repo", "r", "latest", "--hold", " "]],
    ["a hold on and off", ["tag", "--repo", "r", "latest", "--hold", "x", "--release"]],
    ["a rule for accepting", ["findings", "--repo", "r", "--accept", "Not A Code"]],
    ["a password that is not there", ["init", "--repo", "r"]],
    [
      "two kinds of new repository",
      ["init", "--repo", "r", "--no-encryption", "--password-file", "/etc/hostname"],
    ],
  ])("%s is wrong usage", async (_, argv) => {
    const { code, stdout, stderr } = await run(argv);
    expect(stderr).toMatch(/^cyrvault: /);
    expect(code).toBe(2);
    expect(stdout).toBe("");
  });

  test("an archive is not written to a terminal", async () => {
    const argv = ["export", "--repo", "r", "latest", "--tar"];
    const { code, stdout, stderr } = await run(argv, { outIsTerminal: true });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("terminal");
  });

  test("a mistyped command is answered with the one meant", async () => {
    expect((await run(["bakup"])).stderr).toContain("Did you mean backup?");
    expect((await run(["bakup", "--help"])).stderr).toContain("Did you mean backup?");
  });

  test.each([
    ["key", "--help"],
    ["help", "key"],
    ["key", "help"],
    ["key", "list", "--help"],
    ["--json", "list", "-h"],
  ])("help is given for what there is: %s %s %s", async (...argv) => {
    const { code, stdout, stderr } = await run(argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Usage: cyrvault (key|list)\b/);
  });

  test("with --json an error comes as an object too", async () => {
    const { code, stderr } = await run(["list", "--json", "--repo", join(place(), "none")]);
    expect(code).toBe(10);
    const error = JSON.parse(stderr.trim().split("\n").at(-1) as string);
    expect(error).toMatchObject({ type: "error", code: "REPOSITORY_NOT_FOUND", exitCode: 10 });
    expect(error.hint).toContain("init");
  });

  test("a stack is shown only with --verbose", async () => {
    const argv = ["list", "--repo", join(place(), "none")];
    expect((await run(argv)).stderr).not.toMatch(/\bat .*\.ts:\d+/);
    expect((await run([...argv, "--verbose"])).stderr).toMatch(/\bat .*\.ts:\d+/);
  });

  test("what could upset a terminal is escaped in errors", async () => {
    const { stderr } = await run(["list", "--repo", `${place()}/\x1b[31m\u202eevil`]);
    expect(stderr).toContain("\\x1b[31m\\u{202e}evil");
  });
});

describe("passwords", () => {
  async function encrypted(): Promise<string> {
    const repo = join(place(), "r");
    const made = await run(["init", "--repo", repo, "--json"], { env: { CYRVAULT_PASSWORD: "right" } });
    expect(made.code).toBe(0);
    expect(JSON.parse(made.stdout)).toEqual({
      repository: expect.stringMatching(/^[0-9a-f]{32}$/),
      encrypted: true,
    });
    return repo;
  }

  test("one that is wrong, none, and one from each source", async () => {
    const repo = await encrypted();
    const list = ["list", "--repo", repo];
    expect((await run(list, { env: { CYRVAULT_PASSWORD: "wrong" } })).code).toBe(12);
    const none = await run(list);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain("--password-file");
    const file = join(place(), "password");
    writeFileSync(file, "right\n");
    const overruled = { CYRVAULT_PASSWORD: "wrong" };
    expect((await run([...list, "--password-file", file], { env: overruled })).code).toBe(0);
    expect((await run(list, { typed: ["right"] })).code).toBe(0);
    expect((await run(list, { typed: [] })).code).toBe(130);
    const byFile = { CYRVAULT_REPO: repo, CYRVAULT_PASSWORD_FILE: file };
    expect((await run(["list"], { env: byFile })).code).toBe(0);
  });

  test("a new one is asked for twice", async () => {
    const repo = join(place(), "r");
    const differing = await run(["init", "--repo", repo], { typed: ["one", "two"] });
    expect(differing.code).toBe(2);
    expect(differing.stderr).toContain("differ");
    expect((await run(["init", "--repo", repo], { typed: ["one", "one"] })).code).toBe(0);
    expect((await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: "one" } })).code).toBe(0);
    expect((await run(["init", "--repo", repo], { typed: ["one", "one"] })).code).toBe(1);
  });

  test("one given for a repository that has none is an error", async () => {
    const repo = join(place(), "r");
    const made = await run(["init", "--repo", repo, "--no-encryption", "--json"]);
    expect(JSON.parse(made.stdout)).toMatchObject({ encrypted: false });
    expect((await run(["list", "--repo", repo])).code).toBe(0);
    const { code, stderr } = await run(["list", "--repo", repo], { env: { CYRVAULT_PASSWORD: "some" } });
    expect(code).toBe(2);
    expect(stderr).toContain("not encrypted");
  });

  test("an empty one is refused, wherever it comes from", async () => {
    const file = join(place(), "empty");
    writeFileSync(file, "\n");
    const argv = ["init", "--repo", join(place(), "r")];
    expect((await run([...argv, "--password-file", file])).code).toBe(2);
    expect((await run(argv, { env: { CYRVAULT_PASSWORD: "" } })).code).toBe(2);
    expect((await run(argv, { typed: ["", ""] })).code).toBe(2);
  });

  test("a password file that is not there is a failure that names it", async () => {
    const { code, stderr } = await run(["list", "--repo", "r", "--password-file", "/no/such/file"]);
    expect(code).toBe(1);
    expect(stderr).toContain("/no/such/file");
  });
});

test("--quiet keeps the progress to itself, not the result", async () => {
  const repo = join(place(), "r");
  await run(["init", "--repo", repo, "--no-encryption", "--quiet"]);
  const { code, stdout, stderr } = await run(["check", "--repo", repo, "--quiet"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("no error");
});

test("an empty repository lists nothing and says so, and its latest backup is not found", async () => {
  const repo = join(place(), "r");
  await run(["init", "--repo", repo, "--no-encryption"]);
  const empty = await run(["list", "--repo", repo]);
  expect(empty).toMatchObject({ code: 0, stdout: "" });
  expect(empty.stderr).toContain("no backup yet");
  expect(await run(["list", "--repo", repo, "--json"])).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect((await run(["ls", "--repo", repo, "latest"])).code).toBe(1);
  const check = await run(["check", "--repo", repo, "--json", "--quiet"]);
  expect(JSON.parse(check.stdout)).toMatchObject({ errors: [], backups: 0, packs: 0, objects: 0 });
  expect(check.stderr).toBe("");
});
