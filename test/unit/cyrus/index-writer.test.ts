import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { INDEX_VERSIONS, indexFormat } from "../../../src/cyrus/index-format.ts";
import { parseIndex } from "../../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../../src/cyrus/index-record.ts";
import { encodeIndex, encodeIndexRecord, type IndexHeaderValues } from "../../../src/cyrus/index-writer.ts";
import { mailboxFixture, mailboxFixtures } from "./mailbox-fixtures.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });

function time(version: number) {
  return version >= 20 ? u64 : u32.map((seconds) => BigInt(seconds) * 1_000_000_000n);
}

function recordOf(version: number): fc.Arbitrary<IndexRecord> {
  return fc.record({
    uid: u32,
    internalDateNs: time(version),
    sentDateNs: time(version),
    size: version >= 20 ? fc.maxSafeNat() : u32,
    headerSize: u32,
    gmtimeNs: time(version),
    cacheOffset: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    lastUpdatedNs: time(version),
    flagWord: u32,
    userFlags: fc.tuple(u32, u32, u32, u32),
    contentLines: u32,
    saveDateNs: time(version),
    cacheVersion: fc.integer({ min: 0, max: 0xffff }),
    guid: fc.uint8Array({ minLength: 20, maxLength: 20 }),
    modseq: u64,
    threadId: u64,
    createdModseq: u64,
    baseThreadId: u64,
    cacheCrc: u32,
  });
}

/** The values of the fields that a version has; the others as the reader gives them. */
function kept(record: IndexRecord, version: number): IndexRecord {
  const has = new Set<string>(indexFormat(version)?.record.map((field) => field.name));
  const blank: Record<string, unknown> = {
    contentLines: 0,
    saveDateNs: 0n,
    guid: undefined,
    modseq: 0n,
    threadId: 0n,
    createdModseq: 0n,
    baseThreadId: 0n,
    cacheCrc: 0,
  };
  const out: Record<string, unknown> = { ...record };
  for (const name of Object.keys(blank)) if (!has.has(name)) out[name] = blank[name];
  return out as unknown as IndexRecord;
}

function headerOf(version: number): fc.Arbitrary<IndexHeaderValues> {
  return fc.record({
    version: fc.constant(version),
    generation: u32,
    format: fc.constant(0),
    recordCount: fc.constant(0),
    lastAppendNs: time(version),
    lastUid: u32,
    quotaMailboxUsed: u64,
    pop3LastLoginNs: time(version),
    uidValidity: u32,
    deletedCount: u32,
    answeredCount: u32,
    flaggedCount: u32,
    options: u32,
    leakedCacheRecords: u32,
    highestModseq: u64,
    deletedModseq: u64,
    exists: u32,
    firstExpungedNs: time(version),
    lastRepackNs: time(version),
    headerFileCrc: u32,
    syncCrcBasic: u32,
    recentUid: u32,
    recentTimeNs: time(version),
    pop3ShowAfterNs: time(version),
    quotaAnnotUsed: version >= 20 ? u64 : u32.map(BigInt),
    syncCrcAnnot: u32,
    unseenCount: u32,
    createdModseq: u64,
    changesEpochNs: time(version),
    quotaDeletedUsed: u64,
    quotaExpungedUsed: u64,
  });
}

describe("encodeIndex()", () => {
  test.each(mailboxFixtures().map((it) => [it.name, it.index] as const))(
    "writes what it read from %s, byte for byte",
    (_, index) => {
      const { header, records } = parseIndex(index);
      expect(encodeIndex(header, records).equals(index)).toBe(true);
    },
  );

  test.each(INDEX_VERSIONS.map((version) => [version]))("is read back equal in version %i", (version) => {
    const names = new Set<string>(indexFormat(version)?.header.map((field) => field.name));
    fc.assert(
      fc.property(headerOf(version), fc.array(recordOf(version), { maxLength: 4 }), (header, records) => {
        const read = parseIndex(encodeIndex(header, records));
        expect(read.badRecords).toEqual([]);
        expect(read.extent.oddBytes).toBe(0);
        expect(read.records).toEqual(records.map((record) => kept(record, version)));
        for (const [name, value] of Object.entries(header)) {
          if (names.has(name)) expect(read.header[name as keyof IndexHeaderValues], name).toEqual(value);
        }
        expect(read.header.recordCount).toBe(records.length);
      }),
      { numRuns: 30 },
    );
  });

  test("a mailbox carried from 17 to 20 keeps every value, and can be filtered on the way", () => {
    const { header, records } = parseIndex(mailboxFixture("reconstruct-3.6.1/v17").index);
    const some = records.filter((record) => record.uid !== 3);
    const read = parseIndex(encodeIndex({ ...header, version: 20 }, some));
    expect(read.records).toEqual(some);
    expect(read.header).toMatchObject({ version: 20, recordCount: 4, uidValidity: header.uidValidity });
  });

  test("refuses what a field cannot hold", () => {
    const record = parseIndex(mailboxFixture("reconstruct-3.6.1/v17").index).records[0] as IndexRecord;
    expect(() => encodeIndexRecord({ ...record, size: 2 ** 32 }, 17)).toThrow(RangeError);
    expect(() => encodeIndexRecord({ ...record, guid: Buffer.alloc(19) }, 17)).toThrow(RangeError);
    expect(() => encodeIndexRecord(record, 11)).toThrow(RangeError);
    expect(() => encodeIndexRecord(record, 17, 100)).toThrow(RangeError);
  });
});
