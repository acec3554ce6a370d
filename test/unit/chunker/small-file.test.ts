import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { pairIndexRecords } from "../../../src/chunker/index-pairs.ts";
import { chunkIndexRecords } from "../../../src/chunker/index-records.ts";
import { chunkSmallFile } from "../../../src/chunker/small-file.ts";
import { noise } from "./mail-arbitrary.ts";

const LAYOUT = { headerBytes: 160, recordBytes: 112 };

/** A cyrus.index as far as its cuts depend on it. */
function indexOf(uids: readonly number[], trailing = 0): Buffer {
  const bytes = noise(LAYOUT.headerBytes + uids.length * LAYOUT.recordBytes + trailing, uids.length);
  bytes.writeUInt32BE(LAYOUT.headerBytes, 12);
  bytes.writeUInt32BE(LAYOUT.recordBytes, 16);
  for (const [i, uid] of uids.entries())
    bytes.writeUInt32BE(uid, LAYOUT.headerBytes + i * LAYOUT.recordBytes);
  return bytes;
}

function* stretchesOf(bytes: Buffer, length: number): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += length) {
    const stretch = Buffer.from(bytes.subarray(from, from + length));
    yield stretch;
    stretch.fill(0xee);
  }
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const texts = (chunks: Iterable<Uint8Array>): string[] =>
  [...chunks].map((chunk) => Buffer.from(chunk).toString("latin1"));

/** The stretches of the file, whichever way they are to be stored. */
function* cut(...args: Parameters<typeof chunkSmallFile>): Generator<Uint8Array> {
  for (const chunk of chunkSmallFile(...args)) yield "lasting" in chunk ? Buffer.from(chunk.bytes) : chunk;
}

function small(name: string, bytes: Buffer, stretch = 100_000): Uint8Array[] {
  let expected = 0;
  return [
    ...cut(name, bytes.length, (offset, length) => {
      expect(offset).toBe(expected);
      const read = bytes.subarray(offset, offset + Math.min(length, stretch));
      expected += read.length;
      return read;
    }),
  ];
}

describe("chunkIndexRecords", () => {
  test("chunks make the file, whatever its length and however it comes", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 3000 }),
        fc.nat({ max: 111 }),
        fc.integer({ min: 1, max: 50_000 }),
        (records, trailing, stretch) => {
          const file = indexOf(range(1, records), trailing).subarray(
            0,
            records === 0 ? trailing + 60 : undefined,
          );
          const chunks = [...chunkIndexRecords(LAYOUT, stretchesOf(file, stretch))];
          expect(Buffer.compare(Buffer.concat(chunks), file)).toBe(0);
          expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
          if (records > 0 && trailing > 0) expect(chunks.at(-1)?.length).toBe(trailing);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("the header is alone, and records are never cut", () => {
    const chunks = [...chunkIndexRecords(LAYOUT, [indexOf(range(1, 20_000))])];
    expect(chunks[0]?.length).toBe(160);
    const records = chunks.slice(1).map((chunk) => chunk.length / 112);
    expect(records.every(Number.isInteger)).toBe(true);
    expect(Math.min(...records.slice(0, -1))).toBeGreaterThanOrEqual(64);
    expect(Math.max(...records)).toBeLessThanOrEqual(1024);
    expect(20_000 / records.length).toBeGreaterThan(180);
    expect(20_000 / records.length).toBeLessThan(340);
  });

  test("a changed record changes one chunk, an expunged or appended one a few at most", () => {
    const uids = range(1, 10_000);
    const before = new Set(texts(chunkIndexRecords(LAYOUT, [uniform(uids)])));
    const changedBy = (file: Buffer): number =>
      texts(chunkIndexRecords(LAYOUT, [file])).filter((chunk) => !before.has(chunk)).length;
    const flagged = uniform(uids);
    flagged[LAYOUT.headerBytes + 5000 * LAYOUT.recordBytes + 50] = 99;
    expect(changedBy(flagged)).toBe(1);
    expect(changedBy(uniform([...uids, 10_001]))).toBe(1);
    for (const gone of [10, 1234, 5678, 9999])
      expect(changedBy(uniform(uids.filter((uid) => uid !== gone)))).toBeLessThanOrEqual(3);
  });
});

