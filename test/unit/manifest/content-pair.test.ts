import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChunkPair } from "../../../src/chunker/chunk-pair.ts";
import { pairIndexRecords } from "../../../src/chunker/index-pairs.ts";
import { chunkSmallFile } from "../../../src/chunker/small-file.ts";
import { pairTwoskip } from "../../../src/chunker/twoskip-pairs.ts";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";
import { readContent, storeContent } from "../../../src/manifest/content.ts";
import { PairJoiner } from "../../../src/manifest/content-pair.ts";
import { answersOrRefuses, collect, MemoryPages } from "./support.ts";

const VERBATIM = 0;
const SIZES = { bytesMin: 512, bytesAvg: 2048, bytesMax: 8192 };

function* stretchesOf(bytes: Buffer, length: number): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += length) yield bytes.subarray(from, from + length);
}

/** Copies, since a pair's bytes are a view. @throws unless every pair makes its bytes again. */
function proven(pairs: Iterable<ChunkPair>): { file: Buffer; kept: string[]; verbatimBytes: number } {
  const joiner = new PairJoiner();
  const stretches: Buffer[] = [];
  const kept: string[] = [];
  let verbatimBytes = 0;
  for (const { bytes, lasting, changing } of pairs) {
    const joined = Buffer.from(joiner.join(lasting, changing));
    expect(Buffer.compare(joined, bytes)).toBe(0);
    stretches.push(Buffer.from(joined));
    kept.push(Buffer.from(lasting).toString("latin1"), Buffer.from(changing).toString("latin1"));
    if (changing[0] === VERBATIM) verbatimBytes += bytes.length;
  }
  return { file: Buffer.concat(stretches), kept, verbatimBytes };
}

function databaseOf(count: number, valueBytes: number): Buffer {
  const key = (i: number): Buffer => Buffer.from(`G${String(i).padStart(7, "0")}`);
  const value = (i: number): Buffer => Buffer.alloc(valueBytes + (i % 7), (i * 31) % 251);
  return encodeTwoskip(Array.from({ length: count }, (_, i) => ({ key: key(i), value: value(i) })));
}

/** A cyrus.index as far as a pair depends on it: records with right CRCs. */
function indexOf(uids: readonly number[], cacheBytes: (uid: number) => number, recordBytes = 112): Buffer {
  const header = Buffer.alloc(160, 3);
  header.writeUInt32BE(160, 12);
  header.writeUInt32BE(recordBytes, 16);
  let cacheOffset = 4;
  const records = uids.map((uid) => {
    const record = Buffer.alloc(recordBytes, uid % 256);
    record.writeUInt32BE(uid, 0);
    record.writeUInt32BE(cacheOffset >>> 0, 24);
    cacheOffset += cacheBytes(uid);
    record.writeUInt32BE(crc32(record.subarray(0, recordBytes - 4)), recordBytes - 4);
    return record;
  });
  return Buffer.concat([header, ...records]);
}

const layoutOf = (recordBytes: number) => ({ headerBytes: 160, recordBytes });
const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const newOnes = (before: readonly string[], after: readonly string[]): string[] => {
  const known = new Set(before);
  return after.filter((object) => !known.has(object));
};

