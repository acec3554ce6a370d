/**
 * The directory of a pack in memory: some 45 bytes an object, in typed arrays. Format: docs/formats/pack.md.
 */
import { ByteReader } from "../base/bytes.ts";
import { CODEC, decompress } from "./codec.ts";
import { KIND_BYTES, OBJECT_ID_BYTES, type ObjectId, type ObjectKind } from "./object.ts";
import {
  BLOCK_BYTES_MAX,
  type BlockPlace,
  type ObjectPlace,
  PACK_BLOCKS_MAX,
  PACK_OBJECTS_MAX,
  PACK_REFERENCES_MAX,
  type PackKind,
  packKindOf,
} from "./pack-types.ts";
import { SEAL_BYTES } from "./seal.ts";

const KINDS: readonly (ObjectKind | undefined)[] = [undefined, "data", "message", "meta", "manifest"];
/** Per block at most 1 + 3 × 8 bytes, per object 1 + 3 × 8, per reference 8: more is damage. */
const COLUMNS_BYTES_MAX = 32 + 25 * PACK_BLOCKS_MAX + 25 * PACK_OBJECTS_MAX + 8 * PACK_REFERENCES_MAX;
const PACK_BYTES_MAX = 2 ** 48;

interface Columns {
  readonly codecs: Uint8Array;
  readonly blockOffsets: Float64Array;
  readonly storedBytes: Uint32Array;
  readonly rawBytes: Uint32Array;
  readonly firstOrdinals: Uint32Array;
  readonly kinds: Uint8Array;
  readonly headOffsets: Uint32Array;
  readonly tailOffsets: Uint32Array;
  readonly firstReferences: Uint32Array;
  readonly references: Uint32Array;
  readonly externalIds: Uint8Array;
  readonly ids: Uint8Array;
}

/** Ordinals count objects, block numbers count blocks, both from 0; others are a RangeError. */
export class PackDirectory {
  readonly objectCount: number;
  readonly blockCount: number;
  /** Undefined for a pack without objects. */
  readonly packKind: PackKind | undefined;
  readonly #columns: Columns;

  private constructor(columns: Columns, packKind: PackKind | undefined) {
    this.#columns = columns;
    this.objectCount = columns.kinds.length;
    this.blockCount = columns.codecs.length;
    this.packKind = packKind;
  }

  /**
   * @param bytes - the opened directory. The result keeps them: they must not change.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION` for an unknown codec of the columns.
   */
  static parse(bytes: Uint8Array): PackDirectory {
    const outer = new ByteReader(bytes, "pack directory");
    const codec = outer.u8();
    const rawLength = outer.u32();
    const stored = outer.raw(outer.u32());
    if (rawLength > COLUMNS_BYTES_MAX) throw outer.damaged("the columns are too long");
    const reader = new ByteReader(decompress(codec, stored, rawLength), "pack directory");
    const blocks = reader.varint(PACK_BLOCKS_MAX);
    const objects = reader.varint(PACK_OBJECTS_MAX);
    const externals = reader.varint(PACK_REFERENCES_MAX);
    // The columns are decompressed, so their length is no proof against large counts; the ids are not.
    const externalIds = outer.raw(externals * OBJECT_ID_BYTES);
    const ids = outer.raw(objects * OBJECT_ID_BYTES);
    outer.end();
    if (blocks > objects) throw reader.damaged("a block without objects");

    const blockOffsets = new Float64Array(blocks + 1);
    blockOffsets[0] = reader.varint(PACK_BYTES_MAX);
    const codecs = Uint8Array.from(reader.raw(blocks));
    const storedBytes = readNumbers(reader, blocks, BLOCK_BYTES_MAX + SEAL_BYTES);
    const rawBytes = readNumbers(reader, blocks, BLOCK_BYTES_MAX);
    const firstOrdinals = readSums(reader, blocks, objects);
    for (let n = 0; n < blocks; n++) {
      blockOffsets[n + 1] = (blockOffsets[n] as number) + (storedBytes[n] as number);
      const body = (storedBytes[n] as number) - SEAL_BYTES;
      const raw = rawBytes[n] as number;
      if (body < 0 || body > raw || (codecs[n] === CODEC.none && body !== raw))
        throw reader.damaged(`block ${n} has impossible lengths`);
      if (firstOrdinals[n] === firstOrdinals[n + 1]) throw reader.damaged(`block ${n} has no objects`);
    }
    if (firstOrdinals[blocks] !== objects) throw reader.damaged("the blocks' objects do not add up");

    const kinds = Uint8Array.from(reader.raw(objects));
    const packKind = checkKinds(reader, kinds);
    const heads = readNumbers(reader, objects, BLOCK_BYTES_MAX);
    const tails = readForMessages(reader, kinds, BLOCK_BYTES_MAX);
    const tailOffsets = layOut(reader, firstOrdinals, rawBytes, heads, tails);
    const firstReferences = new Uint32Array(objects + 1);
    const counts = readForMessages(reader, kinds, PACK_REFERENCES_MAX);
    let referenceCount = 0;
    for (let i = 0; i < objects; i++) {
      referenceCount += counts[i] as number;
      if (referenceCount > PACK_REFERENCES_MAX) throw reader.damaged("too many references");
      firstReferences[i + 1] = referenceCount;
    }
    const references = readNumbers(reader, referenceCount, objects + externals - 1);
    for (const reference of references)
      if (reference < objects && kinds[reference] !== KIND_BYTES.data)
        throw reader.damaged("a reference to something else than data");
    reader.end();
    return new PackDirectory(
      {
        codecs,
        blockOffsets,
        storedBytes,
        rawBytes,
        firstOrdinals,
        kinds,
        headOffsets: heads,
        tailOffsets,
        firstReferences,
        references,
        externalIds,
        ids,
      },
      packKind,
    );
  }

