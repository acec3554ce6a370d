/**
 * Many small records in a few large buffers: they take about the bytes that they hold, where objects and strings of
 * V8 take five to ten times as much. For what there is one of per mailbox, of which a server may have a quarter of a million.
 */
import { randomBytes } from "node:crypto";
import { type ByteString, toBytes } from "./byte-string.ts";

const CHUNK_BYTES = 1024 * 1024;
const FIRST_LENGTH = 1024;

/** Numbers by their position; grows as it is written to. What was never written is 0. */
export class NumberColumn {
  #values: Float64Array | Uint32Array | Int32Array | Uint8Array;

  /** @param like - of which type: an empty array of it. What does not fit into it is cut as that array cuts. */
  constructor(like: Float64Array | Uint32Array | Int32Array | Uint8Array) {
    this.#values = like;
  }

  get(at: number): number {
    return this.#values[at] ?? 0;
  }

  set(at: number, value: number): void {
    if (at >= this.#values.length) {
      const Column = this.#values.constructor as new (length: number) => Float64Array;
      const grown = new Column(Math.max(FIRST_LENGTH, Math.ceil((at + 1) * 1.5)));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[at] = value;
  }
}

/** Signed 64-bit integers by their position. */
export class BigIntColumn {
  #values = new BigInt64Array(0);

  get(at: number): bigint {
    return this.#values[at] ?? 0n;
  }

  set(at: number, value: bigint): void {
    if (at >= this.#values.length) {
      const grown = new BigInt64Array(Math.max(FIRST_LENGTH, Math.ceil((at + 1) * 1.5)));
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[at] = value;
  }
}

/** Byte strings of any length, each known by a number from 0 on. */
export class ByteColumn {
  readonly #chunks: Buffer[] = [];
  readonly #chunkOf = new NumberColumn(new Uint32Array(0));
  readonly #startOf = new NumberColumn(new Uint32Array(0));
  readonly #lengthOf = new NumberColumn(new Uint32Array(0));
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
  #slots = new Uint32Array(2 * FIRST_LENGTH);
  readonly #rows = new NumberColumn(new Uint32Array(0));
  readonly #hashes = new NumberColumn(new Uint32Array(0));
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
