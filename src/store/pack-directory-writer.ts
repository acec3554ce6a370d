/** Collects and encodes a pack's directory. Format: docs/formats/pack.md. */
import { ByteWriter } from "../base/bytes.ts";
import { compress } from "./codec.ts";
import { idKey, KIND_BYTES, type ObjectId, type StoredObject } from "./object.ts";
import type { BlockPlace } from "./pack-types.ts";

/** What the directory says of an object. */
export interface DirectoryObject extends Pick<StoredObject, "kind" | "id" | "references"> {
  readonly headLength: number;
  readonly tailLength: number;
}

export class PackDirectoryWriter {
  readonly #codecs = new ByteWriter(64);
  readonly #storedBytes = new ByteWriter(64);
  readonly #rawBytes = new ByteWriter(64);
  readonly #objectCounts = new ByteWriter(64);
  readonly #kinds = new ByteWriter(1024);
  readonly #headLengths = new ByteWriter(2048);
  readonly #tailLengths = new ByteWriter(2048);
  readonly #referenceCounts = new ByteWriter(1024);
  readonly #ids = new ByteWriter(32_768);
  readonly #references: ObjectId[] = [];
  /** The `data` objects in this pack: what a reference can name by ordinal. */
  readonly #ordinals = new Map<string, number>();
  #blockCount = 0;
  #objectCount = 0;
  #objectsInBlocks = 0;

  get objectCount(): number {
    return this.#objectCount;
  }

  get referenceCount(): number {
    return this.#references.length;
  }

  get blockCount(): number {
    return this.#blockCount;
  }

  /** In the order of the pack. */
  addObject(object: DirectoryObject): void {
    this.#kinds.u8(KIND_BYTES[object.kind]);
    this.#headLengths.varint(object.headLength);
    if (object.kind === "message") {
      this.#tailLengths.varint(object.tailLength);
      this.#referenceCounts.varint(object.references.length);
      for (const reference of object.references) this.#references.push(reference);
    }
    if (object.kind === "data") this.#ordinals.set(idKey(object.id), this.#objectCount);
    this.#ids.raw(object.id);
    this.#objectCount++;
  }

  /** Of the objects added since the last block. */
  addBlock(block: Omit<BlockPlace, "offset">): void {
    this.#codecs.u8(block.codec);
    this.#storedBytes.varint(block.storedBytes);
    this.#rawBytes.varint(block.rawBytes);
    this.#objectCounts.varint(this.#objectCount - this.#objectsInBlocks);
    this.#objectsInBlocks = this.#objectCount;
    this.#blockCount++;
  }

  /** @param blocksStart - the offset of the first block. */
  encode(blocksStart: number): Buffer {
    const references = new ByteWriter(1024);
    const externalIds = new ByteWriter(1024);
    const externals = new Map<string, number>();
    for (const id of this.#references) {
      const key = idKey(id);
      let target = this.#ordinals.get(key) ?? externals.get(key);
      if (target === undefined) {
        target = this.#objectCount + externals.size;
        externals.set(key, target);
        externalIds.raw(id);
      }
      references.varint(target);
    }
    const columns = new ByteWriter(4096)
      .varint(this.#blockCount)
      .varint(this.#objectCount)
      .varint(externals.size)
      .varint(blocksStart);
    for (const column of [
      this.#codecs,
      this.#storedBytes,
      this.#rawBytes,
      this.#objectCounts,
      this.#kinds,
      this.#headLengths,
      this.#tailLengths,
      this.#referenceCounts,
      references,
    ])
      columns.raw(column.toBytes());
    const raw = columns.toBytes();
    const { codec, bytes } = compress(raw, "auto");
    return new ByteWriter(16 + bytes.length + externalIds.length + this.#ids.length)
      .u8(codec)
      .u32(raw.length)
      .u32(bytes.length)
      .raw(bytes)
      .raw(externalIds.toBytes())
      .raw(this.#ids.toBytes())
      .toBytes();
  }
}
