/**
 * Many small records in a few large buffers: they take about the bytes that they hold, where objects and strings of
 * V8 take five to ten times as much. For what there is one of per mailbox, of which a server may have a quarter of a million.
 */
import { randomBytes } from "node:crypto";
import { type ByteString, toBytes } from "./byte-string.ts";

const CHUNK_BYTES = 1024 * 1024;
const SLOTS_FIRST = 2048;
/** Values in a piece of a column: nothing is copied when it grows, and little is taken in advance. */
const PIECE_BITS = 13;
const PIECE_LENGTH = 2 ** PIECE_BITS;

const ARRAYS = { u8: Uint8Array, u32: Uint32Array, f64: Float64Array, i64: BigInt64Array } as const;

/** Values by their position, of one type: what does not fit into it is cut as its typed array cuts. What was never written is 0. */
class Column<T extends keyof typeof ARRAYS> {
  readonly #type: T;
  readonly #pieces: InstanceType<(typeof ARRAYS)[T]>[] = [];

  constructor(type: T) {
    this.#type = type;
  }

  protected read(at: number): InstanceType<(typeof ARRAYS)[T]>[number] | undefined {
    return this.#pieces[at >> PIECE_BITS]?.[at & (PIECE_LENGTH - 1)];
  }

  protected write(at: number, value: InstanceType<(typeof ARRAYS)[T]>[number]): void {
    const piece = at >> PIECE_BITS;
    while (piece >= this.#pieces.length)
      this.#pieces.push(new ARRAYS[this.#type](PIECE_LENGTH) as InstanceType<(typeof ARRAYS)[T]>);
    const values = this.#pieces[piece] as InstanceType<(typeof ARRAYS)[T]>;
    values[at & (PIECE_LENGTH - 1)] = value;
  }
}

export class NumberColumn extends Column<"u8" | "u32" | "f64"> {
  get(at: number): number {
    return this.read(at) ?? 0;
  }

  set(at: number, value: number): void {
    this.write(at, value);
  }
}

/** Signed, of 64 bits. */
export class BigIntColumn extends Column<"i64"> {
  constructor() {
    super("i64");
  }

  get(at: number): bigint {
    return this.read(at) ?? 0n;
  }

  set(at: number, value: bigint): void {
    this.write(at, value);
  }
}

/** Byte strings of any length, each known by a number from 0 on. */
export class ByteColumn {
  readonly #chunks: Buffer[] = [];
  readonly #chunkOf = new NumberColumn("u32");
  readonly #startOf = new NumberColumn("u32");
  readonly #lengthOf = new NumberColumn("u32");
  /** Of the last chunk. */
  #used = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(value: ByteString): number {
    const bytes = value.length;
    if (this.#chunks.length === 0 || this.#used + bytes > (this.#chunks.at(-1) as Buffer).length) {
      this.#chunks.push(Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes)));
      this.#used = 0;
    }
    const id = this.#length++;
    const chunk = this.#chunks.length - 1;
    (this.#chunks[chunk] as Buffer).write(value, this.#used, bytes, "latin1");
    this.#chunkOf.set(id, chunk);
    this.#startOf.set(id, this.#used);
    this.#lengthOf.set(id, bytes);
    this.#used += bytes;
    return id;
  }

  get(id: number): ByteString {
    const start = this.#startOf.get(id);
    const chunk = this.#chunks[this.#chunkOf.get(id)] as Buffer;
    return chunk.toString("latin1", start, start + this.#lengthOf.get(id)) as ByteString;
  }

  equals(id: number, value: ByteString): boolean {
    return this.#lengthOf.get(id) === value.length && this.get(id) === value;
  }

  /** As `compareBytes`. */
  compare(a: number, b: number): number {
    return this.#view(a).compare(this.#view(b));
  }

  compareWith(id: number, value: ByteString): number {
    return this.#view(id).compare(toBytes(value));
  }

  #view(id: number): Buffer {
    const start = this.#startOf.get(id);
    return (this.#chunks[this.#chunkOf.get(id)] as Buffer).subarray(start, start + this.#lengthOf.get(id));
  }
}

/** From keys to the numbers of records that hold them. The keys themselves lie with the caller, who compares. */
export class KeyTable {
  /** Position in `#rows` plus one; 0: free. */
  #slots = new Uint32Array(SLOTS_FIRST);
  readonly #rows = new NumberColumn("u32");
  readonly #hashes = new NumberColumn("u32");
  #length = 0;
  /** Names are chosen by users: nobody can make many that meet in one slot. */
  readonly #seed = randomBytes(4).readUInt32LE(0);

  /** @param isKey - whether the key of a row is the one that is looked for. */
  find(key: ByteString, isKey: (row: number) => boolean): number | undefined {
    const hash = this.#hash(key);
    const mask = this.#slots.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = this.#slots[at] as number;
      if (entry === 0) return undefined;
      if (this.#hashes.get(entry - 1) === hash && isKey(this.#rows.get(entry - 1)))
        return this.#rows.get(entry - 1);
    }
  }

  /** The key must not be there yet. */
  add(key: ByteString, row: number): void {
    const hash = this.#hash(key);
    this.#rows.set(this.#length, row);
    this.#hashes.set(this.#length, hash);
    this.#length++;
    if (this.#length * 2 > this.#slots.length) this.#grow();
    else this.#place(this.#length - 1, hash);
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let entry = 0; entry < this.#length; entry++) this.#place(entry, this.#hashes.get(entry));
  }

  #place(entry: number, hash: number): void {
    const mask = this.#slots.length - 1;
    let at = hash & mask;
    while (this.#slots[at] !== 0) at = (at + 1) & mask;
    this.#slots[at] = entry + 1;
  }

  /** FNV-1a, mixed once more at the end. */
  #hash(key: ByteString): number {
    let hash = (0x811c9dc5 ^ this.#seed) >>> 0;
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    return (hash ^ (hash >>> 13)) >>> 0;
  }
}
