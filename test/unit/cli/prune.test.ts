import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import { type RunRecord, sealRun } from "../../../src/store/run-record.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { run } from "./fake-terminal.ts";

async function withTwo(): Promise<{ repo: string; backups: string[]; repository: Repository }> {
  const repo = join(mkdtempSync(join(tmpdir(), "cyrvault-prune-")), "r");
  onTestFinished(() => rmSync(join(repo, ".."), { recursive: true, force: true }));
  const backend = await openBackend(repo);
  await initRepository(backend, { noEncryption: true });
  const repository = await openRepository(backend, { assemble: assembleMessage });
  onTestFinished(() => repository.close());
  const backups: string[] = [];
  for (const [age, text] of [
    [2000, "old"],
    [1000, "new"],
  ] as const) {
    const mailboxes = [{ name: "user.anna", messages: { 1: `Subject: ${text}\r\n\r\n${text.repeat(500)}` } }];
    backups.push((await storeBackup(repository, { timeMs: Date.now() - age, mailboxes })).backup);
  }
  return { repo, backups, repository };
}

const files = (repo: string) => readdirSync(repo, { recursive: true }).map(String).sort();
const packs = (repo: string) => files(repo).filter((name) => /^packs\/..\/./.test(name));

async function json(...args: string[]) {
  const { code, stdout, stderr } = await run([...args, "--json"]);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  return { code, object: line === "" ? undefined : JSON.parse(line), stderr };
}

describe("prune", () => {
  test("--dry-run writes nothing and says what comes true", async () => {
    const { repo, backups } = await withTwo();
    await run(["forget", "--repo", repo, backups[0] as string]);
    const before = files(repo);
    const prune = ["prune", "--repo", repo, "--grace", "0", "--max-unused", "0"];
    const planned = await json(...prune, "--dry-run");
    expect(planned.code).toBe(0);
    expect(files(repo)).toEqual(before);
    const done = await json(...prune);
    expect(done.code).toBe(0);
    const { seconds: _, bytes: plannedBytes, ...figures } = planned.object;
    expect(figures).toMatchObject({
      dryRun: true,
      marked: 2,
      swept: 2,
      unmarked: 0,
      repacked: 0,
      forgottenRemoved: 1,
      forgotten: [backups[0]],
    });
    expect(plannedBytes).toEqual({ freed: expect.any(Number), willBeFreed: 0, repacked: 0 });
    expect(done.object).toMatchObject({
      ...figures,
      dryRun: false,
      bytes: plannedBytes,
    });
    expect(packs(repo).length).toBe(2);
    expect((await json("check", "--repo", repo)).code).toBe(0);
    expect((await run(["undelete", "--repo", repo, backups[0] as string])).code).toBe(1);
  });

  test("by default a forgotten backup stays for three days", async () => {
    const { repo, backups } = await withTwo();
    await run(["forget", "--repo", repo, backups[0] as string]);
    expect((await json("prune", "--repo", repo)).object).toMatchObject({ marked: 0, forgottenRemoved: 0 });
    expect((await run(["undelete", "--repo", repo, backups[0] as string])).code).toBe(0);
    const { stdout } = await run(["prune", "--repo", repo]);
    expect(stdout).toContain("0 packs marked");
  });

  test("says why nothing came free: nothing forgotten, to be brought back, marked, or needed", async () => {
    const { repo, backups } = await withTwo();
    const [oldest = ""] = backups;
    const prune = async (...args: string[]) => {
      const { stdout } = await run(["prune", "--repo", repo, ...args]);
      return /^Nothing (?:came|would come) free: (.*)\.$/m.exec(stdout)?.[1];
    };
    const needed = "backups need something of 4 packs";
    expect(await prune()).toBe(`no backup has been forgotten; ${needed}`);
    await run(["forget", "--repo", repo, oldest]);
    const { object } = await json("prune", "--repo", repo, "--dry-run");
    expect(object.whyNothingFreed).toEqual([
      { reason: "forgotten-in-grace", count: 1, dueAt: expect.stringMatching(/^\d{4}-.*Z$/) },
      { reason: "packs-needed", count: 4, unusedBytes: 0 },
    ]);
    expect(await prune()).toMatch(
      new RegExp(`^1 forgotten backup can be brought back, the first until .* stays; ${needed}$`),
    );
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(await prune("--grace", "1s")).toMatch(
      /^2 packs marked, which a prune from .* on removes; backups need something of 2 packs$/,
    );
    expect(await prune("--dry-run", "--grace", "0")).toBeUndefined();
    expect(await prune("--grace", "0")).toBeUndefined();
  });

  test("answers 11 beside another prune and during a hold, unless that ends in time; unlock lists both", async () => {
    const { repo, repository } = await withTwo();
    const other = await repository.startRun({ kind: "prune", server: "", host: hostname() });
    expect((await json("prune", "--repo", repo)).code).toBe(11);
    expect((await json("prune", "--repo", repo, "--hold", "1h", "--reason", "tape")).code).toBe(11);
    const listed = await json("unlock", "--repo", repo);
    expect(listed.object).toMatchObject({
      removed: [],
      left: [{ run: other.id, kind: "prune", pid: process.pid }],
    });
    setTimeout(() => void other.abort(), 200);
    const waited = await json(
      "prune",
      "--repo",
      repo,
      "--hold",
      "1h",
      "--reason",
      "tape",
      "--lock-wait",
      "1s",
    );
    expect(waited).toMatchObject({ code: 0, object: { reason: "tape" } });
    const held = await run(["prune", "--repo", repo]);
    expect(held.code).toBe(11);
    expect(held.stderr).toMatch(/held off until .*tape/);
    expect((await json("unlock", "--repo", repo)).object).toMatchObject({
      left: [],
      holds: [{ hold: waited.object.hold, reason: "tape" }],
    });
    expect((await run(["prune", "--repo", repo, "--release", "nonsense"])).code).toBe(2);
    expect((await json("prune", "--repo", repo, "--release")).object).toEqual({
      released: [waited.object.hold],
    });
    expect((await json("prune", "--repo", repo)).code).toBe(0);
  });

  test("stops where a root cannot be read, says which, and touches nothing", async () => {
    const { repo, backups } = await withTwo();
    await run(["forget", "--repo", repo, backups[0] as string]);
    writeFileSync(join(repo, "backups", backups[1] as string), "nonsense");
    const before = packs(repo);
    const { code, stderr } = await run(["prune", "--repo", repo, "--grace", "0"]);
    expect(code).toBe(1);
    expect(stderr).toContain(`nothing is pruned: backups/${backups[1]}`);
    expect(stderr).toContain("cyrvault check");
    expect(packs(repo)).toEqual(before);
    expect(files(repo)).toContain(`forgotten/${backups[0]}`);
    expect(files(repo).filter((name) => name.startsWith("gc/") || /^runs\/./.test(name))).toEqual([]);
  });
});

