/** Repositories of every format version that was ever released can be read, checked, restored and written to. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import { type BackupResult, type CheckResult, runJson, runJsonLines } from "../support/cli.ts";
import { describeWithPython, PYTHON } from "../support/describe-with-python.ts";
import { GOLDEN_PASSWORD, readGoldenBackups, unpackTree } from "../support/golden.ts";
import { COMPARISON } from "../support/left-out.ts";
import { compareTrees, readTree, type Tree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

const READER = join(import.meta.dirname, "../../docs/formats/reader.py");
const GOLDEN = join(import.meta.dirname, "../golden");
const REPOSITORIES = readdirSync(GOLDEN)
  .filter((name) => /^v[0-9]+$/.test(name))
  .flatMap((version) => readdirSync(join(GOLDEN, version)).map((kind) => [version, kind] as const));

test("there are golden repositories, encrypted and not", () => {
  expect(REPOSITORIES).toContainEqual(["v1", "plain"]);
  expect(REPOSITORIES).toContainEqual(["v1", "encrypted"]);
});

test.each(REPOSITORIES)("%s/%s: every backup comes back as it was", async (version, kind) => {
  const { repository, env, expected, workspace } = open(version, kind);
  const listed = await runJsonLines<{ backup: string; server: string; messages: number; mailboxes: number }>(
    ["list", "--repo", repository],
    { env },
  );
  expect(
    listed.map(({ backup, server, messages, mailboxes }) => [backup, server, messages, mailboxes]),
  ).toEqual(expected.map(({ backup, server, messages, mailboxes }) => [backup, server, messages, mailboxes]));
  const checked = await runJson<CheckResult>(["check", "--repo", repository, "--read-data"], { env });
  expect(checked).toMatchObject({ errors: [], backups: expected.length });

  for (const { backup, place, tree, mended, findings } of expected) {
    const target = join(workspace, backup);
    await runJson(["restore", "--repo", repository, backup, "--target", target], { env, codes: [0, 3] });
    const before = ofThisUser(unpackTree(tree));
    const after = ofThisUser(readTree(join(target, place)));
    if (mended !== null) {
      const good = expected.find((other) => other.place === place && other.mended === null);
      const wanted = unpackTree(good?.tree ?? []).get(mended)?.sha256;
      expect(wanted).toBeDefined();
      const { inode } = before.get(mended) ?? {};
      const names = [...before].filter(([, entry]) => entry.inode === inode).map(([path]) => path);
      for (const path of names) {
        expect(after.get(path)?.sha256, `${path}: the good copy`).toBe(wanted);
        before.delete(path);
        after.delete(path);
      }
    }
    expect(compareTrees(before, after, COMPARISON), backup).toEqual([]);
    const counted: Record<string, number> = {};
    const found = await runJsonLines<{ code: string }>(["findings", "--repo", repository, backup], {
      env,
      codes: [0, 3],
    });
    for (const { code } of found) counted[code] = (counted[code] ?? 0) + 1;
    expect(counted).toEqual(findings);
  }
});

describeWithPython("the second reader", () => {
  test.each(REPOSITORIES)("%s/%s: every backup comes back as it was", (version, kind) => {
    const { repository, env, expected, workspace } = open(version, kind);
    for (const { backup, place, tree, mended } of expected) {
      const target = join(workspace, backup);
      const { status, stderr } = spawnSync(PYTHON, [READER, repository, "restore", backup, target], { env });
      expect(status, stderr.toString()).toBe(0);
      expect(stderr.toString()).toMatch(mended === null ? /^$/ : /good copy is restored/);
      const before = ofThisUser(unpackTree(tree));
      const after = ofThisUser(readTree(join(target, place)));
      const { inode } = before.get(mended ?? "") ?? {};
      for (const [path, entry] of before) {
        if (entry.inode !== inode) continue;
        before.delete(path);
        after.delete(path);
      }
      expect(compareTrees(before, after, COMPARISON), backup).toEqual([]);
    }
  });
});

test.each(REPOSITORIES)("%s/%s: can be written to, and its index made again", async (version, kind) => {
  const { repository, env, expected, workspace } = open(version, kind);
  await runJson(["rebuild-index", "--repo", repository, "--from", "packs"], { env });
  const server = join(workspace, "server");
  generateServer(server, { users: 2, messages: 20 });
  const config = ["--config", join(server, "etc/imapd.conf"), "--server", "new"];
  const made = await runJson<BackupResult>(["backup", "--repo", repository, ...config], { env });
  expect(made.messages.total).toBeGreaterThan(0);
  const checked = await runJson<CheckResult>(["check", "--repo", repository, "--read-data"], { env });
  expect(checked).toMatchObject({ errors: [], backups: expected.length + 1 });
});

function open(version: string, kind: string) {
  const workspace = makeWorkspace();
  const repository = join(workspace, "repository");
  mkdirSync(repository, { mode: 0o700 });
  cpSync(join(GOLDEN, version, kind, "repository"), repository, { recursive: true });
  return {
    workspace,
    repository,
    env: (kind === "encrypted" ? { CYRVAULT_PASSWORD: GOLDEN_PASSWORD } : {}) as Record<string, string>,
    expected: readGoldenBackups(join(GOLDEN, version, kind)),
  };
}

/** Only root can give files away. */
function ofThisUser(tree: Tree): Map<string, typeof tree extends ReadonlyMap<string, infer E> ? E : never> {
  const owner = process.getuid?.() === 0 ? {} : { uid: 0, gid: 0 };
  return new Map([...tree].map(([path, entry]) => [path, { ...entry, ...owner }]));
}
