import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, equalBytes } from "../../../src/base/bytes.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { asObjectId, type StoredObject } from "../../../src/store/object.ts";
import { PackDirectory } from "../../../src/store/pack-directory.ts";
import { type DirectoryObject, PackDirectoryWriter } from "../../../src/store/pack-directory-writer.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { arbitraryObjects, data, id, makePack, message } from "./pack-fixture.ts";

const SMALL = [data("attachment"), message("H:1", "body", [id(0xdd), id(0xee)]), message("H:2", "more")];

const encodedSmall = (): Buffer => makePack(UNENCRYPTED, SMALL, {}, new Set([0])).writer.directoryBytes();

/** Everything a reader may ask, within bounds whatever the directory says. */
function useWhole(directory: PackDirectory): void {
  let offset = directory.blocksStart;
  for (let block = 0; block < directory.blockCount; block++) {
    const place = directory.blockAt(block);
    expect(place.offset).toBe(offset);
    offset += place.storedBytes;
    expect(directory.firstOrdinal(block)).toBeLessThan(directory.firstOrdinal(block + 1));
  }
  expect(directory.blocksEnd).toBe(offset);
  for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
    const place = directory.place(ordinal);
    const { rawBytes } = directory.blockAt(place.block);
    expect(place.headLength).toBeGreaterThanOrEqual(0);
    expect(place.tailLength).toBeGreaterThanOrEqual(0);
    expect(place.headOffset + place.headLength).toBeLessThanOrEqual(rawBytes);
    expect(place.tailOffset + place.tailLength).toBeLessThanOrEqual(rawBytes);
    expect(directory.idAt(ordinal)).toHaveLength(32);
    expect(directory.kindAt(ordinal)).toMatch(/^(data|message|meta|manifest)$/);
    for (const reference of directory.referencesAt(ordinal)) expect(reference).toHaveLength(32);
  }
}

/** Parses and uses, or refuses with our own error. */
function parsesOrRefuses(bytes: Uint8Array): boolean {
  let directory: PackDirectory;
  try {
    directory = PackDirectory.parse(bytes);
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return false;
  }
  useWhole(directory);
  return true;
}

function sized({ kind, id, references, head, tail }: StoredObject): DirectoryObject {
  return { kind, id, references, headLength: head.length, tailLength: tail.length };
}

