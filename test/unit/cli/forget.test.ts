import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { initRepository, openRepository } from "../../../src/store/repository.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { run } from "./fake-terminal.ts";

const DAY = 86_400_000;

/** @returns the repository's directory and its backups, the oldest first: one a day up to today. */
async function withDays(days: number): Promise<{ repo: string; backups: string[] }> {
  const repo = join(mkdtempSync(join(tmpdir(), "cyrvault-forget-")), "r");
  onTestFinished(() => rmSync(join(repo, ".."), { recursive: true, force: true }));
  const backend = await openBackend(repo);
  await initRepository(backend, { noEncryption: true });
  const repository = await openRepository(backend, { assemble: assembleMessage });
  const backups: string[] = [];
  for (let age = days - 1; age >= 0; age--) {
    const root = await storeBackup(repository, {
      timeMs: Date.now() - age * DAY - 1000,
      mailboxes: [{ name: "user.anna", messages: { 1: "Subject: a\r\n\r\nb" } }],
    });
    backups.push(root.backup);
  }
  await repository.close();
  await backend.close();
  return { repo, backups };
}

const json = async (args: readonly string[]) => {
  const { code, stdout, stderr } = await run([...args, "--json"]);
  expect(stderr.split("\n").filter((line) => line !== "" && !line.includes('"progress"'))).toEqual([]);
  return {
    code,
    lines: stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
};
const listed = async (repo: string) =>
  (await json(["list", "--repo", repo])).lines.map(({ backup }) => backup as string);

describe("forget, undelete and tag", () => {
  test("--dry-run says what would go and writes nothing; what goes comes back by undelete", async () => {
    const { repo, backups } = await withDays(5);
    const before = readdirSync(repo, { recursive: true }).sort();
    const forget = ["forget", "--repo", repo, "--keep-last", "2"];
    const { lines: planned } = await json([...forget, "--dry-run"]);
    expect(readdirSync(repo, { recursive: true }).sort()).toEqual(before);
    const { lines: done } = await json(forget);
    expect(done[0]).toEqual({ ...planned[0], dryRun: false });
    expect(done[0].forgotten.map(({ backup }: { backup: string }) => backup)).toEqual(
      backups.slice(0, 3).reverse(),
    );
    expect(await listed(repo)).toEqual(backups.slice(3));

    const gone = await json(["undelete", "--repo", repo]);
    expect(gone.lines.map(({ backup }) => backup)).toEqual(backups.slice(0, 3));
    expect((await run(["undelete", "--repo", repo, backups[1] as string])).code).toBe(0);
    expect(await listed(repo)).toEqual([backups[1], ...backups.slice(3)]);
    expect((await run(["undelete", "--repo", repo, backups[1] as string])).code).toBe(1);
    expect((await json(["check", "--repo", repo])).lines[0]).toMatchObject({ errors: [], backups: 3 });
    const { lines } = await json(["ls", "--repo", repo, backups[1] as string]);
    expect(lines).toMatchObject([{ mailbox: "user.anna", messages: 1 }]);
  });

  test("a hold keeps a backup from the policy and from being named, until it is released", async () => {
    const { repo, backups } = await withDays(3);
    const [oldest = ""] = backups;
    expect(
      (await json(["tag", "--repo", repo, oldest, "--hold", "audit", "--add", "b", "--add", "a"])).lines,
    ).toEqual([{ backup: oldest, tags: ["a", "b"], hold: "audit" }]);
    await json(["forget", "--repo", repo, "--keep-last", "1"]);
    expect(await listed(repo)).toEqual([oldest, backups[2]]);
    expect((await run(["forget", "--repo", repo, oldest])).code).toBe(2);
    await json(["tag", "--repo", repo, oldest, "--release", "--remove", "a"]);
    expect((await json(["tag", "--repo", repo, oldest])).lines).toEqual([
      { backup: oldest, tags: ["b"], hold: null },
    ]);
    await json(["forget", "--repo", repo, "--keep-tag", "b"]);
    expect(await listed(repo)).toEqual([oldest, backups[2]]);
    await json(["forget", "--repo", repo, oldest]);
    expect(await listed(repo)).toEqual([backups[2]]);
  });

  test("the last backup of a server does not go without a word", async () => {
    const { repo, backups } = await withDays(2);
    const [first = "", last = ""] = backups;
    expect((await run(["forget", "--repo", repo, first])).stderr).not.toContain("left");
    const planned = await run(["forget", "--repo", repo, last, "--dry-run"]);
    expect(planned.stderr).toContain("warning: no backup of mail would be left");
    const { code, stderr } = await run(["forget", "--repo", repo, last]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: no backup of mail is left\n {2}hint: .*undelete/);
  });

  test("a backup whose tags cannot be read stays", async () => {
    const { repo, backups } = await withDays(3);
    await json(["tag", "--repo", repo, backups[0] as string, "--add", "x"]);
    writeFileSync(join(repo, "tags", backups[0] as string), "not sealed");
    const { code, stderr } = await run(["forget", "--repo", repo, "--keep-last", "1"]);
    expect(code).toBe(0);
    expect(stderr).toContain("cannot be read");
    expect(await listed(repo)).toEqual([backups[0], backups[2]]);
    expect((await run(["check", "--repo", repo])).code).toBe(1);
  });
});