  /** A view, not a copy. */
  idAt(ordinal: number): ObjectId {
    this.#checkOrdinal(ordinal);
    return idIn(this.#columns.ids, ordinal);
  }

  kindAt(ordinal: number): ObjectKind {
    this.#checkOrdinal(ordinal);
    return KINDS[this.#columns.kinds[ordinal] as number] as ObjectKind;
  }

  place(ordinal: number): ObjectPlace {
    const block = this.blockOf(ordinal);
    const { headOffsets, tailOffsets, firstOrdinals, rawBytes } = this.#columns;
    const isLast = ordinal + 1 === firstOrdinals[block + 1];
    const headOffset = headOffsets[ordinal] as number;
    const tailOffset = tailOffsets[ordinal] as number;
    const headEnd = isLast ? tailOffsets[firstOrdinals[block] as number] : headOffsets[ordinal + 1];
    const tailEnd = isLast ? rawBytes[block] : tailOffsets[ordinal + 1];
    return {
      block,
      headOffset,
      headLength: (headEnd as number) - headOffset,
      tailOffset,
      tailLength: (tailEnd as number) - tailOffset,
    };
  }

  /** The number of the block that holds an object. */
  blockOf(ordinal: number): number {
    this.#checkOrdinal(ordinal);
    const { firstOrdinals } = this.#columns;
    let low = 0;
    let high = this.blockCount - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((firstOrdinals[middle] as number) <= ordinal) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  hasReferences(ordinal: number): boolean {
    this.#checkOrdinal(ordinal);
    const { firstReferences } = this.#columns;
    return firstReferences[ordinal] !== firstReferences[ordinal + 1];
  }

  /** In the order of the message's pieces; an id may occur more than once. */
  referencesAt(ordinal: number): ObjectId[] {
    this.#checkOrdinal(ordinal);
    const { firstReferences, references, externalIds, ids } = this.#columns;
    const result: ObjectId[] = [];
    const end = firstReferences[ordinal + 1] as number;
    for (let at = firstReferences[ordinal] as number; at < end; at++) {
      const target = references[at] as number;
      result.push(
        target < this.objectCount ? idIn(ids, target) : idIn(externalIds, target - this.objectCount),
      );
    }
    return result;
  }

  /** As `referencesAt`; one to an object of this pack is its ordinal. */
  referencePlacesAt(ordinal: number): (number | ObjectId)[] {
    this.#checkOrdinal(ordinal);
    const { firstReferences, references, externalIds } = this.#columns;
    const result: (number | ObjectId)[] = [];
    const end = firstReferences[ordinal + 1] as number;
    for (let at = firstReferences[ordinal] as number; at < end; at++) {
      const target = references[at] as number;
      result.push(target < this.objectCount ? target : idIn(externalIds, target - this.objectCount));
    }
    return result;
  }

  blockAt(block: number): BlockPlace {
    this.#checkBlock(block);
    const { blockOffsets, storedBytes, rawBytes, codecs } = this.#columns;
    return {
      offset: blockOffsets[block] as number,
      storedBytes: storedBytes[block] as number,
      rawBytes: rawBytes[block] as number,
      codec: codecs[block] as number,
    };
  }

  /** Of a block; for `blockCount` the number of objects. */
  firstOrdinal(block: number): number {
    if (block !== this.blockCount) this.#checkBlock(block);
    return this.#columns.firstOrdinals[block] as number;
  }

  /** Whether there are messages in the block, and not only what they refer to. */
  holdsMessages(block: number): boolean {
    this.#checkBlock(block);
    const { firstOrdinals } = this.#columns;
    const end = firstOrdinals[block + 1] as number;
    for (let ordinal = firstOrdinals[block] as number; ordinal < end; ordinal++)
      if (this.kindAt(ordinal) === "message") return true;
    return false;
  }

  /** From the start of the pack: where the first block begins, which is the length of the header. */
  get blocksStart(): number {
    return this.#columns.blockOffsets[0] as number;
  }

  /** Where the last block ends and the directory begins. */
  get blocksEnd(): number {
    return this.#columns.blockOffsets[this.blockCount] as number;
  }

  /** What this takes, ids included. */
  get memoryBytes(): number {
    let bytes = 0;
    for (const column of Object.values(this.#columns)) bytes += column.byteLength;
    return bytes;
  }

  #checkOrdinal(ordinal: number): void {
    if (!(Number.isInteger(ordinal) && ordinal >= 0 && ordinal < this.objectCount))
      throw new RangeError(`no object ${ordinal} in a pack of ${this.objectCount}`);
  }

  #checkBlock(block: number): void {
    if (!(Number.isInteger(block) && block >= 0 && block < this.blockCount))
      throw new RangeError(`no block ${block} in a pack of ${this.blockCount}`);
  }
}

function idIn(ids: Uint8Array, position: number): ObjectId {
  return ids.subarray(position * OBJECT_ID_BYTES, (position + 1) * OBJECT_ID_BYTES) as ObjectId;
}

function checkKinds(reader: ByteReader, kinds: Uint8Array): PackKind | undefined {
  let packKind: PackKind | undefined;
  for (const byte of kinds) {
    const kind = KINDS[byte];
    if (kind === undefined) throw reader.damaged(`unknown object kind ${byte}`);
    packKind ??= packKindOf(kind);
    if (packKind !== packKindOf(kind)) throw reader.damaged("objects of both kinds of pack");
  }
  return packKind;
}

/** Each number takes at least a byte: no memory is taken for more numbers than there are bytes. */
function readNumbers(reader: ByteReader, count: number, max: number): Uint32Array {
  if (count > reader.remaining) throw reader.damaged("a column is cut short");
  const numbers = new Uint32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = reader.varint(max);
  return numbers;
}

/** Numbers added up, from 0; one more than there are numbers. */
function readSums(reader: ByteReader, count: number, max: number): Uint32Array {
  const sums = new Uint32Array(count + 1);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += reader.varint(max);
    if (sum > max) throw reader.damaged("the blocks have too many objects");
    sums[i + 1] = sum;
  }
  return sums;
}

function readForMessages(reader: ByteReader, kinds: Uint8Array, max: number): Uint32Array {
  const numbers = new Uint32Array(kinds.length);
  for (let i = 0; i < kinds.length; i++) if (kinds[i] === KIND_BYTES.message) numbers[i] = reader.varint(max);
  return numbers;
}

/** Turns `heads` from lengths into offsets, in place, and returns the offsets of the tails. */
function layOut(
  reader: ByteReader,
  firstOrdinals: Uint32Array,
  rawBytes: Uint32Array,
  heads: Uint32Array,
  tails: Uint32Array,
): Uint32Array {
  for (let block = 0; block < rawBytes.length; block++) {
    const first = firstOrdinals[block] as number;
    const end = firstOrdinals[block + 1] as number;
    let offset = 0;
    for (const lengths of [heads, tails]) {
      for (let i = first; i < end; i++) {
        const length = lengths[i] as number;
        lengths[i] = offset;
        offset += length;
        if (offset > BLOCK_BYTES_MAX) break;
      }
    }
    if (offset !== rawBytes[block]) throw reader.damaged(`the objects of block ${block} do not fill it`);
  }
  return tails;
}