describe("PackDirectory", () => {
  test("says where each object lies, what it is and what it refers to", () => {
    const flushes = fc.uniqueArray(fc.nat(12)).map((ordinals) => new Set(ordinals));
    fc.assert(
      fc.property(arbitraryObjects, flushes, (objects, flushAfter) => {
        const directory = makePack(UNENCRYPTED, objects, {}, flushAfter).writer.directory();
        expect(directory.objectCount).toBe(objects.length);
        expect(directory.packKind).toBe(objects.length === 0 ? undefined : "data");
        useWhole(directory);
        for (const [ordinal, object] of objects.entries()) {
          expect(directory.kindAt(ordinal)).toBe(object.kind);
          expect(equalBytes(directory.idAt(ordinal), object.id)).toBe(true);
          const { headLength, tailLength } = directory.place(ordinal);
          expect([headLength, tailLength]).toEqual([object.head.length, object.tail.length]);
          expect(directory.hasReferences(ordinal)).toBe(object.references.length > 0);
          const references = directory.referencesAt(ordinal);
          expect(references).toHaveLength(object.references.length);
          for (const [position, reference] of object.references.entries())
            expect(equalBytes(references[position] as Uint8Array, reference)).toBe(true);
        }
      }),
    );
  });

  test("refuses every truncation and bytes too many", () => {
    const bytes = encodedSmall();
    expect(parsesOrRefuses(bytes)).toBe(true);
    for (let length = 0; length < bytes.length; length++)
      expect(parsesOrRefuses(bytes.subarray(0, length))).toBe(false);
    expect(parsesOrRefuses(Buffer.concat([bytes, Buffer.of(0)]))).toBe(false);
  });

  test("answers within bounds or refuses, whatever bytes it is given", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void parsesOrRefuses(bytes)));
    const columns = fc.array(fc.oneof(fc.nat(5), fc.nat(255)), { maxLength: 60 });
    fc.assert(
      fc.property(columns, fc.nat(4), (numbers, idCount) => {
        const raw = Uint8Array.from(numbers);
        const writer = new ByteWriter().u8(0).u32(raw.length).u32(raw.length).raw(raw);
        parsesOrRefuses(writer.raw(randomBytes(32 * idCount)).toBytes());
      }),
      { numRuns: 2000 },
    );
  });

  test("answers within bounds or refuses when any byte of a good one changes", () => {
    const bytes = encodedSmall();
    let refused = 0;
    for (let position = 0; position < bytes.length; position++) {
      for (const change of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const bad = Buffer.from(bytes);
        bad[position] = (bad[position] as number) ^ change;
        if (!parsesOrRefuses(bad)) refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });

  test("takes no memory for counts that the bytes cannot hold", () => {
    // A million objects announced, none there.
    const raw = new ByteWriter().varint(1).varint(1_000_000).varint(0).varint(82).toBytes();
    const bytes = new ByteWriter().u8(0).u32(raw.length).u32(raw.length).raw(raw).toBytes();
    expect(() => PackDirectory.parse(bytes)).toThrow(/cut short/);
    const long = new ByteWriter().u8(2).u32(0xffff_ffff).u32(0).toBytes();
    expect(() => PackDirectory.parse(long)).toThrow(/too long/);
  });

  test("refuses a reference to anything but data, even within the pack", () => {
    const columns = (kind: number) =>
      // 1 block, 2 objects, no external ids, from 82: codec none, 18 stored, 2 raw, 2 objects; kinds; heads;
      // tail and one reference, to ordinal 0, of each message.
      kind === 2
        ? [1, 2, 0, 82, 0, 18, 2, 2, kind, 2, 1, 1, 0, 0, 0, 1, 0]
        : [1, 2, 0, 82, 0, 18, 2, 2, kind, 2, 1, 1, 0, 1, 0];
    const encode = (kind: number) => {
      const raw = Uint8Array.from(columns(kind));
      return new ByteWriter().u8(0).u32(raw.length).u32(raw.length).raw(raw).raw(Buffer.alloc(64)).toBytes();
    };
    expect(PackDirectory.parse(encode(1)).referencesAt(1)).toHaveLength(1);
    expect(() => PackDirectory.parse(encode(2))).toThrow(/something else than data/);
  });

  test("a question about an object or block that is not there is a bug", () => {
    const directory = PackDirectory.parse(encodedSmall());
    for (const ordinal of [-1, 3, 0.5, Number.NaN]) {
      expect(() => directory.idAt(ordinal)).toThrow(RangeError);
      expect(() => directory.place(ordinal)).toThrow(RangeError);
      expect(() => directory.blockAt(ordinal)).toThrow(RangeError);
    }
  });

  test("takes at most 40 bytes an object stored, and 60 in memory, beside references", () => {
    const writer = new PackDirectoryWriter();
    const objectCount = 10_000;
    for (let i = 0; i < objectCount; i++) {
      const object: StoredObject = {
        kind: i % 3 === 0 ? "data" : "message",
        id: asObjectId(randomBytes(32)),
        head: Buffer.alloc(700 + ((i * 7919) % 900)),
        tail: Buffer.alloc(i % 3 === 0 ? 0 : (i * 104_729) % 4000),
        references: [],
      };
      writer.addObject(sized(object));
      if (i % 500 === 499) {
        const rawBytes = sumOfLast(i - 499, i);
        writer.addBlock({ storedBytes: 400_000, rawBytes, codec: 2 });
      }
    }
    const bytes = writer.encode(82);
    const directory = PackDirectory.parse(bytes);
    expect(directory.place(objectCount - 1)).toMatchObject({
      block: 19,
      headLength: 700 + ((9999 * 7919) % 900),
    });
    const stored = bytes.length / objectCount;
    const inMemory = directory.memoryBytes / objectCount;
    console.log(`directory: ${stored.toFixed(1)} bytes an object stored, ${inMemory.toFixed(1)} in memory`);
    expect(stored).toBeLessThan(40);
    expect(inMemory).toBeLessThan(60);

    function sumOfLast(from: number, to: number): number {
      let sum = 0;
      for (let i = from; i <= to; i++)
        sum += 700 + ((i * 7919) % 900) + (i % 3 === 0 ? 0 : (i * 104_729) % 4000);
      return sum;
    }
  });

  test("a reference within the pack and a repeated one cost few bytes", () => {
    const draft = (references: StoredObject["references"]) => {
      const writer = new PackDirectoryWriter();
      const target = data("x", id(1));
      writer.addObject(sized(target));
      writer.addObject(sized({ ...message("h", "t", references) }));
      writer.addBlock({ storedBytes: 19, rawBytes: 3, codec: 0 });
      return writer.encode(82).length;
    };
    expect(draft([id(1)]) - draft([])).toBe(1);
    expect(draft([id(2), id(2), id(2)]) - draft([])).toBe(32 + 3);
  });
});
