import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { Cache } from "../../../src/store/cache.ts";
import { newKeySet, sealContextOf } from "../../../src/store/key-set.ts";
import { asPackId, type PackId } from "../../../src/store/pack-types.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import { Segment } from "../../../src/store/segment.ts";
import {
  type CoveredPack,
  decodeSegmentDirectory,
  GROUP_PAGES,
  type SegmentId,
  SegmentShape,
  segmentName,
} from "../../../src/store/segment-format.ts";
import { mergeSegments, planMerge } from "../../../src/store/segment-merge.ts";
import { SegmentWriter } from "../../../src/store/segment-writer.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { content } from "./repository-fixture.ts";

const PLAIN = new Sealer(UNENCRYPTED);
const packId = (n: number): PackId => asPackId(content(`pack ${n}`, 32));
const pack = (n: number, objects: number): CoveredPack => ({ packId: packId(n), packKind: "data", objects });

interface Entry {
  readonly id: Buffer;
  readonly pack: number;
  readonly ordinal: number;
}

function compareEntries(a: Entry, b: Entry): number {
  return (
    Buffer.compare(a.id.subarray(0, 20), b.id.subarray(0, 20)) || a.pack - b.pack || a.ordinal - b.ordinal
  );
}

async function write(
  backend: MemoryBackend,
  packs: readonly CoveredPack[],
  entries: readonly Entry[],
  sealer = PLAIN,
): Promise<Segment> {
  const writer = await SegmentWriter.begin(backend, sealer, { packs, replaces: [] });
  for (const entry of [...entries].sort(compareEntries))
    await writer.add(entry.id, 0, entry.pack, entry.ordinal);
  const { id } = await writer.finish();
  return await open(backend, id, sealer);
}

async function open(backend: MemoryBackend, id: SegmentId, sealer = PLAIN): Promise<Segment> {
  const segment = await Segment.open(backend, sealer, id, new Cache(1 << 24, (page) => page.length));
  if (segment === undefined) throw new Error("no segment");
  return segment;
}

/** More than a group of pages. */
const ENTRIES = manyEntries(51_000);

function manyEntries(count: number, from = 0): Entry[] {
  return Array.from({ length: count }, (_, n) => ({
    id: content(`object ${from + n}`, 32),
    pack: n % 3,
    ordinal: Math.floor(n / 3),
  }));
}

describe("Segment", () => {
  test("finds every entry and no other, over several groups of pages, encrypted and not", async () => {
    for (const sealer of [PLAIN, new Sealer(sealContextOf(newKeySet()))]) {
      const backend = new MemoryBackend();
      const entries = ENTRIES;
      const segment = await write(
        backend,
        [0, 1, 2].map((n) => pack(n, 20_000)),
        entries,
        sealer,
      );
      expect(segment.pageCount).toBeGreaterThan(GROUP_PAGES);
      for (let n = 0; n < entries.length; n += 41) {
        const { id, pack, ordinal } = entries[n] as Entry;
        expect(await segment.find(id)).toEqual([{ pack, ordinal }]);
      }
      for (let n = 0; n < 2000; n++) expect(await segment.find(content(`absent ${n}`, 32))).toEqual([]);
    }
  });

  test("takes at most 27 stored bytes an entry", async () => {
    const backend = new MemoryBackend();
    const entries = ENTRIES.map((entry, n) => ({ ...entry, pack: n % 300, ordinal: Math.floor(n / 300) }));
    const packs = Array.from({ length: 300 }, (_, n) => pack(n, 200));
    const segment = await write(backend, packs, entries);
    const perEntry = segment.fileBytes / segment.entries;
    console.info(`segment: ${perEntry.toFixed(2)} bytes an entry (300 packs of 200 objects)`);
    expect(perEntry).toBeLessThanOrEqual(27);
  });

  test("reads one data page and one filter page for a look-up, and mostly no data page for an absent id", async () => {
    const backend = new MemoryBackend();
    const counting = faultyBackend(backend, { failAt: () => false });
    const { id } = await write(
      backend,
      [0, 1, 2].map((n) => pack(n, 20_000)),
      ENTRIES,
    );
    const none = new Cache<string, Buffer>(0, (page) => page.length);
    const segment = (await Segment.open(counting, PLAIN, id, none)) as Segment;
    const opening = counting.calls.length;
    await segment.find(content("object 77", 32));
    expect(counting.calls.length - opening).toBe(2);
    for (let n = 0; n < 500; n++) await segment.find(content(`absent ${n}`, 32));
    expect(counting.calls.length - opening).toBeLessThan(2 + 500 + 25);
  });

  test("finds all copies of an id, also over the end of a page and of a group", async () => {
    const backend = new MemoryBackend();
    const shape = new SegmentShape(2, 2, 0);
    const copies = 3 * shape.entriesPerPage;
    const low = manyEntries(shape.entriesPerPage * (GROUP_PAGES - 1)).map((entry) => ({
      ...entry,
      id: Buffer.concat([Buffer.of(0), entry.id]),
    }));
    const id = Buffer.alloc(32, 0x80);
    const entries = [
      ...low,
      ...Array.from({ length: copies }, (_, n) => ({ id, pack: n % 300, ordinal: Math.floor(n / 300) })),
    ];
    const segment = await write(
      backend,
      Array.from({ length: 300 }, (_, n) => pack(n, 20_000)),
      entries,
    );
    expect((await segment.find(id)).length).toBe(copies);
  });

  test("gives the same answer or an error, whichever byte of the file is flipped", async () => {
    const backend = new MemoryBackend();
    const entries = manyEntries(40);
    const { id } = await write(
      backend,
      [0, 1, 2].map((n) => pack(n, 20)),
      entries,
    );
    const whole = (await backend.read(segmentName(id), 1 << 20)) as Buffer;
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ 0x10;
      await backend.replace(segmentName(id), flipped);
      try {
        const segment = await open(backend, id);
        for (const entry of entries.slice(0, 3))
          expect(await segment.find(entry.id)).toEqual([{ pack: entry.pack, ordinal: entry.ordinal }]);
        expect.unreachable(`byte ${at} is part of nothing`);
      } catch (error) {
        if (!isCyrvaultError(error)) throw error;
        expect(["REPOSITORY_DAMAGED", "REPOSITORY_VERSION"]).toContain(error.code);
      }
    }
  });

  test("is refused when cut anywhere", async () => {
    const backend = new MemoryBackend();
    const { id } = await write(
      backend,
      [0, 1, 2].map((n) => pack(n, 20)),
      manyEntries(40),
    );
    const whole = (await backend.read(segmentName(id), 1 << 20)) as Buffer;
    for (let length = 0; length < whole.length; length++) {
      await backend.replace(segmentName(id), whole.subarray(0, length));
      await expect(open(backend, id)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
    }
  });

  test("its directory's decoder answers or says that it is damaged, on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        try {
          decodeSegmentDirectory(bytes, "directory");
        } catch (error) {
          if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
        }
      }),
    );
  });

  test("is laid out as docs/formats/segment.md shows", async () => {
    const backend = new MemoryBackend();
    const writer = await SegmentWriter.begin(backend, PLAIN, {
      packs: [{ packId: asPackId(Buffer.alloc(32, 0x22)), packKind: "data", objects: 2 }],
      replaces: [],
      random: (count) => Buffer.alloc(count, 0x11),
    });
    await writer.add(Buffer.alloc(32, 0xaa), 0, 0, 1);
    await writer.add(Buffer.alloc(32, 0xbb), 0, 0, 0);
    const { id } = await writer.finish();
    const hex = ((await backend.read(segmentName(id), 4096)) as Buffer).toString("hex");
    const page = readFileSync(new URL("../../../docs/formats/segment.md", import.meta.url), "utf8");
    const shown = /^```hex\n(.*?)^```$/ms.exec(page)?.[1] ?? "";
    expect(shown.replace(/;.*$|\s/gm, "")).toBe(hex);
    expect(Buffer.from(id)).toEqual(Buffer.alloc(32, 0x11));
  });
});

