/**
 * A backup that is killed at any moment: every earlier backup stays whole, the repository stays sound, and the next run
 * goes on from the last checkpoint. The real command line in a process of its own; `CYRVAULT_SEED` for other moments,
 * `CYRVAULT_HEAVY=1` for more of them.
 */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import { SampleServer } from "../../src/sample/sample-server.ts";
import { type BackupResult, expectCode, type RunningCli, runCli, runJson, startCli } from "../support/cli.ts";
import { restoreDifferences as differencesOf, checkErrors as errorsOf } from "../support/local-repository.ts";
import { OpenWatch } from "../support/open-watch.ts";
import { randomOf } from "../support/power-cut.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { readTree, type Tree } from "../support/tree-compare.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
const SEED = Number(process.env["CYRVAULT_SEED"] ?? 20_260_801);
const KILLS = HEAVY ? 60 : 15;
/** Read between two checkpoints. */
const CHECKPOINT_BYTES = 200_000;
/**
 * Batches that were read and not yet in order, when the checkpoint was made and again when the process was killed:
 * `MessageCapture` has so many under way.
 */
const UNDER_WAY_MESSAGES = 2 * 6 * 256;

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

const env = () => ({ CYRVAULT_REPO: dir.in("repository") });
const backupArgs = () => [
  "backup",
  ...["--config", dir.in("server/etc/imapd.conf"), "--checkpoint-bytes", String(CHECKPOINT_BYTES)],
];

const restoreDifferences = (backup: string, tree: Tree) =>
  differencesOf(dir.in("repository"), backup, tree, dir.in("server"));

const checkErrors = (readDataPercent = 0) => errorsOf(dir.in("repository"), readDataPercent);

const listed = (...parts: string[]): string[] => {
  try {
    return readdirSync(dir.in("repository", ...parts));
  } catch {
    return [];
  }
};

/** Waits for `isSo`, or for the process's end. @returns false: it ended before. */
async function seen(running: RunningCli, isSo: () => boolean): Promise<boolean> {
  while (!isSo()) {
    if (running.process.exitCode !== null || running.process.signalCode !== null) return false;
    await delay(2);
  }
  return true;
}

test("whenever it is killed, earlier backups come back, the check is clean and the next run goes on", async () => {
  generateServer(dir.in("server"), {
    users: 4,
    foldersPerUser: 5,
    messages: 700,
    documentScale: 0.05,
  });
  await runJson(["init", "--no-encryption"], { env: env() });
  const backups = new Map<string, Tree>();
  const backUp = async (): Promise<BackupResult> => {
    const tree = readTree(dir.in("server"));
    const result = await runJson<BackupResult>(backupArgs(), { env: env() });
    backups.set(result.backup, tree);
    return result;
  };
  const began = Date.now();
  await backUp();
  const wholeRunMs = Date.now() - began;
  const next = randomOf(SEED);
  let day = 0;
  let killed = 0;
  let finished = 0;
  const stages = new Map<string, number>();
  for (let i = 0; i < KILLS; i++) {
    if (i % 5 === 0) advanceServer(SampleServer.open(dir.in("server")), { day: ++day, share: 0.8 });
    const before = new Set(listed("backups"));
    const [runs, checkpoints] = [listed("runs"), listed("checkpoints")];
    // As another server each time: it reads everything, so that there is something to be killed in.
    const args = [...backupArgs(), "--server", `server-${Math.floor(i / 3)}`];
    const running = startCli(args, { env: env() });
    // Half of them after it began to write, half at any time.
    const hasBegun = next() < 0.6 && (await seen(running, () => listed("runs").length > runs.length));
    await delay(next() * wholeRunMs * (hasBegun ? 0.15 : 0.5));
    running.process.kill("SIGKILL");
    const { signal } = await running.result;
    const stage =
      signal === null
        ? "too late"
        : listed("checkpoints").length > checkpoints.length
          ? "after a checkpoint"
          : listed("runs").length > runs.length
            ? "after it began"
            : "before it began";
    stages.set(stage, (stages.get(stage) ?? 0) + 1);
    if (signal === null) finished++;
    else killed++;
    // What it had committed stands, killed or not.
    for (const backup of listed("backups"))
      if (!before.has(backup)) backups.set(backup, readTree(dir.in("server")));
    expect(await checkErrors(), `kill ${i}`).toEqual([]);
    if (i % 5 === 4) {
      for (const [backup, tree] of [...backups].slice(-2))
        expect(await restoreDifferences(backup, tree)).toEqual([]);
      await backUp();
    }
  }
  const last = await backUp();
  expect(last.messages.read).toBe(0);
  for (const [backup, tree] of backups) expect(await restoreDifferences(backup, tree)).toEqual([]);
  expect(await checkErrors(100)).toEqual([]);
  process.stdout.write(
    `killed ${killed}, finished ${finished}; ${[...stages].map((it) => it.join(": ")).join(", ")}; ${backups.size} backups whole, left in tmp/: ${listed("tmp").length}\n`,
  );
  expect(killed).toBeGreaterThan(KILLS / 3);
});