describe("a twoskip database", () => {
  test("comes back, whatever its records and however it is read", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.uint8Array({ minLength: 1, maxLength: 40 }), {
          selector: (key) => Buffer.from(key).toString("hex"),
          maxLength: 60,
        }),
        fc.nat({ max: 3000 }),
        fc.integer({ min: 1, max: 4000 }),
        (keys, valueBytes, stretch) => {
          const records = keys
            .map((key, i) => ({ key: Buffer.from(key), value: Buffer.alloc((valueBytes * i) % 3001, i) }))
            .sort((a, b) => Buffer.compare(a.key, b.key));
          const file = encodeTwoskip(records);
          const { file: joined, verbatimBytes } = proven(pairTwoskip(stretchesOf(file, stretch + 64), SIZES));
          expect(Buffer.compare(joined, file)).toBe(0);
          expect(verbatimBytes).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("comes back where bytes of it are changed, cut off or added", () => {
    const file = databaseOf(300, 50);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: file.length - 1 }), fc.nat({ max: 255 })), { maxLength: 4 }),
        fc.nat({ max: file.length }),
        fc.uint8Array({ maxLength: 100 }),
        (changes, length, more) => {
          const damaged = Buffer.concat([file.subarray(0, Math.max(64, length)), more]);
          for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
          expect(Buffer.compare(proven(pairTwoskip(stretchesOf(damaged, 1000), SIZES)).file, damaged)).toBe(
            0,
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  test("is kept as it is from the first unsound record, and only from there", () => {
    const file = databaseOf(4000, 50);
    const at = Math.floor(file.length / 2);
    file.fill(0xff, at, at + 200);
    const { verbatimBytes } = proven(pairTwoskip([file], SIZES));
    expect(verbatimBytes).toBeGreaterThan(file.length / 2 - 1000);
    expect(verbatimBytes).toBeLessThan(file.length / 2 + 2 * SIZES.bytesMax);
  });

  test("of which links change everywhere stores links anew and nothing else", () => {
    const file = databaseOf(4000, 50);
    const { kept } = proven(pairTwoskip([file], SIZES));
    const changed = Buffer.from(file);
    for (let at = 64; at < changed.length; ) {
      const links = at + 8;
      const level = changed[at + 1] as number;
      const crcAt = links + (level + 1) * 8;
      changed.writeUInt32BE(changed.readUInt32BE(links + 4) + 8, links + 4);
      changed.writeUInt32BE(crc32(changed.subarray(at, crcAt)), crcAt);
      at = crcAt + 8 + Math.ceil((changed.readUInt16BE(at + 2) + changed.readUInt32BE(at + 4)) / 8) * 8;
    }
    const after = newOnes(kept, proven(pairTwoskip([changed], SIZES)).kept);
    expect(after.length).toBe(kept.length / 2);
    expect(after.join("").length).toBeLessThan(file.length / 2);
  });

  test("holds little at a time, and takes time in proportion to its size", () => {
    const file = databaseOf(24_000, 100);
    const cpu = (bytes: Buffer): number => {
      const began = process.cpuUsage();
      for (const { bytes: stretch } of pairTwoskip(stretchesOf(bytes, 256 * 1024)))
        expect(stretch.length).toBeLessThanOrEqual(128 * 1024 + 1024);
      const { user, system } = process.cpuUsage(began);
      return user + system;
    };
    cpu(file);
    const small = cpu(file.subarray(0, file.length / 4));
    expect(cpu(file)).toBeLessThan(small * 16 + 100_000);
  });
});

describe("a cyrus.index", () => {
  test("comes back with records of any known size, sound or not, and whatever follows them", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(96, 104, 112),
        fc.nat({ max: 400 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
        fc.uint8Array({ maxLength: 90 }),
        fc.integer({ min: 1, max: 5000 }),
        (recordBytes, count, changes, more, stretch) => {
          const index = indexOf(range(5, count), (uid) => (uid * 7919) % 0xffff_ffff, recordBytes);
          const file = Buffer.concat([index, more]);
          for (const [at, value] of changes) if (count > 0) file[160 + (at % (file.length - 160))] = value;
          const pairs = pairIndexRecords(layoutOf(recordBytes), stretchesOf(file, stretch), file.length);
          expect(Buffer.compare(proven(pairs).file, file)).toBe(0);
        },
      ),
      { numRuns: 80 },
    );
  });

  test("costs a repack two pairs for a message that is gone, though all offsets have moved", () => {
    const cacheBytes = (uid: number): number => 500 + (uid % 300);
    const before = indexOf(range(1, 20_000), cacheBytes);
    const after = indexOf(
      range(1, 20_000).filter((uid) => uid !== 7000),
      cacheBytes,
    );
    after.writeUInt32BE(2, 0);
    const { kept } = proven(pairIndexRecords(layoutOf(112), [before], before.length));
    const fresh = newOnes(kept, proven(pairIndexRecords(layoutOf(112), [after], after.length)).kept);
    // The header is in the first pair.
    expect(fresh.length).toBeLessThanOrEqual(1 + 2 * 2);
    expect(kept.length).toBeGreaterThan(400);
  });
});

