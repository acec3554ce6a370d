/**
 * The bytes of a twoskip file: header and record heads. Everything is big-endian.
 * Format: docs/formats/cyrus-databases.md. From cyrus-imapd 3.6.1, lib/cyrusdb_twoskip.c (the comment on the
 * on-disk format, read_header, read_onerecord, write_record).
 */
import { crc32 } from "node:zlib";
import { CyrvaultError } from "../base/errors.ts";

export const TWOSKIP_MAGIC: Buffer = Buffer.from("\xa1\x02\x8b\x0dtwoskip file\0\0\0\0", "latin1");
export const HEADER_BYTES = 64;
export const DUMMY_OFFSET = 64;
export const LEVEL_MAX = 31;
const VERSION = 1;

export const TYPE = { dummy: 0x3d, record: 0x2b, delete: 0x2d, commit: 0x24 } as const;

/** Written between records since 3.2 so that a head lies within one 512-byte block. */
export const FILLER: Buffer = Buffer.from(" BLANK\x07\xa0", "latin1");

export interface TwoskipHeader {
  readonly generation: number;
  readonly recordCount: number;
  readonly repackBytes: number;
  /** Where the last committed state ends: bytes from here on do not count. */
  readonly committedBytes: number;
  /** A transaction was open when the file was last touched. */
  readonly dirty: boolean;
}

/** @throws {CyrvaultError} `CYRUS_BAD_FORMAT`; `CYRUS_BAD_CHECKSUM` when only the CRC is wrong. */
export function parseTwoskipHeader(bytes: Buffer): TwoskipHeader {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, TWOSKIP_MAGIC.length).equals(TWOSKIP_MAGIC))
    throw new CyrvaultError("CYRUS_BAD_FORMAT", "twoskip: not a twoskip file, or shorter than its header", {
      context: { length: bytes.length },
    });
  if (crc32(bytes.subarray(0, 60)) !== bytes.readUInt32BE(60))
    throw new CyrvaultError("CYRUS_BAD_CHECKSUM", "twoskip: the header's CRC is wrong");
  const version = bytes.readUInt32BE(20);
  if (version !== VERSION)
    throw new CyrvaultError("CYRUS_BAD_FORMAT", `twoskip: version ${version} is not known`, {
      context: { version },
    });
  return {
    generation: readSize(bytes, 24),
    recordCount: readSize(bytes, 32),
    repackBytes: readSize(bytes, 40),
    committedBytes: readSize(bytes, 48),
    dirty: (bytes.readUInt32BE(56) & 1) !== 0,
  };
}

/** One record's head, checked; key and value are where it says, inside the file. */
export interface TwoskipRecord {
  readonly offset: number;
  readonly type: number;
  readonly level: number;
  readonly keyOffset: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** The first byte after the record and its padding. */
  readonly end: number;
  readonly tailCrc: number;
  /** Where the two level-0 links are (a `-` and a `$` have one link). */
  readonly linkOffset: number;
}

/**
 * Undefined when no sound head lies there: wrong type, level or CRC, or lengths beyond `limit`.
 * The tail (key and value) is not checked: see tailIsSound.
 *
 * @param isChecked - the CRC was found right before.
 */
export function readRecordHead(
  bytes: Buffer,
  offset: number,
  limit: number,
  isChecked = false,
): TwoskipRecord | undefined {
  if (offset < HEADER_BYTES || offset % 8 !== 0 || offset + 24 > limit) return undefined;
  const type = bytes[offset] as number;
  const level = bytes[offset + 1] as number;
  if (type !== TYPE.record && type !== TYPE.dummy && type !== TYPE.delete && type !== TYPE.commit)
    return undefined;
  if (level > LEVEL_MAX) return undefined;
  let keyBytes = bytes.readUInt16BE(offset + 2);
  let valueBytes = bytes.readUInt32BE(offset + 4);
  let at = offset + 8;
  if (keyBytes === 0xffff) {
    keyBytes = readSize(bytes, at);
    at += 8;
  }
  if (valueBytes === 0xffff_ffff) {
    if (at + 8 > limit) return undefined;
    valueBytes = readSize(bytes, at);
    at += 8;
  }
  const linkOffset = at;
  at += (level + 1) * 8;
  if (at + 8 > limit) return undefined;
  if (!isChecked && crc32(bytes.subarray(offset, at)) !== bytes.readUInt32BE(at)) return undefined;
  const keyOffset = at + 8;
  const end = roundUp(keyOffset + keyBytes + valueBytes);
  if (end > limit) return undefined;
  return {
    offset,
    type,
    level,
    keyOffset,
    keyBytes,
    valueBytes,
    end,
    tailCrc: bytes.readUInt32BE(at + 4),
    linkOffset,
  };
}

export function tailIsSound(bytes: Buffer, record: TwoskipRecord): boolean {
  return crc32(bytes.subarray(record.keyOffset, record.end)) === record.tailCrc;
}

export function keyBytesOf(bytes: Buffer, record: TwoskipRecord): Buffer {
  return bytes.subarray(record.keyOffset, record.keyOffset + record.keyBytes);
}

export function valueBytesOf(bytes: Buffer, record: TwoskipRecord): Buffer {
  const from = record.keyOffset + record.keyBytes;
  return bytes.subarray(from, from + record.valueBytes);
}

/**
 * The record that follows in the state that ends at `committedBytes`; 0 at the end of the list. A writer overwrites
 * only the older of the two links, so one of them always belongs to the committed state.
 */
export function nextOffset(bytes: Buffer, record: TwoskipRecord, committedBytes: number): number {
  const first = readSize(bytes, record.linkOffset);
  if (record.type === TYPE.delete || record.type === TYPE.commit) return first;
  if (record.level === 0) return first;
  const second = readSize(bytes, record.linkOffset + 8);
  if (first >= committedBytes) return second;
  if (second >= committedBytes) return first;
  return Math.max(first, second);
}

/** A 64-bit length or offset. Beyond 2^53 it is infinite: larger than any file. */
export function readSize(bytes: Buffer, offset: number): number {
  const high = bytes.readUInt32BE(offset);
  return high > 0x1f_ffff ? Number.POSITIVE_INFINITY : high * 0x1_0000_0000 + bytes.readUInt32BE(offset + 4);
}

export function roundUp(length: number): number {
  return Math.ceil(length / 8) * 8;
}
