/**
 * Memory stays below 256 MB whatever there is to back up. `CYRVAULT_HEAVY=1`: 130,000 messages instead of 12,000; what is
 * shown here is that it stays far enough below, and that most of it has nothing to do with the number of messages.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import type { SampleCounts } from "../../src/sample/sample-server.ts";
import type { BackupResult, CheckResult, RestoreResult } from "../support/cli.ts";
import { inMiB, type Measured, MIB, measureJson } from "../support/memory-peak.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { comparable } from "../unit/restore/restore-fixture.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
const MESSAGES = HEAVY ? 130_000 : 12_000;
const PEAK_MAX = 256_000_000;

let dir: TempDir;
let counts: SampleCounts;
beforeAll(() => {
  dir = tempDir();
  // One user with one mailbox gets four fifths of the mail.
  const server = generateServer(dir.in("server"), {
    users: 1,
    foldersPerUser: 1,
    messages: MESSAGES,
    attachmentShare: 0.2,
    documentScale: 0.05,
    textScale: 0.5,
  });
  counts = server.counts;
});
afterAll(() => dir.remove());

/** Encrypted: that the key is derived from the password takes 128 MiB for half a second. */
async function measure<T>(what: string, args: readonly string[]): Promise<Measured<T>> {
  const env = { CYRVAULT_REPO: dir.in("repository"), CYRVAULT_PASSWORD: "correct horse" };
  const measured = await measureJson<T>(args, { env });
  const { peakBytes, seconds } = measured;
  process.stdout.write(`${what}: ${inMiB(peakBytes)}, ${seconds.toFixed(1)} s\n`);
  expect(peakBytes, what).toBeLessThan(PEAK_MAX);
  return measured;
}

test("backup, unchanged run, check and restore stay below 256 MB", async () => {
  process.stdout.write(`${counts.messages} messages, ${inMiB(counts.bytes)}\n`);
  await measure("init", ["init"]);
  const backup = ["backup", "--config", dir.in("server/etc/imapd.conf")];
  const first = await measure<BackupResult>("first backup", backup);
  expect(first.result.messages.read).toBeGreaterThanOrEqual(counts.messages);
  // Of the limit, a part is left for servers with more mail.
  if (!HEAVY) expect(first.peakBytes).toBeLessThan(220 * MIB);
  await measure<BackupResult>("unchanged", backup);
  await measure<CheckResult>("check", ["check"]);
  const check = await measure<CheckResult>("check --read-data", ["check", "--read-data"]);
  expect(check.result.errors).toEqual([]);
  await measure<RestoreResult>("restore", ["restore", "latest", "--target", dir.in("restored")]);
  expect(
    compareTrees(readTree(dir.in("server")), readTree(dir.in("restored") + dir.in("server")), comparable),
  ).toEqual([]);
});
