import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { equalBytes } from "../../../src/base/bytes.ts";
import type { StoredObject } from "../../../src/store/object.ts";
import { objectsInBlock, openPack, readBlock, scanPack } from "../../../src/store/pack-reader.ts";
import { PackSeal } from "../../../src/store/pack-seal.ts";
import {
  asPackId,
  BLOCK_BYTES_MAX,
  BLOCK_BYTES_TARGET,
  packName,
  parsePackName,
} from "../../../src/store/pack-types.ts";
import { PackWriter, verifyBlock } from "../../../src/store/pack-writer.ts";
import { type SealContext, UNENCRYPTED } from "../../../src/store/seal-context.ts";
import {
  arbitraryObjects,
  backendWith,
  CONTEXTS,
  data,
  filled,
  id,
  KEYED,
  type MadePack,
  makePack,
  message,
  readWhole,
} from "./pack-fixture.ts";

const DAMAGED = expect.objectContaining({ code: "REPOSITORY_DAMAGED" });

const SMALL = [
  data("attachment"),
  message("H:1", "body", [id(0xdd), id(0xee)]),
  message("H:2", "x".repeat(300), [id(0xee)], id(0xab)),
];

/** Two blocks, the second compressed. */
const smallPack = (context: SealContext): MadePack => makePack(context, SMALL, {}, new Set([1]));

function sameObject(read: StoredObject, written: StoredObject): void {
  expect(read.kind).toBe(written.kind);
  expect(equalBytes(read.id, written.id)).toBe(true);
  expect(equalBytes(read.head, written.head)).toBe(true);
  expect(equalBytes(read.tail, written.tail)).toBe(true);
  expect(read.references.map((it) => Buffer.from(it).toString("hex"))).toEqual(
    written.references.map((it) => Buffer.from(it).toString("hex")),
  );
}

