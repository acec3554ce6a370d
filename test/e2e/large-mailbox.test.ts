/**
 * What a day costs where a mailbox is large: what is stored and opened goes by what changed. `CYRVAULT_HEAVY=1`: an index
 * of a million records instead of 250,000.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { FLAG_DELETED, INTERNAL_EXPUNGED, INTERNAL_UNLINKED } from "../../src/cyrus/flags.ts";
import { parseIndexHeader } from "../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../src/cyrus/index-record.ts";
import { encodeIndexHeader, encodeIndexRecord } from "../../src/cyrus/index-writer.ts";
import { type BackupResult, type CheckResult, type RestoreResult, runJson } from "../support/cli.ts";
import { inMiB, measureJson } from "../support/memory-peak.ts";
import { OpenWatch } from "../support/open-watch.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { mail, sha1, TinyServer } from "../unit/backup/tiny-server.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
const MESSAGES = 100_000;
const RECORDS = HEAVY ? 1_000_000 : 250_000;
const STORED_ONE_NEW_MAX = 300 * 1024;
const STORED_UNCHANGED_MAX = 64 * 1024;
const PEAK_MAX = 256_000_000;
/** What changed less than two seconds ago is looked at again. */
const SETTLE_MS = 2_500;

type Result = BackupResult & { readonly directories: { readonly total: number; readonly listed: number } };

const SPOOL = "var/spool/cyrus";

test("one new message in a large mailbox is one message read and little stored, and nothing new costs nothing", async () => {
  using dir = tempDir();
  const server = new TinyServer(dir.in("server"));
  const mailbox = server.add(
    "user.anna",
    Array.from({ length: MESSAGES }, (_, i) => mail(`number ${i}`)),
  );
  server.add("user.bob", ["another"]);
  const env = sealedRepository(dir.path);
  const backUp = async (what: string): Promise<Result> => {
    const { result, peakBytes, seconds } = await measureJson<Result>(["backup", "--root", server.root], {
      env,
    });
    const { messages, bytes, directories } = result;
    process.stdout.write(
      `${what}: ${messages.read} of ${messages.total} messages read, ${bytes.stored} bytes stored, ` +
        `${directories.listed} directories listed, ${inMiB(peakBytes)}, ${seconds.toFixed(1)} s\n`,
    );
    expect(peakBytes).toBeLessThan(PEAK_MAX);
    return result;
  };
  await runJson(["init"], { env });
  await delay(SETTLE_MS);
  const first = await backUp("first");
  expect(first.messages).toMatchObject({ total: MESSAGES + 1, read: MESSAGES + 1 });

  server.append(mailbox, "one more");
  await delay(SETTLE_MS);
  const watch = new OpenWatch([server.path(SPOOL)]);
  const second = await backUp("one new message");
  const opened = watch.take().filter((path) => /\/\d+\.$/.test(path));
  expect(second.messages).toEqual({ total: MESSAGES + 2, new: 1, read: 1 });
  expect(opened).toEqual([server.message(mailbox, MESSAGES + 1)]);
  expect(second.bytes.stored).toBeLessThanOrEqual(STORED_ONE_NEW_MAX);

  const third = await backUp("nothing new");
  expect(watch.take().filter((path) => path.endsWith("/") || /\/\d+\.$/.test(path))).toEqual([]);
  watch.close();
  expect(third.messages).toEqual({ total: MESSAGES + 2, new: 0, read: 0 });
  expect(third.mailboxes).toMatchObject({ unchanged: 2, changed: 0 });
  expect(third.directories.listed).toBe(0);
  expect(third.bytes.stored).toBeLessThanOrEqual(STORED_UNCHANGED_MAX);

  const { errors } = await runJson<CheckResult>(["check"], { env });
  expect(errors).toEqual([]);
  const restore = await runJson<RestoreResult>(
    [
      "restore",
      third.backup,
      "--target",
      dir.in("restored"),
      "--mailbox",
      "user.anna",
      "--uid",
      String(MESSAGES + 1),
    ],
    { env },
  );
  expect(restore.messages).toBe(1);
  const back = dir.in("restored", server.message(mailbox, MESSAGES + 1).slice(server.root.length));
  expect(readFileSync(back)).toEqual(mail("one more"));
});

test("a mailbox whose index has very many records takes neither much memory nor long", async () => {
  using dir = tempDir();
  const server = new TinyServer(dir.in("server"));
  const mailbox = server.add("user.anna", ["one", "two", "three"]);
  const index = join(server.directory(mailbox), "cyrus.index");
  writeManyRecords(index);
  const env = sealedRepository(dir.path);
  await runJson(["init"], { env });
  await delay(SETTLE_MS);
  for (const what of ["first", "unchanged", "every message again"]) {
    const args = ["backup", "--root", server.root, ...(what.startsWith("every") ? ["--scrub", "all"] : [])];
    const { result, peakBytes, seconds } = await measureJson<Result>(args, { env });
    process.stdout.write(
      `${RECORDS} records, ${what}: ${result.bytes.stored} bytes stored, ${inMiB(peakBytes)}, ${seconds.toFixed(1)} s\n`,
    );
    expect(result.findings).toEqual([]);
    expect(result.messages.total).toBe(3);
    expect(result.messages.read).toBe(what === "unchanged" ? 0 : 3);
    expect(peakBytes).toBeLessThan(PEAK_MAX);
    expect(seconds).toBeLessThan(HEAVY ? 120 : 60);
    if (what !== "first") expect(result.bytes.stored).toBeLessThanOrEqual(STORED_UNCHANGED_MAX);
  }
  const target = dir.in("restored");
  const restore = await measureJson<RestoreResult>(["restore", "latest", "--target", target], { env });
  process.stdout.write(`restore: ${inMiB(restore.peakBytes)}, ${restore.seconds.toFixed(1)} s\n`);
  expect(restore.peakBytes).toBeLessThan(PEAK_MAX);
  expect(compareTrees(readTree(server.path(SPOOL)), readTree(join(target, SPOOL)))).toEqual([]);
});

/** Behind the three messages that are there: expunged long ago, their files gone, their records not yet. */
function writeManyRecords(path: string): void {
  const bytes = readFileSync(path);
  const header = parseIndexHeader(bytes);
  const fd = openSync(path, "w");
  writeSync(fd, encodeIndexHeader({ ...header, recordCount: RECORDS + 3, lastUid: RECORDS + 3 }));
  writeSync(fd, bytes.subarray(header.headerBytes));
  let held: Buffer[] = [];
  for (let i = 0; i < RECORDS; i++) {
    held.push(encodeIndexRecord(goneRecord(i + 4), header.version));
    if (held.length < 10_000 && i < RECORDS - 1) continue;
    writeSync(fd, Buffer.concat(held));
    held = [];
  }
  closeSync(fd);
}

function goneRecord(uid: number): IndexRecord {
  return {
    uid,
    internalDateNs: 1_700_000_000_000_000_000n,
    sentDateNs: 0n,
    size: 1000 + (uid % 5000),
    headerSize: 300,
    gmtimeNs: 0n,
    cacheOffset: 4 * uid,
    lastUpdatedNs: 0n,
    flagWord: (FLAG_DELETED | INTERNAL_EXPUNGED | INTERNAL_UNLINKED) >>> 0,
    userFlags: [0, 0, 0, 0],
    contentLines: 10,
    saveDateNs: 0n,
    cacheVersion: 0,
    guid: sha1(Buffer.from(String(uid))),
    modseq: BigInt(uid),
    threadId: BigInt(uid) * 977n,
    createdModseq: BigInt(uid),
    baseThreadId: 0n,
    cacheCrc: uid,
  };
}
