/** What `analyze` says of a spool, and what a backup of it comes to. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AnalyzeResult } from "../../../src/analyze/options.ts";
import { runAnalyze } from "../../../src/analyze/run.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { runBackup } from "../../../src/backup/run.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import { initRepository, openRepository } from "../../../src/store/repository.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

let dir: TempDir;
let exact: AnalyzeResult;
let stored: number;
let messages: { total: number; new: number };

const common = { mappings: [], compression: "fast" } as const;

async function analyze(share: number): Promise<AnalyzeResult> {
  const place = { root: fromText("/"), config: fromText(dir.in("server/etc/imapd.conf")) };
  const options = { ...common, ...place, share, largest: 5 };
  return await runAnalyze(options, { clock: systemClock, progress: new Progress() });
}

beforeAll(async () => {
  dir = tempDir();
  generateServer(dir.in("server"), { users: 10, messages: 800, documentScale: 0.1 });
  exact = await analyze(1);
  const backend = new MemoryBackend();
  await initRepository(backend, { noEncryption: true });
  const repository = await openRepository(backend, { assemble: assembleMessage });
  const result = await runBackup(
    {
      ...common,
      root: fromText("/"),
      config: fromText(dir.in("server/etc/imapd.conf")),
      server: "sample",
      includes: [],
      excludeMailboxes: [],
      withoutDerivable: false,
      withSearch: false,
      scrub: 0,
      threads: 0,
      checkpointMs: 1e9,
      checkpointBytes: 1e15,
    },
    { repository, clock: systemClock, progress: new Progress(), acceptRules: [] },
  );
  ({ messages } = result);
  stored = 0;
  for await (const { bytes } of backend.list("")) stored += bytes;
}, 60_000);

afterAll(() => dir.remove());

/**
 * Packs are made by the same writer from the same objects. What differs is the order of mailboxes (the walk goes by path,
 * a backup by name), and some ten KB that are left out: cyrvault.json, the manifest's root, the text mailbox list. Six servers
 * of 1,500 messages in both layouts were 0.2 to 0.6 % off.
 */
test("the repository that is foretold has the size of the real one, to 2 %", () => {
  expect(exact.messages).toBe(messages.total);
  expect(exact.differentMessages.count).toBe(messages.new);
  expect(Math.abs(exact.repository.total / stored - 1)).toBeLessThan(0.02);
});

/**
 * So few messages are not what a sample is for: a handful of large attachments decide. Over eight such servers, with shares of
 * 1/3 and 1/5, the size was 23 % too small to 36 % too large, and intervals missed in 5 cases of 40: so an interval is
 * not asked to hold here, and the tolerance is half the size.
 */
test("a sample knows messages and copies exactly, and the size of the repository roughly", async () => {
  const sampled = await analyze(1 / 3);
  expect(sampled.sample?.messages).toBeLessThan(0.45 * exact.differentMessages.count);
  expect(sampled.messages).toBe(exact.messages);
  expect(sampled.bytes).toBe(exact.bytes);
  expect(sampled.differentMessages).toEqual(exact.differentMessages);
  expect(Math.abs(sampled.repository.total / stored - 1)).toBeLessThan(0.5);
  const { total, interval } = sampled.repository;
  expect(interval?.low).toBeLessThan(total);
  expect(interval?.high).toBeGreaterThan(total);
});
