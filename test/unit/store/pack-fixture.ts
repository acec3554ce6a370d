import fc from "fast-check";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { asObjectId, type ObjectId, type StoredObject } from "../../../src/store/object.ts";
import { openPack, scanPack } from "../../../src/store/pack-reader.ts";
import { type PackId, type PackWriterOptions, packName } from "../../../src/store/pack-types.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import { type KeyedSealContext, type SealContext, UNENCRYPTED } from "../../../src/store/seal-context.ts";

export const filled = (byte: number, count = 32): Uint8Array => new Uint8Array(count).fill(byte);
export const id = (byte: number): ObjectId => asObjectId(filled(byte));

export const KEYED: KeyedSealContext = {
  encrypted: true,
  idKey: filled(1),
  indexKey: filled(2),
  epochs: [{ number: 1, contentKey: filled(3) }],
  writerId: filled(4, 16),
};

export const CONTEXTS: readonly (readonly [string, SealContext])[] = [
  ["unencrypted", UNENCRYPTED],
  ["encrypted", KEYED],
];

/** Gives 32 times 11, then 32 times 22, …: a pack id, then a pack key. */
export function countedBytes(): (count: number) => Uint8Array {
  let calls = 0;
  return (count) => filled(0x11 * ++calls, count);
}

export function data(content: string | Uint8Array, objectId: ObjectId = id(0xdd)): StoredObject {
  return { kind: "data", id: objectId, head: Buffer.from(content), tail: filled(0, 0), references: [] };
}

export function message(
  head: string,
  tail: string,
  references: readonly ObjectId[] = [],
  objectId: ObjectId = id(0xaa),
): StoredObject {
  return { kind: "message", id: objectId, head: Buffer.from(head), tail: Buffer.from(tail), references };
}

export interface MadePack {
  readonly packId: PackId;
  readonly bytes: Buffer;
  readonly writer: PackWriter;
}

/** @param flushAfter - ordinals after which the open block is closed. */
export function makePack(
  context: SealContext,
  objects: Iterable<StoredObject>,
  options: Partial<PackWriterOptions> = {},
  flushAfter: ReadonlySet<number> = new Set(),
): MadePack {
  const writer = new PackWriter(context, { packKind: "data", compression: "auto", ...options });
  const parts: Buffer[] = [writer.header()];
  let ordinal = 0;
  for (const object of objects) {
    for (const part of [writer.add(object), flushAfter.has(ordinal) ? writer.flush() : undefined])
      if (part !== undefined) parts.push(part);
    ordinal++;
  }
  parts.push(writer.finish());
  return { packId: writer.packId, bytes: Buffer.concat(parts), writer };
}

export function backendWith(packId: PackId, bytes: Uint8Array): MemoryBackend {
  return new MemoryBackend(new Map([[packName(packId), Buffer.from(bytes)]]));
}

/** Opens a pack and reads all of it; the first error of any block is thrown. */
export async function readWhole(context: SealContext, packId: PackId, bytes: Uint8Array) {
  const backend = backendWith(packId, bytes);
  const pack = await openPack(backend, packId, context);
  if (pack === undefined) throw new Error("the pack is not there");
  const blocks: Buffer[] = [];
  for await (const scanned of scanPack(backend, pack)) {
    if ("error" in scanned) throw scanned.error;
    blocks.push(scanned.raw);
  }
  return { pack, backend, blocks };
}

const arbitraryId = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes): ObjectId => asObjectId(bytes));
const content = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.integer({ min: 0, max: 5000 }).map((count) => filled(0x61, count)),
);

/** Objects of a data pack: messages refer to some of its data objects and to others. */
export const arbitraryObjects: fc.Arbitrary<StoredObject[]> = fc
  .array(
    fc.record({
      isMessage: fc.boolean(),
      id: arbitraryId,
      head: content,
      tail: content,
      references: fc.array(fc.oneof(arbitraryId, fc.nat(10)), { maxLength: 4 }),
    }),
    { maxLength: 12 },
  )
  .map((drafts) => {
    const dataIds = drafts.filter(({ isMessage }) => !isMessage).map((draft) => draft.id);
    return drafts.map((draft): StoredObject => {
      if (!draft.isMessage)
        return { kind: "data", id: draft.id, head: draft.head, tail: filled(0, 0), references: [] };
      const references = draft.references.flatMap((reference) =>
        typeof reference === "number" ? (dataIds[reference] ?? []) : [reference],
      );
      return { kind: "message", id: draft.id, head: draft.head, tail: draft.tail, references };
    });
  });
