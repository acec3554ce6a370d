import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  findRecord,
  guidOf,
  type IndexColumns,
  IndexColumnsBuilder,
  RECORD_ARCHIVED,
  RECORD_DAMAGED,
  RECORD_EXPUNGED,
  RECORD_HAS_GUID,
  RECORD_UNLINKED,
  readIndexColumns,
} from "../../../src/backup/index-columns.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { INTERNAL_ARCHIVED, INTERNAL_EXPUNGED, INTERNAL_UNLINKED } from "../../../src/cyrus/flags.ts";
import { parseIndex } from "../../../src/cyrus/index-reader.ts";
import { encodeIndex, encodeIndexHeader } from "../../../src/cyrus/index-writer.ts";
import { parseMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { mailboxFixtures } from "../cyrus/mailbox-fixtures.ts";

const FIXTURES = mailboxFixtures();

function columnsOf(file: Buffer, cuts: readonly number[] = [], header?: Buffer): IndexColumns {
  const builder = new IndexColumnsBuilder(header === undefined ? [] : parseMailboxHeader(header).flagNames);
  let from = 0;
  for (const cut of [...cuts.filter((at) => at < file.length).sort((a, b) => a - b), file.length]) {
    builder.push(file.subarray(from, cut));
    from = cut;
  }
  return builder.finish();
}

describe("columns of a cyrus.index", () => {
  test.each(FIXTURES.map((it) => [it.name, it] as const))(
    "are what parseIndex() gives: %s",
    (_, { index, header }) => {
      const parsed = parseIndex(index);
      const columns = columnsOf(index, [], header);
      expect(columns.header).toEqual(parsed.header);
      expect(columns.count).toBe(parsed.records.length);
      expect([...columns.uids]).toEqual(parsed.records.map(({ uid }) => uid));
      expect([...columns.sizes]).toEqual(parsed.records.map(({ size }) => size));
      expect(columns.damaged).toBe(parsed.badRecords.length);
      expect(columns.missingRecords).toBe(parsed.extent.recordsMissing);
      parsed.records.forEach(({ guid, flagWord }, at) => {
        const flags = columns.flags[at] ?? 0;
        expect((flags & RECORD_UNLINKED) !== 0).toBe((flagWord & INTERNAL_UNLINKED) !== 0);
        expect((flags & RECORD_EXPUNGED) !== 0).toBe((flagWord & INTERNAL_EXPUNGED) !== 0);
        expect((flags & RECORD_ARCHIVED) !== 0).toBe((flagWord & INTERNAL_ARCHIVED) !== 0);
        const known = guid?.some((byte) => byte !== 0) === true;
        expect((flags & RECORD_HAS_GUID) !== 0).toBe(known);
        const found = guidOf(columns, at);
        if (known && (flags & RECORD_DAMAGED) === 0)
          expect(Buffer.from(found ?? [])).toEqual(Buffer.from(guid));
        else expect(found).toBeUndefined();
      });
      if (columns.header.syncCrcBasic) expect(columns.syncCrc).toBe(columns.header.syncCrcBasic);
    },
  );

  test("come out the same however the file is cut into stretches", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FIXTURES),
        fc.array(fc.nat(5000), { maxLength: 40 }),
        fc.nat(),
        ({ index }, cuts, end) => {
          const file = index.subarray(0, Math.max(160, end % (index.length + 1)));
          let whole: IndexColumns | undefined;
          try {
            whole = columnsOf(file);
          } catch (error) {
            expect(error).toBeInstanceOf(CyrvaultError);
            expect(() => columnsOf(file, cuts)).toThrow(CyrvaultError);
            return;
          }
          expect(columnsOf(file, cuts)).toEqual(whole);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("say how many committed records are missing and how many bytes lie beyond", () => {
    const [fixture] = FIXTURES.filter(({ index }) => parseIndex(index).records.length >= 2);
    if (fixture === undefined) throw new Error("no fixture");
    const { recordBytes } = parseIndex(fixture.index).header;
    expect(columnsOf(fixture.index.subarray(0, fixture.index.length - 1)).missingRecords).toBe(1);
    const longer = Buffer.concat([fixture.index, Buffer.alloc(recordBytes + 3)]);
    expect(columnsOf(longer)).toMatchObject({ beyondBytes: recordBytes + 3, missingRecords: 0 });
  });

  test("of records in no order come sorted, and say that they were not", () => {
    const parsed = parseIndex(largest().index);
    const shuffled = columnsOf(encodeIndex(parsed.header, [...parsed.records].reverse()));
    const sorted = columnsOf(encodeIndex(parsed.header, parsed.records));
    expect(shuffled.ordered).toBe(false);
    expect(sorted.ordered).toBe(true);
    for (const part of ["uids", "sizes", "flags", "guids"] as const)
      expect(Buffer.from(shuffled[part].slice().buffer)).toEqual(Buffer.from(sorted[part].slice().buffer));
  });

  test("find a record by its UID, and none for others", () => {
    const columns = columnsOf(largest().index);
    for (const [at, uid] of columns.uids.entries()) expect(findRecord(columns, uid)).toBe(at);
    expect(findRecord(columns, 0)).toBe(-1);
    expect(findRecord(columns, 4_294_967_295)).toBe(-1);
  });

  test("of random bytes, or of none, are refused and nothing else", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(500), Buffer.from("x".repeat(1000))])
      expect(await readIndexColumns([bytes], [])).toBeInstanceOf(CyrvaultError);
  });

  test("a record count that lies takes no memory for what is not there", () => {
    const parsed = parseIndex(largest().index);
    const lying = encodeIndex({ ...parsed.header }, parsed.records);
    // Version 10 and above have a CRC: a header with another count is refused before its count matters.
    lying.writeUInt32BE(0xffff_ffff, 20);
    try {
      expect(columnsOf(lying).count).toBe(parsed.records.length);
    } catch (error) {
      expect(error).toMatchObject({ code: "CYRUS_BAD_CHECKSUM" });
    }
    const before = process.memoryUsage().arrayBuffers;
    const old = FIXTURES.find(({ index }) => parseIndex(index).header.version < 10);
    if (old === undefined) throw new Error("no old fixture");
    const file = Buffer.from(old.index);
    file.writeUInt32BE(0xffff_ffff, 20);
    const columns = columnsOf(file);
    expect(columns.missingRecords).toBe(0xffff_ffff - columns.count);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test("take no more than 80 bytes a record while they grow: 80 MB for a million", () => {
    const parsed = parseIndex(largest().index);
    const [record] = parsed.records;
    if (record === undefined) throw new Error("no record");
    const count = 200_000;
    const { header } = parsed;
    const one = encodeIndex({ ...header, version: 17 }, [record]);
    const row = one.subarray(one.readUInt32BE(12));
    const builder = new IndexColumnsBuilder([]);
    const full = encodeHeader(header, count);
    builder.push(full);
    const stretch = Buffer.alloc(row.length * 2000);
    for (let i = 0; i < 2000; i++) row.copy(stretch, i * row.length);
    globalThis.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    for (let i = 0; i < count; i += 2000) {
      for (let k = 0; k < 2000; k++) stretch.writeUInt32BE(i + k + 1, k * row.length);
      builder.push(stretch);
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    }
    const columns = builder.finish();
    expect(columns.count).toBe(count);
    expect(columns.uids[count - 1]).toBe(count);
    expect(columns.ordered).toBe(true);
    const held =
      columns.uids.buffer.byteLength + columns.sizes.buffer.byteLength + columns.guids.buffer.byteLength;
    expect(held + columns.flags.buffer.byteLength).toBeLessThan(40 * count);
    expect(peak).toBeLessThan(80 * count);
  });
});

function encodeHeader(header: Parameters<typeof encodeIndex>[0], recordCount: number): Buffer {
  return encodeIndexHeader({ ...header, version: 17, recordCount });
}

function largest(): (typeof FIXTURES)[number] {
  const found = [...FIXTURES].sort((a, b) => b.index.length - a.index.length)[0];
  if (found === undefined) throw new Error("no fixtures");
  return found;
}
