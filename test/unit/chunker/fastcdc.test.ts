import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ATTACHMENT_CUTS, FastCdc, SMALL_FILE_CUTS } from "../../../src/chunker/fastcdc.ts";
import { StreamCutter } from "../../../src/chunker/stream-cutter.ts";
import { noise } from "./mail-arbitrary.ts";

const TINY = new FastCdc({ bytesMin: 64, bytesAvg: 256, bytesMax: 1024 });

function chunksOf(bytes: Uint8Array, cdc: FastCdc, whole = 0): Uint8Array[] {
  return cutInStretches([bytes], cdc, whole, true);
}

/** @param lastMarked - whether the last stretch is said to be the last, or an empty one after it. */
function cutInStretches(
  stretches: Uint8Array[],
  cdc: FastCdc,
  whole: number,
  lastMarked: boolean,
): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const cutter = new StreamCutter(cdc, whole, (chunk) => chunks.push(Buffer.from(chunk)));
  stretches.forEach((bytes, i) => {
    const own = Buffer.from(bytes);
    cutter.push(own, lastMarked && i === stretches.length - 1);
    own.fill(0xee);
  });
  if (!lastMarked) cutter.push(new Uint8Array(), true);
  return chunks;
}

const lengths = (chunks: readonly Uint8Array[]): number[] => chunks.map((chunk) => chunk.length);

describe("FastCDC", () => {
  test("cuts known bytes at known places", () => {
    expect(lengths(chunksOf(noise(3000), TINY))).toEqual([276, 300, 287, 342, 306, 309, 400, 289, 276, 215]);
    expect(lengths(chunksOf(noise(600_000), new FastCdc(SMALL_FILE_CUTS)))).toEqual([
      22319, 49005, 35111, 37111, 33497, 37550, 48687, 33258, 35015, 8999, 34393, 38114, 35181, 33625, 39324,
      40116, 35560, 3135,
    ]);
    expect(lengths(chunksOf(noise(8_000_000), new FastCdc(ATTACHMENT_CUTS)))).toEqual([
      1121932, 1216302, 1171652, 1058259, 1426727, 1209860, 795268,
    ]);
  });

  test("cuts elsewhere under another seed", () => {
    const keyed = new FastCdc(TINY.sizes, Buffer.alloc(32, 7));
    expect(lengths(chunksOf(noise(3000), keyed))).toEqual([
      281, 285, 400, 147, 286, 122, 309, 280, 261, 317, 312,
    ]);
  });

  test("its gear table is the documented one", async () => {
    const { createHmac } = await import("node:crypto");
    const word = (seed: Buffer, index: number): number =>
      createHmac("sha256", seed)
        .update(Buffer.concat([Buffer.from("cyrvault fastcdc gear"), Buffer.of(index >> 3)]))
        .digest()
        .readUInt32BE((index & 7) * 4);
    const gear = Array.from({ length: 256 }, (_, index) => word(Buffer.alloc(32), index));
    const bytes = noise(20_000, 5);
    const expected: number[] = [];
    for (let start = 0, cut = 1; cut <= bytes.length; cut++) {
      let hash = 0;
      for (const byte of bytes.subarray(Math.max(cut - 32, 0), cut))
        hash = (hash * 2 + (gear[byte] as number)) % 2 ** 32;
      const length = cut - start;
      const limit = length < 256 ? 2 ** 22 : 2 ** 26;
      if ((length < 64 || hash >= limit) && length < 1024 && cut < bytes.length) continue;
      expected.push(length);
      start = cut;
    }
    expect(lengths(chunksOf(bytes, TINY))).toEqual(expected);
  });

  test("chunks concatenate to the input and keep the bounds, however the stream comes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 9000 }),
        fc.integer(),
        fc.array(fc.integer({ min: 0, max: 2500 }), { minLength: 1 }),
        fc.constantFrom(0, 100, 1024),
        fc.boolean(),
        (count, seed, cuts, whole, lastMarked) => {
          const bytes = noise(count, seed);
          const chunks = chunksOf(bytes, TINY, whole);
          expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0);
          for (const [index, { length }] of chunks.entries()) {
            expect(length).toBeLessThanOrEqual(1024);
            if (index < chunks.length - 1) expect(length).toBeGreaterThanOrEqual(64);
          }
          if (count <= whole) expect(chunks.length).toBe(count > 0 ? 1 : 0);
          const stretches: Uint8Array[] = [];
          for (let from = 0, i = 0; from < count; i++) {
            const length = (cuts[i % cuts.length] as number) + (i % cuts.length === 0 ? 1 : 0);
            stretches.push(bytes.subarray(from, from + length));
            from += length;
          }
          const streamed = cutInStretches(stretches, TINY, whole, lastMarked && stretches.length > 0);
          expect(lengths(streamed)).toEqual(lengths(chunks));
          expect(Buffer.compare(Buffer.concat(streamed), bytes)).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a cutter can take another stream after the last stretch of one", () => {
    const chunks: number[] = [];
    const cutter = new StreamCutter(TINY, 1024, (chunk) => chunks.push(chunk.length));
    for (let round = 0; round < 2; round++) {
      cutter.push(noise(900), false);
      cutter.push(noise(900), true);
    }
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.slice(0, chunks.length / 2)).toEqual(chunks.slice(chunks.length / 2));
    cutter.push(noise(1000), false);
    cutter.push(new Uint8Array(), true);
    expect(chunks.at(-1)).toBe(1000);
  });

  test("an insertion changes a few chunks around it, no others", () => {
    const bytes = noise(60_000, 3);
    const before = new Set(chunksOf(bytes, TINY).map((chunk) => Buffer.from(chunk).toString("latin1")));
    let changedMost = 0;
    for (let at = 1000; at < 59_000; at += 1777) {
      const edited = Buffer.concat([bytes.subarray(0, at), Buffer.from("inserted"), bytes.subarray(at)]);
      const after = chunksOf(edited, TINY).filter(
        (chunk) => !before.has(Buffer.from(chunk).toString("latin1")),
      );
      changedMost = Math.max(changedMost, after.length);
      expect(after.length).toBeGreaterThan(0);
    }
    expect(changedMost).toBeLessThanOrEqual(12);
  });

  test("the average is near what was asked for", () => {
    const chunks = chunksOf(noise(16_000_000, 9), new FastCdc(SMALL_FILE_CUTS));
    const average = 16_000_000 / chunks.length;
    expect(average).toBeGreaterThan(24 * 1024);
    expect(average).toBeLessThan(48 * 1024);
  });

  test("bytes that are all the same are cut within the bounds", () => {
    for (const byte of [0, 0x20, 0xff]) {
      const chunks = chunksOf(Buffer.alloc(10_000, byte), TINY);
      expect(Math.max(...lengths(chunks))).toBeLessThanOrEqual(1024);
      expect(lengths(chunks).reduce((a, b) => a + b)).toBe(10_000);
    }
  });

  test("sizes without order, an odd average or a short seed are a bug", () => {
    expect(() => new FastCdc({ bytesMin: 64, bytesAvg: 300, bytesMax: 1024 })).toThrow("bug");
    expect(() => new FastCdc({ bytesMin: 512, bytesAvg: 256, bytesMax: 1024 })).toThrow("bug");
    expect(() => new FastCdc(TINY.sizes, Buffer.alloc(16))).toThrow("bug");
  });
});