describe("mergeSegments()", () => {
  test("gives the union without doubles, without packs that have gone, naming what it replaces", async () => {
    const backend = new MemoryBackend();
    const shared = manyEntries(3000);
    const first = await write(backend, [pack(0, 1000), pack(1, 1000), pack(2, 1000)], shared);
    // The same packs in another order, and one more.
    const order = [2, 0, 1];
    const second = await write(
      backend,
      [pack(1, 1000), pack(2, 1000), pack(0, 1000), pack(3, 5000)],
      [
        ...shared.map((entry) => ({ ...entry, pack: order[entry.pack] as number })),
        ...manyEntries(5000, 2000).map((entry, ordinal) => ({ ...entry, pack: 3, ordinal })),
      ],
    );
    const gone = Buffer.from(packId(1)).toString("hex");
    const isLive = ({ packId }: CoveredPack) => Buffer.from(packId).toString("hex") !== gone;
    const { id } = await mergeSegments(backend, PLAIN, [first, second], isLive);
    const merged = await open(backend, id);
    expect(merged.entries).toBe(2000 + 5000);
    expect(merged.replaces).toEqual([first.id, second.id]);
    expect(merged.packs.map(({ packId }) => Buffer.from(packId))).toEqual([packId(0), packId(2), packId(3)]);
    const places = async (n: number) =>
      (await merged.find(content(`object ${n}`, 32))).map(
        ({ pack, ordinal }) =>
          `${Buffer.from(merged.packs[pack]?.packId ?? []).toString("hex", 0, 4)}/${ordinal}`,
      );
    const hex = (n: number) => Buffer.from(packId(n)).toString("hex", 0, 4);
    expect(await places(0)).toEqual([`${hex(0)}/0`]);
    expect(await places(1)).toEqual([]);
    expect(await places(2999)).toEqual([`${hex(2)}/999`, `${hex(3)}/999`]);
    expect(await places(6999)).toEqual([`${hex(3)}/4999`]);
  });
});

describe("planMerge()", () => {
  test("leaves 16 segments alone and merges the small ones of 17", () => {
    const sizes = (entries: number[]) => entries.map((n) => ({ entries: n }));
    expect(planMerge(sizes(new Array(16).fill(5)))).toEqual([]);
    const chosen = planMerge(sizes([1_000_000, ...new Array(16).fill(5)]));
    expect(chosen.length).toBe(16);
    expect(Math.max(...chosen.map(({ entries }) => entries))).toBe(5);
  });

  test("writes each entry anew only a few times, however many backups there are", () => {
    let segments: { entries: number }[] = [];
    let written = 0;
    for (let backup = 0; backup < 1000; backup++) {
      segments.push({ entries: 10 });
      const chosen = planMerge(segments);
      if (chosen.length === 0) continue;
      const entries = chosen.reduce((sum, segment) => sum + segment.entries, 0);
      written += entries;
      segments = [...segments.filter((segment) => !chosen.includes(segment)), { entries }];
      expect(segments.length).toBeLessThanOrEqual(16);
    }
    expect(written / 10_000).toBeLessThan(8);
  });
});
