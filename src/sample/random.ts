/**
 * Numbers that look random and depend on nothing but the seed. Fast and small rather than strong: a sample server
 * takes hundreds of them for each message.
 */
import { createCipheriv } from "node:crypto";

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** The same numbers from the same keys, others from any other ones. Keys are taken modulo 2^32. */
  constructor(...keys: readonly number[]) {
    let mixed = 0x9e3779b9;
    for (const key of keys) mixed = mix(mixed ^ mix(key | 0));
    this.#a = mixed;
    this.#b = mix(mixed + 0x6d2b79f5);
    this.#c = mix(this.#b ^ 0x2545f491);
    for (let i = 0; i < 4; i++) this.u32();
  }

  /** Chris Doty-Humphrey's sfc32. */
  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** From 0 up to, not including, 1. */
  unit(): number {
    return this.u32() / 2 ** 32;
  }

  /** An integer from 0 up to, not including, `limit`. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(values: readonly T[]): T {
    if (values.length === 0) throw new RangeError("nothing to pick from");
    return values[this.below(values.length)] as T;
  }

  /** @param sigma - of the logarithm. */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
    return median * Math.exp(sigma * normal);
  }

  /** Bytes that no compressor makes smaller. */
  bytes(count: number): Buffer {
    const key = Buffer.alloc(32);
    for (let at = 0; at < key.length; at += 4) key.writeUInt32BE(this.u32(), at);
    return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(count));
  }

  /** Lower-case letters and digits. */
  token(length: number): string {
    let text = "";
    for (let i = 0; i < length; i++) text += (this.u32() % 36).toString(36);
    return text;
  }
}

/** The finisher of Murmur3: every bit of the result depends on every bit of the key. */
function mix(key: number): number {
  let value = key;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
