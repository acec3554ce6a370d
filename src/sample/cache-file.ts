/** A mailbox's `cyrus.cache` file: the index's generation, then records that the index knows by their offset. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { sizeOf } from "./disk.ts";

const ITEMS = 10;
const FLUSH_BYTES = 1 << 20;

/** Appends are held back up to a megabyte. */
export class CacheFile {
  readonly path: string;
  #old: Buffer | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes on disk; undefined before the first look at it. */
  #size: number | undefined;
  #generation: number;

  /** @param generation - the index's: only a new file takes it. */
  constructor(path: string, generation: number) {
    this.path = path;
    this.#generation = generation;
  }

  append(record: Buffer): number {
    const offset = this.#sizeOnDisk() + this.#pendingBytes;
    const start = offset === 0 ? 4 : offset;
    if (offset === 0) this.#hold(Buffer.alloc(4));
    this.#hold(record);
    if (this.#pendingBytes > FLUSH_BYTES) this.flush();
    return start;
  }

  read(offset: number): Buffer {
    this.flush();
    this.#old ??= readFileSync(this.path);
    let end = offset;
    for (let item = 0; item < ITEMS; item++) end += 4 + Math.ceil(this.#old.readUInt32BE(end) / 4) * 4;
    return this.#old.subarray(offset, end);
  }

  /** Begins anew. A file without records is no file. */
  restart(generation: number): void {
    this.#old = undefined;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#size = 0;
    this.#generation = generation;
    rmSync(this.path, { force: true });
  }

  flush(): void {
    if (this.#pendingBytes === 0) return;
    const size = this.#sizeOnDisk();
    const bytes = Buffer.concat(this.#pending, this.#pendingBytes);
    if (size === 0) bytes.writeUInt32BE(this.#generation, 0);
    const file = openSync(this.path, size === 0 ? "w" : "a");
    try {
      writeSync(file, bytes);
    } finally {
      closeSync(file);
    }
    this.#size = size + bytes.length;
    this.#old = undefined;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #hold(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
  }

  #sizeOnDisk(): number {
    this.#size ??= sizeOf(this.path);
    return this.#size;
  }
}
