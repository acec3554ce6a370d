import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteString } from "../../../src/base/byte-string.ts";
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
} from "../../../src/cyrus/flags.ts";
import { INDEX_VERSIONS } from "../../../src/cyrus/index-format.ts";
import {
  forEachRecord,
  type IndexHeader,
  parseIndex,
  parseIndexHeader,
} from "../../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../../src/cyrus/index-record.ts";
import { encodeIndex } from "../../../src/cyrus/index-writer.ts";
import { expungeLeftOut, type LeftOutInput } from "../../../src/cyrus/left-out-records.ts";
import { type MessageAnnotation, SyncCrc } from "../../../src/cyrus/sync-crc.ts";

const AT_MS = 1_750_000_000_000;
const SECOND_NS = 1_000_000_000n;
const FLAG_NAMES = ["$one" as ByteString, undefined, "$Two" as ByteString];

const aRecord: fc.Arbitrary<Omit<IndexRecord, "uid">> = fc.record({
  internalDateNs: fc.integer({ min: 1, max: 2 ** 31 }).map((s) => BigInt(s) * SECOND_NS),
  sentDateNs: fc.constant(0n),
  size: fc.integer({ min: 0, max: 2 ** 30 }),
  headerSize: fc.nat(1000),
  gmtimeNs: fc.constant(0n),
  cacheOffset: fc.nat(100_000),
  lastUpdatedNs: fc.integer({ min: 1, max: 2 ** 31 }).map((s) => BigInt(s) * SECOND_NS),
  flagWord: fc
    .tuple(
      fc.nat(31),
      fc.constantFrom(0, 0, 0, INTERNAL_EXPUNGED, (INTERNAL_EXPUNGED | INTERNAL_UNLINKED) >>> 0),
    )
    .map(([low, high]) => (low | high) >>> 0),
  userFlags: fc.constantFrom<[number, number, number, number]>([0, 0, 0, 0], [5, 0, 0, 0], [1, 0, 0, 0]),
  contentLines: fc.constant(0),
  saveDateNs: fc.nat(2 ** 31).map((s) => BigInt(s) * SECOND_NS),
  cacheVersion: fc.constant(3),
  guid: fc.uint8Array({ minLength: 20, maxLength: 20 }),
  modseq: fc.integer({ min: 1, max: 500 }).map(BigInt),
  threadId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  createdModseq: fc.nat(500).map(BigInt),
  baseThreadId: fc.constant(0n),
  cacheCrc: fc.nat(),
});

const aMailbox = fc.record({
  version: fc.constantFrom(...INDEX_VERSIONS.filter((version) => version >= 12)),
  records: fc
    .array(fc.tuple(aRecord, fc.integer({ min: 1, max: 4 }), fc.boolean(), fc.boolean()), { maxLength: 40 })
    .map((list) => {
      let uid = 0;
      return list.map(([record, step, leftOut, annotated]) => {
        uid += step;
        return { record: { ...record, uid }, leftOut, annotated };
      });
    }),
  beyond: fc.nat(300),
  cut: fc.integer({ min: 1, max: 400 }),
});

/** As a server keeps it: counts and checksums right. */
function encode(version: number, records: readonly IndexRecord[], annotated: ReadonlySet<number>): Buffer {
  const there = records.filter(({ flagWord }) => (flagWord & INTERNAL_EXPUNGED) === 0);
  const count = (bit: number) => there.filter(({ flagWord }) => (flagWord & bit) !== 0).length;
  const values = {
    ...parseIndexHeader(encodeIndex(blank(version), [])),
    recordCount: records.length,
    generation: 3,
    uidValidity: 7,
    lastUid: records.at(-1)?.uid ?? 0,
    highestModseq: 500n,
    exists: there.length,
    answeredCount: count(FLAG_ANSWERED),
    flaggedCount: count(FLAG_FLAGGED),
    deletedCount: count(FLAG_DELETED),
    unseenCount: there.length - count(FLAG_SEEN),
    quotaMailboxUsed: there.reduce((sum, { size }) => sum + BigInt(size), 0n),
  };
  const plain = encodeIndex(values, records);
  const crc = crcOf(plain, annotated);
  return encodeIndex({ ...values, syncCrcBasic: crc.basic, syncCrcAnnot: crc.annot }, records);
}

function crcOf(file: Buffer, annotated: ReadonlySet<number>): SyncCrc {
  const header = parseIndexHeader(file);
  const crc = new SyncCrc(header, FLAG_NAMES);
  const end = header.headerBytes + header.recordCount * header.recordBytes;
  forEachRecord(file.subarray(header.headerBytes, end), header, 0, (view) =>
    crc.add(view, annotated.has(view.uid) ? NOTE : []),
  );
  return crc;
}

const NOTE: readonly MessageAnnotation[] = [
  { entry: "/comment" as ByteString, userId: "anna" as ByteString, value: Buffer.from("x") },
];