describe.each(CONTEXTS)("a pack, %s", (_, context) => {
  test("gives back arbitrary objects in order, with kinds, ids and references", async () => {
    const flushes = fc.uniqueArray(fc.nat(12)).map((ordinals) => new Set(ordinals));
    await fc.assert(
      fc.asyncProperty(arbitraryObjects, flushes, async (objects, flushAfter) => {
        const made = makePack(context, objects, {}, flushAfter);
        const { pack, blocks } = await readWhole(context, made.packId, made.bytes);
        const read = blocks.flatMap((raw, block) => [...objectsInBlock(pack.directory, block, raw)]);
        expect(read.map(({ ordinal }) => ordinal)).toEqual(objects.map((_, ordinal) => ordinal));
        for (const [ordinal, object] of objects.entries()) sameObject(read[ordinal] as StoredObject, object);
        expect(made.writer.storedBytes).toBe(made.bytes.length);
        expect(made.writer.objectCount).toBe(objects.length);
      }),
      { numRuns: 60 },
    );
  });

  test("notices every flipped bit at every position", async () => {
    const { packId, bytes } = smallPack(context);
    await expect(readWhole(context, packId, bytes)).resolves.toBeDefined();
    for (let position = 0; position < bytes.length; position++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const bad = Buffer.from(bytes);
        bad[position] = (bad[position] as number) ^ bit;
        await expect(readWhole(context, packId, bad), `byte ${position}`).rejects.toThrow(DAMAGED);
      }
    }
  });

  test("notices every truncation, and bytes too many", async () => {
    const { packId, bytes } = smallPack(context);
    for (let length = 0; length < bytes.length; length++)
      await expect(readWhole(context, packId, bytes.subarray(0, length))).rejects.toThrow(DAMAGED);
    for (const position of [0, 100, bytes.length]) {
      const longer = Buffer.concat([bytes.subarray(0, position), filled(0, 1), bytes.subarray(position)]);
      await expect(readWhole(context, packId, longer)).rejects.toThrow(DAMAGED);
    }
  });

  test("refuses a block from another place of the same pack", async () => {
    const same = [data("0123456789"), data("0123456789")];
    const { packId, bytes } = makePack(context, same, {}, new Set([0]));
    const { pack } = await readWhole(context, packId, bytes);
    const [first, second] = [pack.directory.blockAt(0), pack.directory.blockAt(1)];
    const swapped = Buffer.from(bytes);
    bytes.copy(swapped, first.offset, second.offset, second.offset + second.storedBytes);
    await expect(readWhole(context, packId, swapped)).rejects.toThrow(DAMAGED);
  });

  test("refuses a block, a directory and a header from another pack", async () => {
    const [one, two] = [smallPack(context), smallPack(context)];
    const { pack } = await readWhole(context, one.packId, one.bytes);
    const header = pack.seal.header.length;
    const { offset, storedBytes } = pack.directory.blockAt(0);
    const blocksEnd = pack.directory.blocksEnd;
    const stretches: (readonly [number, number])[] = [
      [0, header],
      [offset, offset + storedBytes],
      [header, blocksEnd],
      [blocksEnd, one.bytes.length - 36],
      [blocksEnd, one.bytes.length],
      [one.bytes.length - 36, one.bytes.length],
      [0, one.bytes.length],
    ];
    for (const [start, end] of stretches) {
      const mixed = Buffer.from(one.bytes);
      two.bytes.copy(mixed, start, start, end);
      await expect(readWhole(context, one.packId, mixed), `${start}–${end}`).rejects.toThrow(DAMAGED);
    }
  });

  test("refuses random bytes under a pack's name", async () => {
    const packId = asPackId(filled(7));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (bytes) => {
        await expect(readWhole(context, packId, bytes)).rejects.toThrow(DAMAGED);
      }),
    );
  });

  test("is absent, not damaged, when there is no such file", async () => {
    expect(await openPack(new MemoryBackend(), asPackId(filled(7)), context)).toBeUndefined();
  });

  test("goes on behind a damaged block when it is scanned", async () => {
    const { packId, bytes } = smallPack(context);
    const { pack } = await readWhole(context, packId, bytes);
    const bad = Buffer.from(bytes);
    bad.fill(0x55, pack.directory.blockAt(0).offset, pack.directory.blockAt(0).offset + 3);
    const outcomes: boolean[] = [];
    for await (const scanned of scanPack(backendWith(packId, bad), pack)) outcomes.push("error" in scanned);
    expect(outcomes).toEqual([true, false]);
  });

  test("says that it is missing when it has gone since it was opened", async () => {
    const { packId, bytes } = smallPack(context);
    const { pack, backend } = await readWhole(context, packId, bytes);
    await backend.remove(packName(packId));
    await expect(readBlock(backend, pack, 0)).rejects.toMatchObject({ code: "OBJECT_MISSING" });
  });

  test("holds the small files and pages of a meta pack", async () => {
    const objects = (["meta", "manifest"] as const).map(
      (kind): StoredObject => ({ ...data(`a ${kind} object`), kind }),
    );
    const made = makePack(context, objects, { packKind: "meta" });
    const { pack, blocks } = await readWhole(context, made.packId, made.bytes);
    expect(pack.packKind).toBe("meta");
    const read = [...objectsInBlock(pack.directory, 0, blocks[0] as Buffer)];
    expect(read.map(({ kind, head }) => [kind, head.toString()])).toEqual([
      ["meta", "a meta object"],
      ["manifest", "a manifest object"],
    ]);
  });

  test("reads a directory that is longer than the first read of the tail", async () => {
    const objects = Array.from({ length: 4000 }, (_, i) => data(`${i}`, id(i % 251)));
    const made = makePack(context, objects);
    const { pack } = await readWhole(context, made.packId, made.bytes);
    expect(pack.directory.objectCount).toBe(4000);
    expect(pack.directory.place(3999)).toMatchObject({ headLength: 4, tailLength: 0 });
  });
});

describe("who may read a pack", () => {
  test("an encrypted repository refuses a pack without a seal, and the reverse", async () => {
    const plain = smallPack(UNENCRYPTED);
    await expect(readWhole(KEYED, plain.packId, plain.bytes)).rejects.toThrow(
      /not encrypted, the repository is/,
    );
    const sealed = smallPack(KEYED);
    await expect(readWhole(UNENCRYPTED, sealed.packId, sealed.bytes)).rejects.toThrow(
      /encrypted, the repository is not/,
    );
  });

  test("another content key, index key or epoch does not open it", async () => {
    const { packId, bytes } = smallPack(KEYED);
    for (const other of [
      { ...KEYED, indexKey: filled(9) },
      { ...KEYED, epochs: [{ number: 1, contentKey: filled(9) }] },
      { ...KEYED, epochs: [{ number: 2, contentKey: filled(3) }] },
    ])
      await expect(readWhole(other, packId, bytes)).rejects.toThrow(DAMAGED);
  });

  test("packs of an earlier epoch stay readable, new ones are of the newest", async () => {
    const old = smallPack(KEYED);
    const rotated = {
      ...KEYED,
      epochs: [
        { number: 7, contentKey: filled(8) },
        { number: 1, contentKey: filled(3) },
      ],
    };
    const read = await readWhole(rotated, old.packId, old.bytes);
    expect(read.pack.seal.epoch).toBe(1);
    const recent = smallPack(rotated);
    expect((await readWhole(rotated, recent.packId, recent.bytes)).pack.seal.epoch).toBe(7);
    expect(Buffer.from(read.pack.seal.writerId)).toEqual(Buffer.from(KEYED.writerId));
  });

  test("nothing of the content, the ids or the keys stands in an encrypted pack", () => {
    const text = "a rather confidential attachment";
    const { bytes } = makePack(KEYED, [data(text)]);
    expect(bytes.includes(text)).toBe(false);
    for (const secret of [id(0xdd), KEYED.idKey, KEYED.indexKey, filled(3)])
      expect(bytes.includes(Buffer.from(secret))).toBe(false);
  });
});