/** Records that differ in their UID alone. */
function uniform(uids: readonly number[]): Buffer {
  const bytes = Buffer.alloc(LAYOUT.headerBytes + uids.length * LAYOUT.recordBytes);
  for (const [i, uid] of uids.entries())
    bytes.writeUInt32BE(uid, LAYOUT.headerBytes + i * LAYOUT.recordBytes);
  return bytes;
}

describe("chunkSmallFile", () => {
  test("an empty file has no chunk, one of up to 64 KiB has one", () => {
    expect(small("cyrus.header", Buffer.alloc(0))).toEqual([]);
    for (const count of [1, 65_536]) expect(small("cyrus.cache", noise(count)).length).toBe(1);
  });

  test("a cyrus.index comes in pairs, one with records of an unknown size by records, under any other name by content", () => {
    const file = indexOf(range(1, 3000));
    const pairs = [...pairIndexRecords(LAYOUT, [file], file.length)].map(({ bytes }) => bytes);
    expect(texts(small("cyrus.index", file))).toEqual(texts(pairs));
    const odd = { headerBytes: 160, recordBytes: 144 };
    const other = Buffer.from(file);
    other.writeUInt32BE(odd.recordBytes, 16);
    expect(texts(small("cyrus.index", other))).toEqual(texts(chunkIndexRecords(odd, [other])));
    expect(texts(small("cyrus.index.copy", file))).not.toEqual(texts(small("cyrus.index", file)));
  });

  test("a cyrus.index whose header makes no sense is cut by content", () => {
    for (const [offset, value] of [
      [12, 0],
      [12, 1_000_000],
      [16, 0],
      [16, 3],
      [16, 0xffff_ffff],
    ] as const) {
      const file = indexOf(range(1, 3000));
      file.writeUInt32BE(value, offset);
      const chunks = small("cyrus.index", file);
      expect(texts(chunks)).toEqual(texts(small("other", file)));
      expect(Buffer.compare(Buffer.concat(chunks), file)).toBe(0);
    }
  });

  test("chunks make the file, are at most 128 KiB, and don't depend on how much a read gives", () => {
    const file = noise(2_000_000, 4);
    const chunks = small("mailboxes.db", file);
    expect(Buffer.compare(Buffer.concat(chunks), file)).toBe(0);
    expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(128 * 1024);
    expect(chunks.length).toBeGreaterThan(10);
    expect(texts(small("mailboxes.db", file, 7777))).toEqual(texts(chunks));
  });

  test("a file that has shrunk ends where the reads end", () => {
    const file = noise(300_000, 4);
    for (const name of ["a.db", "cyrus.index"]) {
      const chunks = [...cut(name, 900_000, (offset, length) => file.subarray(offset, offset + length))];
      expect(Buffer.compare(Buffer.concat(chunks), file)).toBe(0);
    }
  });

  test("a read may reuse its buffer", () => {
    const file = noise(1_000_000, 4);
    const buffer = Buffer.alloc(300_000);
    const read = (offset: number, length: number): Buffer =>
      buffer.subarray(0, file.copy(buffer, 0, offset, offset + length));
    expect(Buffer.compare(Buffer.concat([...cut("a.db", file.length, read)]), file)).toBe(0);
  });

  test("an index of 112 MB is cut while holding less than 2 MiB", () => {
    const record = Buffer.alloc(256 * 1024);
    const size = 112_000_000;
    const first = indexOf(range(1, 2)).subarray(0, LAYOUT.headerBytes);
    let asked = 0;
    let given = 0;
    let aheadMost = 0;
    const read = (offset: number, length: number): Buffer => {
      asked = offset + length;
      const bytes = record.subarray(0, length);
      bytes.fill(0, 0, 200);
      if (offset === 0) first.copy(bytes);
      return bytes;
    };
    for (const chunk of cut("cyrus.index", size, read)) {
      given += chunk.length;
      aheadMost = Math.max(aheadMost, asked - given);
    }
    expect(given).toBe(size);
    expect(aheadMost).toBeLessThan(1024 * 1024);
  });
});
