/** The number and string forms of manifest pages: docs/formats/manifest.md, section 1. */
import type { ByteString } from "../base/byte-string.ts";
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { assert } from "../base/errors.ts";

const NEAR_LIMIT = 2 ** 51;
const SECOND_LIMIT = 2n ** 48n;
const NS_PER_S = 1_000_000_000n;
const MAX_STRING_BYTES = 65_536;
/** A front-coded page expands when read: no honest page comes near this. */
const MAX_EXPANDED_BYTES = 32 * 1024 * 1024;

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

/** A number that is probably close to `base`. Both are safe integers, not negative. */
export function writeNear(writer: ByteWriter, value: number, base: number): void {
  const difference = value - base;
  if (Math.abs(difference) < NEAR_LIMIT) writer.varint(zigzag(difference) + 1);
  else writer.varint(0).varint(value);
}

export function readNear(reader: ByteReader, base: number): number {
  const coded = reader.varint();
  if (coded === 0) return reader.varint();
  const value = base + unzigzag(coded - 1);
  if (value < 0 || !Number.isSafeInteger(value)) throw reader.damaged(`a number is out of range: ${value}`);
  return value;
}

/** One column or chain of times: each is written as its distance from the one before. */
export class TimeChain {
  #seconds = 0;
  #rest = 0;

  /** Goes on from where `other` stands. */
  follow(other: TimeChain): void {
    this.#seconds = other.#seconds;
    this.#rest = other.#rest;
  }

  write(writer: ByteWriter, timeNs: bigint): void {
    let rest = timeNs % NS_PER_S;
    if (rest < 0n) rest += NS_PER_S;
    const exact = (timeNs - rest) / NS_PER_S;
    const ns = Number(rest);
    if (exact >= SECOND_LIMIT || exact <= -SECOND_LIMIT) {
      assert(BigInt.asIntN(64, exact) === exact, "a time has at most 64 bits of seconds");
      writer.varint(3).zigzagBig(exact).u32(ns);
      this.#seconds = 0;
      this.#rest = 0;
      return;
    }
    const seconds = Number(exact);
    const difference = zigzag(seconds - this.#seconds) * 4;
    if (ns === 0) writer.varint(difference);
    else if (ns === this.#rest) writer.varint(difference + 2);
    else writer.varint(difference + 1).u32(ns);
    this.#seconds = seconds;
    this.#rest = ns;
  }

  read(reader: ByteReader): bigint {
    const coded = reader.varint();
    const form = coded % 4;
    if (form === 3) {
      if (coded !== 3) throw reader.damaged("a time is malformed");
      const exact = reader.zigzagBig();
      const ns = this.#readRest(reader);
      this.#seconds = 0;
      this.#rest = 0;
      return exact * NS_PER_S + BigInt(ns);
    }
    const seconds = this.#seconds + unzigzag((coded - form) / 4);
    if (!Number.isSafeInteger(seconds)) throw reader.damaged("a time is out of range");
    this.#seconds = seconds;
    if (form === 0) this.#rest = 0;
    else if (form === 1) this.#rest = this.#readRest(reader);
    const whole = BigInt(seconds) * NS_PER_S;
    return this.#rest === 0 ? whole : whole + BigInt(this.#rest);
  }

  #readRest(reader: ByteReader): number {
    const ns = reader.u32();
    if (ns >= 1e9) throw reader.damaged("a time has more than a second of nanoseconds");
    return ns;
  }
}

/** One column or chain of strings: each is written as what it shares with the one before, and the rest. */
export class FrontChain {
  #previous = "" as ByteString;
  #expanded = 0;

  write(writer: ByteWriter, value: ByteString): void {
    assert(value.length <= MAX_STRING_BYTES, "a name or path has at most 65,536 bytes");
    const limit = Math.min(value.length, this.#previous.length);
    let shared = 0;
    while (shared < limit && value.charCodeAt(shared) === this.#previous.charCodeAt(shared)) shared++;
    writer.varint(shared).byteString(value.slice(shared) as ByteString);
    this.#previous = value;
  }

  read(reader: ByteReader): ByteString {
    const shared = reader.varint(this.#previous.length);
    const rest = reader.byteString(MAX_STRING_BYTES - shared);
    const value = (shared === 0 ? rest : this.#previous.slice(0, shared) + rest) as ByteString;
    this.#expanded += value.length;
    if (this.#expanded > MAX_EXPANDED_BYTES) throw reader.damaged("its names expand beyond 32 MiB");
    this.#previous = value;
    return value;
  }
}