function blank(version: number): Omit<IndexHeader, "headerBytes" | "recordBytes" | "crcOk"> {
  const zero = { lastAppendNs: 0n, quotaMailboxUsed: 0n, pop3LastLoginNs: 0n, highestModseq: 1n };
  const times = { deletedModseq: 1n, firstExpungedNs: 0n, lastRepackNs: 0n, recentTimeNs: 0n };
  const rest = { pop3ShowAfterNs: 0n, quotaAnnotUsed: 0n, createdModseq: 0n, changesEpochNs: 0n };
  const more = { quotaDeletedUsed: 0n, quotaExpungedUsed: 0n, headerFileCrc: 0, syncCrcBasic: 0 };
  const counts = { deletedCount: 0, answeredCount: 0, flaggedCount: 0, options: 0, leakedCacheRecords: 0 };
  const ids = {
    generation: 1,
    format: 0,
    recordCount: 0,
    lastUid: 0,
    uidValidity: 1,
    exists: 0,
    recentUid: 0,
  };
  return { version, ...zero, ...times, ...rest, ...more, ...counts, ...ids, syncCrcAnnot: 0, unseenCount: 0 };
}

async function rewrite(file: Buffer, cut: number, input: Partial<LeftOutInput>): Promise<Buffer | undefined> {
  const changed = await expungeLeftOut({
    read: async function* () {
      for (let at = 0; at < file.length; at += cut) yield file.subarray(at, at + cut);
    },
    flagNames: FLAG_NAMES,
    isLeftOut: () => () => false,
    annotations: () => [],
    atMs: AT_MS,
    ...input,
  });
  if (changed === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of changed.content()) parts.push(part);
  return Buffer.concat(parts);
}

describe("an index whose messages were left out in part", () => {
  test("is what a server would have that had expunged them, in every version from 12 on", async () => {
    await fc.assert(
      fc.asyncProperty(aMailbox, async ({ version, records, beyond, cut }) => {
        const all = records.map(({ record }) => record);
        const annotated = new Set(records.filter((one) => one.annotated).map(({ record }) => record.uid));
        const going = new Set(
          records
            .filter(({ record, leftOut }) => leftOut && (record.flagWord & INTERNAL_UNLINKED) === 0)
            .map(({ record }) => record.uid),
        );
        const file = Buffer.concat([encode(version, all, annotated), Buffer.alloc(beyond, 9)]);
        const found = await rewrite(file, cut, {
          isLeftOut: () => (record) => going.has(record.uid),
          annotations: (uid) => (annotated.has(uid) ? NOTE : []),
        });
        if (going.size === 0) {
          expect(found).toBeUndefined();
          return;
        }
        const expunged = all.map((record) =>
          going.has(record.uid)
            ? {
                ...record,
                flagWord: (record.flagWord | INTERNAL_EXPUNGED | INTERNAL_UNLINKED) >>> 0,
                modseq: 501n,
                lastUpdatedNs: BigInt(AT_MS) * 1_000_000n,
              }
            : record,
        );
        const wanted = encode(version, expunged, annotated);
        expect(found?.subarray(wanted.length)).toEqual(Buffer.alloc(beyond, 9));
        const { header, records: foundRecords, badRecords } = parseIndex(found as Buffer);
        const expected = parseIndex(wanted);
        expect(badRecords).toEqual([]);
        expect(foundRecords).toEqual(expected.records);
        expect(header).toEqual({
          ...expected.header,
          highestModseq: 501n,
          options: 1 << 30,
          firstExpungedNs: BigInt(AT_MS) * 1_000_000n,
        });
      }),
      { numRuns: 150 },
    );
  });

  test("keeps what its header says when nothing was computed, and what it says of older expunges", async () => {
    const record = fc.sample(aRecord, 1)[0] as Omit<IndexRecord, "uid">;
    const records = [1, 2].map((uid) => ({
      ...record,
      uid,
      size: 100,
      flagWord: uid === 1 ? INTERNAL_EXPUNGED : 0,
    }));
    const file = encodeIndex(
      { ...blank(18), firstExpungedNs: 5n * SECOND_NS, quotaExpungedUsed: 100n, syncCrcBasic: 0 },
      records,
    );
    const found = await rewrite(file, 1000, { isLeftOut: () => () => true });
    expect(parseIndexHeader(found as Buffer)).toMatchObject({
      exists: 0,
      firstExpungedNs: 5n * SECOND_NS,
      quotaExpungedUsed: 0n,
      syncCrcBasic: 0,
      syncCrcAnnot: 0,
    });
  });

  test("a damaged record stays as it is: what it means is not known", async () => {
    const record = { ...(fc.sample(aRecord, 1)[0] as Omit<IndexRecord, "uid">), flagWord: 0 };
    const file = encode(
      17,
      [1, 2].map((uid) => ({ ...record, uid })),
      new Set(),
    );
    file.writeUInt8(file.readUInt8(file.length - 20) ^ 1, file.length - 20);
    const found = (await rewrite(file, 77, { isLeftOut: () => () => true })) as Buffer;
    expect(found.subarray(160 + 112)).toEqual(file.subarray(160 + 112));
    expect(parseIndex(found).badRecords).toEqual([1]);
  });

  test("below version 12 nothing can be expunged", async () => {
    const record = { ...(fc.sample(aRecord, 1)[0] as Omit<IndexRecord, "uid">), flagWord: 0, uid: 1 };
    const file = encodeIndex(blank(10), [record]);
    await expect(rewrite(file, 50, { isLeftOut: () => () => true })).rejects.toThrow(RangeError);
    expect(await rewrite(file, 50, {})).toBeUndefined();
  });
});