test("killed in the middle of one large mailbox, the next run reads one checkpoint interval again at most", async () => {
  const messages = HEAVY ? 40_000 : 8000;
  const server = generateServer(dir.in("server"), {
    users: 1,
    foldersPerUser: 1,
    messages,
    attachmentShare: 0,
    repetition: 0,
    textScale: 0.3,
  });
  const perMessage = server.counts.bytes / server.counts.messages;
  const interval = Math.ceil(CHECKPOINT_BYTES / perMessage);
  await runJson(["init", "--no-encryption"], { env: env() });
  const read = new Set<string>();
  const next = randomOf(SEED);
  const again: number[] = [];
  let kills = 0;
  for (;;) {
    const watch = new OpenWatch(server.roots);
    const running = startCli([...backupArgs(), "--json"], { env: env() });
    const opened = new Set<string>();
    const look = () => {
      for (const path of watch.take()) if (/^\d+\.$/.test(basename(path))) opened.add(path);
    };
    const ticking = setInterval(look, 5);
    const before = listed("checkpoints").length;
    if (kills < 4 && (await seen(running, () => listed("checkpoints").length > before))) {
      await delay(next() * 150);
      running.process.kill("SIGKILL");
    }
    const { signal, code } = await running.result;
    clearInterval(ticking);
    look();
    watch.close();
    const twice = [...opened].filter((path) => read.has(path)).length;
    if (kills > 0) again.push(twice);
    for (const path of opened) read.add(path);
    if (signal === null) {
      expect(code).toBe(0);
      break;
    }
    kills++;
    expect(await checkErrors()).toEqual([]);
  }
  process.stdout.write(
    `${kills} kills in a mailbox; of ${messages} messages read again: ${again.join(", ")}; an interval is ${interval} and what is under way\n`,
  );
  expect(kills).toBeGreaterThan(1);
  for (const count of again) expect(count).toBeLessThanOrEqual(interval + UNDER_WAY_MESSAGES);
  expect(listed("checkpoints")).toEqual([]);
  expect(listed("runs")).toEqual([]);
  const [backup] = listed("backups");
  expect(await restoreDifferences(backup as string, readTree(dir.in("server")))).toEqual([]);
});

test.each(["SIGINT", "SIGTERM"] as const)("%s ends it with 130, and the next run goes on", async (signal) => {
  const server = generateServer(dir.in("server"), { messages: 1500, documentScale: 0.05, textScale: 0.3 });
  await runJson(["init", "--no-encryption"], { env: env() });
  const running = startCli(backupArgs(), { env: env() });
  expect(await seen(running, () => listed("checkpoints").length > 0)).toBe(true);
  running.process.kill(signal);
  const result = await running.result;
  expect(result.code, result.stderr).toBe(130);
  expect(result.stderr).toContain("interrupted");
  expect(listed("backups")).toEqual([]);
  expect(listed("runs"), "it takes its leave").toEqual([]);
  expect(await checkErrors(100)).toEqual([]);
  const tree = readTree(dir.in("server"));
  const again = await runJson<BackupResult>(backupArgs(), { env: env() });
  process.stdout.write(`after ${signal}: ${again.messages.read} of ${again.messages.total} messages read\n`);
  expect(again.messages.read).toBeLessThan(again.messages.total);
  expect(again.messages.total).toBeGreaterThanOrEqual(server.counts.messages);
  expect(await restoreDifferences(again.backup, tree)).toEqual([]);
});

test("twice SIGINT ends it at once, and nothing is lost by that", async () => {
  generateServer(dir.in("server"), { messages: 1500, documentScale: 0.05, textScale: 0.3 });
  await runJson(["init", "--no-encryption"], { env: env() });
  const running = startCli(backupArgs(), { env: env() });
  expect(await seen(running, () => listed("runs").length > 0)).toBe(true);
  running.process.kill("SIGINT");
  await delay(1);
  running.process.kill("SIGINT");
  const result = await running.result;
  expect(result.code === 130 || result.signal === "SIGINT").toBe(true);
  expect(await checkErrors()).toEqual([]);
  expectCode(["backup"], await runCli(backupArgs(), { env: env() }));
  expect(listed("backups")).toHaveLength(1);
});