describe("unlock", () => {
  test("removes what a process that is no more has left, and leaves what is at work", async () => {
    const { repo, repository } = await withTwo();
    const alive = await repository.startRun({ server: "mail", host: hostname() });
    const run = "20260101T000000Z-00112233";
    const gone: RunRecord = {
      ...((await repository.listRuns())[0] as RunRecord),
      run,
      process: "another-boot pid:[1] 1",
    };
    await repository.backend.create(`runs/${run}`, sealRun(repository.sealer, gone));
    const { object } = await json("unlock", "--repo", repo);
    expect(object).toMatchObject({ removed: [{ run, reason: expect.stringContaining("no more") }] });
    expect(object.left.map((one: { run: string }) => one.run)).toEqual([alive.id]);
    expect((await repository.listRuns()).map((record) => record.run)).toEqual([alive.id]);
    await alive.abort();
  });

  test("with --force stops what is alive, and removes what cannot be read", async () => {
    const { repo, repository } = await withTwo();
    const alive = await repository.startRun({ server: "mail", host: hostname() });
    const far = await repository.startRun({ server: "other", host: "elsewhere" });
    const dead = "20260101T000000Z-00000000";
    writeFileSync(join(repo, "runs", dead), "nonsense");
    const dry = await json("unlock", "--repo", repo, "--dry-run");
    expect(dry.object.left.map((one: { run: string }) => one.run).sort()).toEqual(
      [dead, alive.id, far.id].sort(),
    );
    expect((await json("prune", "--repo", repo)).stderr).toContain("unlock --force");
    const { object } = await json("unlock", "--repo", repo, "--force");
    expect(object.removed.length).toBe(3);
    expect(files(repo).filter((name) => /^runs\/./.test(name))).toEqual([]);
    await expect(alive.requireStanding()).rejects.toMatchObject({ code: "RUN_FENCED" });
    await alive.abort();
    await far.abort();
    expect((await json("check", "--repo", repo)).code).toBe(0);
  });
});