describe("PackWriter", () => {
  test("closes a block at its target and gives a large object a block of its own", async () => {
    const writer = new PackWriter(UNENCRYPTED, { packKind: "data", compression: "fast", verify: false });
    const parts = [writer.header()];
    const third = randomBytes(Math.ceil(BLOCK_BYTES_TARGET / 3) + 1);
    const large = randomBytes(BLOCK_BYTES_TARGET + 5);
    const finished: boolean[] = [];
    for (const content of [third, third, third, large, third]) {
      const block = writer.add(data(content));
      finished.push(block !== undefined);
      if (block !== undefined) parts.push(block);
    }
    expect(finished).toEqual([false, false, true, true, true]);
    expect(writer.openBytes).toBe(third.length);
    parts.push(writer.finish());
    const { blocks } = await readWhole(UNENCRYPTED, writer.packId, Buffer.concat(parts));
    expect(blocks.map((block) => block.length / third.length)).toEqual([
      2,
      1,
      large.length / third.length,
      1,
    ]);
  });

  test("returns buffers that can be transferred: nothing else lies in their memory", () => {
    const writer = new PackWriter(KEYED, { packKind: "data", compression: "auto" });
    const returned = [writer.header()];
    writer.add(data("x"));
    returned.push(writer.flush() as Buffer, writer.finish(), writer.directoryBytes());
    for (const buffer of returned) expect(buffer.buffer.byteLength).toBe(buffer.length);
  });

  test("copies what it is given", async () => {
    const writer = new PackWriter(UNENCRYPTED, { packKind: "data", compression: "auto" });
    const head = Buffer.from("reused buffer");
    const parts = [writer.header()];
    writer.add({ ...data(""), head });
    head.fill(0);
    parts.push(writer.finish());
    const { blocks } = await readWhole(UNENCRYPTED, writer.packId, Buffer.concat(parts));
    expect(blocks[0]?.toString()).toBe("reused buffer");
  });

  test("refuses what a pack cannot hold: a bug of the caller", () => {
    const writer = new PackWriter(UNENCRYPTED, { packKind: "data", compression: "auto" });
    expect(() => writer.add(data("before the header"))).toThrow(/bug/);
    writer.header();
    expect(() => writer.header()).toThrow(/bug/);
    expect(() => writer.add({ ...data("x"), kind: "meta" })).toThrow(/bug/);
    expect(() => writer.add({ ...data("x"), tail: filled(1) })).toThrow(/bug/);
    expect(() => writer.add({ ...data("x"), references: [id(1)] })).toThrow(/bug/);
    expect(() => writer.add(data(new Uint8Array(BLOCK_BYTES_MAX + 1)))).toThrow(RangeError);
    expect(writer.objectCount).toBe(0);
    writer.finish();
    expect(() => writer.add(data("after the end"))).toThrow(/bug/);
    expect(() => writer.finish()).toThrow(/bug/);
  });

  test.each(CONTEXTS)("finds a block that does not open to what went in, %s", (_, context) => {
    const seal = PackSeal.create(context, "data");
    const raw = Buffer.from("text ".repeat(100));
    const block = seal.sealBlock(0, 82, raw, "auto");
    expect(() => verifyBlock(seal, 0, block, raw)).not.toThrow();
    const otherRaw = Buffer.from(raw).fill("x", 0, 1);
    expect(() => verifyBlock(seal, 0, block, otherRaw)).toThrow(DAMAGED);
    block.stored[5] = (block.stored[5] as number) ^ 1;
    expect(() => verifyBlock(seal, 0, block, raw)).toThrow(DAMAGED);
  });

  test("never gives two packs the same id or the same bytes", () => {
    const [one, two] = [smallPack(KEYED), smallPack(KEYED)];
    expect(equalBytes(one.packId, two.packId)).toBe(false);
    expect(one.bytes.subarray(130).equals(two.bytes.subarray(130))).toBe(false);
  });
});

describe("pack names", () => {
  test("are read back, and other names are not", () => {
    const packId = asPackId(filled(0x3f));
    expect(packName(packId)).toBe(`packs/3f/${"3f".repeat(32)}`);
    expect(Buffer.from(parsePackName(packName(packId)) as Uint8Array)).toEqual(Buffer.from(packId));
    for (const name of [
      "packs/",
      `packs/3e/${"3f".repeat(32)}`,
      `packs/3f/${"3F".repeat(32)}`,
      "packs/3f/3f",
    ])
      expect(parsePackName(name)).toBeUndefined();
  });
});
