import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openBackend } from "../../../src/backend/open-backend.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { cacheDirectory } from "../../../src/cli/last-seen.ts";
import { createGcRecord } from "../../../src/store/gc-record.ts";
import { initRepository, openRepository } from "../../../src/store/repository.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { run } from "./fake-terminal.ts";

const DAY = 86_400_000;

interface Place {
  readonly repo: string;
  readonly copy: string;
  readonly cache: string;
}

async function place(): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-seen-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [repo, copy, cache] = ["r", "copy", "cache"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const backend = await openBackend(repo);
  await initRepository(backend, { noEncryption: true });
  await backend.close();
  return { repo, copy, cache };
}

/** @param age - in days. */
async function backUp(repo: string, age: number, gc?: number): Promise<void> {
  const backend = await openBackend(repo);
  const repository = await openRepository(backend, { assemble: assembleMessage });
  await storeBackup(repository, {
    timeMs: Date.now() - age * DAY,
    mailboxes: [{ name: "user.anna", messages: { 1: `Subject: ${age}\r\n\r\nb` } }],
  });
  if (gc !== undefined)
    await createGcRecord(backend, repository.sealer, {
      number: gc,
      kind: "mark",
      atMs: 0,
      packs: [],
      runs: [],
    });
  await repository.close();
  await backend.close();
}

function putBack({ repo, copy }: Place): void {
  rmSync(repo, { recursive: true });
  cpSync(copy, repo, { recursive: true });
}

const list = ({ repo, cache }: Place) =>
  run(["list", "--repo", repo, "--json"], { env: { CYRVAULT_CACHE_DIR: cache } });
const forget = async ({ repo, cache }: Place, ...rest: string[]) => {
  const argv = ["forget", "--repo", repo, "--keep-last", "1", "--json", ...rest];
  const { code, stderr } = await run(argv, { env: { CYRVAULT_CACHE_DIR: cache } });
  const last = stderr.trim().split("\n").at(-1) ?? "";
  return { code, error: last === "" ? undefined : JSON.parse(last).code };
};

describe("a repository that this machine has seen newer", () => {
  test("is read with a warning, and not written to, until somebody says that it is meant so", async () => {
    const given = await place();
    await backUp(given.repo, 3);
    cpSync(given.repo, given.copy, { recursive: true });
    await backUp(given.repo, 1);
    expect(await list(given)).toMatchObject({ code: 0, stderr: "" });
    putBack(given);
    const warned = await list(given);
    expect(warned).toMatchObject({ code: 0, stderr: expect.stringContaining("REPOSITORY_ROLLED_BACK") });
    expect(await forget(given)).toEqual({ code: 1, error: "REPOSITORY_ROLLED_BACK" });
    expect(await forget(given, "--dry-run")).toMatchObject({ code: 0 });
    const check = await run(["check", "--read-data", "--repo", given.repo], {
      env: { CYRVAULT_CACHE_DIR: given.cache },
    });
    expect(check).toMatchObject({
      stdout: expect.stringContaining("1 backup"),
      stderr: expect.stringContaining("older than"),
    });
    const [memory = ""] = readdirSync(given.cache);
    expect(warned.stderr).toContain(join(given.cache, memory));
    rmSync(join(given.cache, memory));
    expect(await forget(given)).toEqual({ code: 0, error: undefined });
  });

  test("is known by what deletion had done, too", async () => {
    const given = await place();
    await backUp(given.repo, 3);
    cpSync(given.repo, given.copy, { recursive: true });
    await backUp(given.repo, 3, 1);
    expect(await list(given)).toMatchObject({ code: 0, stderr: "" });
    putBack(given);
    expect(await forget(given)).toEqual({ code: 1, error: "REPOSITORY_ROLLED_BACK" });
  });

  test("is not one whose newest backup was forgotten, or pruned, or that others wrote to", async () => {
    const given = await place();
    await backUp(given.repo, 3);
    await backUp(given.repo, 1);
    const { stdout } = await list(given);
    const newest = JSON.parse(stdout.trim().split("\n").at(-1) ?? "").backup as string;
    const others = { env: { CYRVAULT_CACHE_DIR: "" } };
    expect((await run(["forget", "--repo", given.repo, newest], others)).code).toBe(0);
    expect(await list(given)).toMatchObject({ code: 0, stderr: "" });
    await backUp(given.repo, 0);
    await list(given);
    await backUp(given.repo, -1, 1);
    for (const name of readdirSync(join(given.repo, "forgotten")))
      rmSync(join(given.repo, "forgotten", name));
    expect(await list(given)).toMatchObject({ code: 0, stderr: "" });
  });

  test("may be another one altogether, which is named for what it is", async () => {
    const [given, other] = [await place(), await place()];
    expect((await list(given)).code).toBe(0);
    rmSync(given.repo, { recursive: true });
    cpSync(other.repo, given.repo, { recursive: true });
    expect((await list(given)).stderr).toContain("REPOSITORY_REPLACED");
    expect(await forget(given)).toEqual({ code: 1, error: "REPOSITORY_REPLACED" });
  });

  test("is forgotten when a new one is made in its place", async () => {
    const given = await place();
    await list(given);
    rmSync(given.repo, { recursive: true });
    const env = { CYRVAULT_CACHE_DIR: given.cache };
    expect((await run(["init", "--no-encryption", "--repo", given.repo], { env })).code).toBe(0);
    expect(await list(given)).toMatchObject({ code: 0, stderr: expect.not.stringContaining("REPLACED") });
  });
});

describe("what is remembered", () => {
  test("is for the owner alone, and what cannot be remembered keeps nobody from working", async () => {
    const given = await place();
    await list(given);
    const [memory = ""] = readdirSync(given.cache);
    expect(statSync(given.cache).mode & 0o777).toBe(0o700);
    expect(statSync(join(given.cache, memory)).mode & 0o777).toBe(0o600);
    writeFileSync(join(given.cache, memory), "rubbish");
    expect((await list(given)).code).toBe(0);
    const blocked = { ...given, cache: join(given.cache, memory, "below a file") };
    expect((await list(blocked)).code).toBe(0);
  });

  test("lies where $CYRVAULT_CACHE_DIR says, or where caches lie, or nowhere", () => {
    expect(cacheDirectory({ CYRVAULT_CACHE_DIR: "/c", HOME: "/h" })).toBe("/c");
    expect(cacheDirectory({ CYRVAULT_CACHE_DIR: "", HOME: "/h" })).toBeUndefined();
    expect(cacheDirectory({ XDG_CACHE_HOME: "/x", HOME: "/h" })).toBe("/x/cyrvault");
    expect(cacheDirectory({ XDG_CACHE_HOME: "relative", HOME: "/h" })).toBe("/h/.cache/cyrvault");
    expect(cacheDirectory({})).toBeUndefined();
  });
});
