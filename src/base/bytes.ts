/**
 * Reading and writing our own binary formats: big-endian fixed-width integers, LEB128 varints (unsigned; signed
 * as zigzag), byte strings with a varint length. A reader never takes memory for a length before it has checked
 * that so many bytes are there.
 */
import type { ByteString } from "./byte-string.ts";
import { CyrvaultError, type ErrorCode } from "./errors.ts";

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes so far, copied: the writer can go on. */
  toBytes(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#length = this.#buffer.writeUInt16BE(value, this.#length);
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#length = this.#buffer.writeUInt32BE(value, this.#length);
    return this;
  }

  u64(value: bigint): this {
    this.#reserve(8);
    this.#length = this.#buffer.writeBigUInt64BE(value, this.#length);
    return this;
  }

  /** @param value - a safe integer, not negative. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a varint: ${value}`);
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  /** @param value - 0 to 2^64-1. */
  varintBig(value: bigint): this {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`not a 64-bit varint: ${value}`);
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80n) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
    return this;
  }

  /** Zigzag: 0, -1, 1, -2 … become 0, 1, 2, 3 …. @param value - -2^63 to 2^63-1. */
  zigzagBig(value: bigint): this {
    return this.varintBig(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  /** Without a length. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  byteString(value: ByteString): this {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#buffer.write(value, this.#length, "latin1");
    this.#length += value.length;
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, "utf8"));
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const bigger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(bigger, 0, 0, this.#length);
    this.#buffer = bigger;
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  readonly #what: string;
  readonly #code: ErrorCode;
  #offset = 0;

  /**
   * @param what - names the thing in errors, e.g. `pack directory`.
   * @param code - the code of the error for bytes that do not fit.
   */
  constructor(bytes: Uint8Array, what: string, code: ErrorCode = "REPOSITORY_DAMAGED") {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#code = code;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  u8(): number {
    this.#need(1);
    return this.#buffer[this.#offset++] as number;
  }

  u16(): number {
    this.#need(2);
    const value = this.#buffer.readUInt16BE(this.#offset);
    this.#offset += 2;
    return value;
  }

  u32(): number {
    this.#need(4);
    const value = this.#buffer.readUInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  u64(): bigint {
    this.#need(8);
    const value = this.#buffer.readBigUInt64BE(this.#offset);
    this.#offset += 8;
    return value;
  }

  /** @param max - the largest value that makes sense here: more is damage. */
  varint(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > max || (count > 0 && byte === 0))
          throw this.damaged(`a number is out of range: ${value} > ${max}`);
        return value;
      }
      scale *= 0x80;
    }
    throw this.damaged("a number is too long");
  }

  varintBig(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff_ffff_ffffn || (shift > 0n && byte === 0)) break;
        return value;
      }
    }
    throw this.damaged("a 64-bit number is out of range");
  }

  zigzagBig(): bigint {
    const value = this.varintBig();
    return (value >> 1n) ^ -(value & 1n);
  }

  /** A view into the bytes given to the constructor, not a copy. */
  raw(count: number): Buffer {
    this.#need(count);
    const view = this.#buffer.subarray(this.#offset, this.#offset + count);
    this.#offset += count;
    return view;
  }

  /** A copy, for what outlives the bytes given to the constructor. */
  copy(count: number): Uint8Array {
    this.#need(count);
    const start = this.#offset;
    this.#offset += count;
    const copied = new Uint8Array(count);
    this.#buffer.copy(copied, 0, start, this.#offset);
    return copied;
  }

  /** A view, not a copy. */
  bytes(maxBytes: number = Number.MAX_SAFE_INTEGER): Buffer {
    return this.raw(this.varint(maxBytes));
  }

  byteString(maxBytes = 65_536): ByteString {
    const count = this.varint(maxBytes);
    this.#need(count);
    const start = this.#offset;
    this.#offset += count;
    return this.#buffer.toString("latin1", start, this.#offset) as ByteString;
  }

  text(maxBytes = 65_536): string {
    return this.bytes(maxBytes).toString("utf8");
  }

  /** Throws unless everything has been read. */
  end(): void {
    if (this.remaining !== 0) throw this.damaged(`${this.remaining} bytes too many`);
  }

  damaged(why: string): CyrvaultError {
    return new CyrvaultError(this.#code, `${this.#what}: ${why}`, { context: { offset: this.#offset } });
  }

  #need(count: number): void {
    if (count > this.remaining)
      throw this.damaged(`cut short: ${count} bytes wanted, ${this.remaining} there`);
  }
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