test("a large cyrus.index has a short list of pairs: less than half a byte of ids a message", () => {
  const file = Buffer.alloc(160 + 40_000 * 112);
  for (let uid = 1; uid <= 40_000; uid++) file.writeUInt32BE(uid, 160 + (uid - 1) * 112);
  const pairs = [...pairIndexRecords(layoutOf(112), [file], file.length)].length;
  expect(pairs).toBeGreaterThan(100);
  expect(pairs * 64).toBeLessThan(40_000 * 0.35);
});

describe("PairJoiner", () => {
  test("answers or refuses, whatever it is given", () => {
    const [twoskip] = pairTwoskip([databaseOf(50, 30)]);
    const [index] = pairIndexRecords(layoutOf(112), [indexOf(range(1, 30), () => 500)], 1);
    const bytes = (sound: Uint8Array | undefined) =>
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.nat()).map(([at, value, length]) => {
          const all = Buffer.from(sound ?? []);
          all[at % all.length] = value;
          return all.subarray(0, all.length - (length % 3) * (length % 50));
        }),
      );
    for (const pair of [twoskip, index])
      fc.assert(
        fc.property(bytes(pair?.lasting), bytes(pair?.changing), (lasting, changing) => {
          answersOrRefuses(() => new PairJoiner().join(lasting, changing));
        }),
        { numRuns: 400 },
      );
  });

  test("refuses a method that it does not know", () => {
    expect(() => new PairJoiner().join(new Uint8Array(1), new Uint8Array([3]))).toThrow(/unknown method/);
  });
});

describe("storeContent() of pairs", () => {
  test("gives back the file, and finds what has lasted", async () => {
    const pages = new MemoryPages();
    const file = databaseOf(3000, 50);
    const chunks = chunkSmallFile("conversations.db", file.length, (offset, length) =>
      file.subarray(offset, offset + length),
    );
    const content = await storeContent(chunks, pages);
    expect(content).toMatchObject({ form: "pairs", size: file.length });
    expect(Buffer.compare(Buffer.concat(await collect(readContent(content, pages))), file)).toBe(0);
  });

  test("keeps a pair as it is that would not make its bytes", async () => {
    const pages = new MemoryPages();
    const bytes = Buffer.alloc(900, 7);
    const wrong = { bytes, lasting: Buffer.alloc(900, 8), changing: Buffer.from([VERBATIM]) };
    const content = await storeContent([wrong], pages);
    expect(Buffer.compare(Buffer.concat(await collect(readContent(content, pages))), bytes)).toBe(0);
  });
});

test("a pair that does not make its bytes is stored as it is, and the pairs behind it still come back", async () => {
  const file = indexOf(range(1, 400), (uid) => 40 + (uid % 9));
  const pairs = [...pairIndexRecords(layoutOf(112), stretchesOf(file, 4096), file.length)].map(
    ({ bytes, lasting, changing }) => ({
      bytes: Buffer.from(bytes),
      lasting: Buffer.from(lasting),
      changing,
    }),
  );
  expect(pairs.length).toBeGreaterThan(3);
  for (const wrong of [
    (changing: Uint8Array) => changing.with(changing.length - 1, (changing.at(-1) as number) ^ 1),
    (changing: Uint8Array) => changing.slice(0, -1),
  ])
    for (let broken = 0; broken < pairs.length; broken++) {
      const pages = new MemoryPages();
      const given = pairs.map((pair, i) =>
        i === broken ? { ...pair, changing: wrong(pair.changing) } : pair,
      );
      const content = await storeContent(given, pages);
      expect(Buffer.concat(await collect(readContent(content, pages))).equals(file)).toBe(true);
    }
});
