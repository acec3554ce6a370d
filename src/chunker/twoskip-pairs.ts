/**
 * Cuts a twoskip database between records, and each stretch in two: what the records say, which lasts, and the
 * links of the skip list, which change all over the file when a record is added anywhere.
 * Format of a pair: docs/formats/manifest.md, section 1. Layout of a record: cyrus-imapd 3.6.1,
 * lib/cyrusdb_twoskip.c (read_onerecord, write_record).
 */
import { crc32 } from "node:zlib";
import { ByteWriter } from "../base/bytes.ts";
import { asBuffer } from "./byte-source.ts";
import { type ChunkPair, verbatimPair } from "./chunk-pair.ts";

export interface PairSizes {
  readonly bytesMin: number;
  readonly bytesAvg: number;
  readonly bytesMax: number;
}

export const TWOSKIP_PAIRS: PairSizes = { bytesMin: 8 * 1024, bytesAvg: 32 * 1024, bytesMax: 128 * 1024 };

const MAGIC = Buffer.from("\xa1\x02\x8b\x0dtwoskip file\0\0\0\0", "latin1");
const HEADER_BYTES = 64;
const TYPE_RECORD = 0x2b;
/** Dummy, record, delete, commit. */
const TYPES: ReadonlySet<number> = new Set([0x3d, TYPE_RECORD, 0x2d, 0x24]);
/** The first byte of the eight that fill up a block of the disk. */
const FILLER = 0x20;
const FILLER_BYTES = 8;
const LEVEL_MAX = 31;
const LINK_BYTES = 8;
const CRC_BYTES = 4;
const RECORD_BYTES_MAX = 256 * 1024;
/** Of the records of a conversations database, roughly: so many bytes may begin a stretch. */
const BYTES_A_RECORD = 160;

const TWOSKIP = 1;

export function isTwoskip(first: Uint8Array): boolean {
  return first.length >= HEADER_BYTES && asBuffer(first).subarray(0, MAGIC.length).equals(MAGIC);
}

/**
 * A stretch ends before a record of which its checksum says so, within `sizes`. From the first record that is not
 * sound (torn, damaged, larger than 256 KiB) the file is taken as it is.
 *
 * @param source - the file in order, in stretches of any size; each must hold until the next is asked for.
 * @returns pairs whose `bytes` make the file, none empty, valid until the next is asked for. Holds a stretch of
 *   the source, a pair and a record.
 */
export function* pairTwoskip(
  source: Iterable<Uint8Array>,
  sizes: PairSizes = TWOSKIP_PAIRS,
): Generator<ChunkPair, void, void> {
  const { bytesMin, bytesAvg, bytesMax } = sizes;
  const cutBelow = Math.floor((2 ** 32 * BYTES_A_RECORD) / (bytesAvg - bytesMin));
  let held: Buffer = Buffer.alloc(0);
  let prefixBytes = HEADER_BYTES;
  /** Of `held`: where the records seen so far end. */
  let parsed = HEADER_BYTES;
  let isSound = true;
  for (const stretch of source) {
    held = Buffer.concat([held, asBuffer(stretch)]);
    let start = 0;
    while (isSound) {
      const head = readHead(held, parsed);
      isSound = head !== "unsound";
      if (head === "unsound" || head === "cut short") break;
      const length = parsed - start;
      const mayEnd = length >= bytesMin && mayBegin(held, parsed, head, cutBelow);
      if (length > prefixBytes && (mayEnd || length + head.bytes > bytesMax)) {
        yield pairOf(held.subarray(start, parsed), prefixBytes);
        start = parsed;
        prefixBytes = 0;
      }
      parsed += head.bytes;
    }
    if (!isSound) {
      if (parsed > start && parsed <= held.length) {
        yield pairOf(held.subarray(start, parsed), prefixBytes);
        prefixBytes = 0;
        start = parsed;
      }
      for (; held.length - start >= bytesMax; start += bytesMax)
        yield verbatimPair(held.subarray(start, start + bytesMax));
      parsed = start;
    }
    held = held.subarray(start);
    parsed -= start;
  }
  if (parsed > held.length) parsed = 0;
  if (parsed > 0) yield pairOf(held.subarray(0, parsed), prefixBytes);
  if (parsed < held.length) yield verbatimPair(held.subarray(parsed));
}

/** Of a record, or of a filler: then without links. */
interface Head {
  readonly bytes: number;
  /** Type, level and lengths. */
  readonly fixedBytes: number;
  readonly links: number;
}

const FILLER_HEAD: Head = { bytes: FILLER_BYTES, fixedBytes: FILLER_BYTES, links: 0 };

/** Linear: looks at a record again only when more of the file has come. */
function readHead(file: Buffer, at: number): Head | "cut short" | "unsound" {
  if (at + 24 > file.length) {
    if (at + FILLER_BYTES <= file.length && file[at] === FILLER) return FILLER_HEAD;
    return "cut short";
  }
  const type = file[at] as number;
  if (type === FILLER) return FILLER_HEAD;
  const level = file[at + 1] as number;
  if (!TYPES.has(type) || level > LEVEL_MAX) return "unsound";
  let fixedBytes = 8;
  let keyBytes = file.readUInt16BE(at + 2);
  let valueBytes = file.readUInt32BE(at + 4);
  if (keyBytes === 0xffff) {
    keyBytes = readLength(file, at + fixedBytes);
    fixedBytes += 8;
  }
  if (valueBytes === 0xffff_ffff) {
    valueBytes = readLength(file, at + fixedBytes);
    fixedBytes += 8;
  }
  const links = level + 1;
  const crcAt = at + fixedBytes + links * LINK_BYTES;
  const bodyBytes = Math.ceil((keyBytes + valueBytes) / 8) * 8;
  const bytes = crcAt - at + 2 * CRC_BYTES + bodyBytes;
  if (bytes > RECORD_BYTES_MAX) return "unsound";
  if (at + bytes > file.length) return "cut short";
  if (crc32(file.subarray(at, crcAt)) !== file.readUInt32BE(crcAt)) return "unsound";
  return { bytes, fixedBytes, links };
}

/** Large enough to be refused where it does not fit. */
function readLength(file: Buffer, at: number): number {
  return file.readUInt32BE(at) * 2 ** 32 + file.readUInt32BE(at + 4);
}

/** By the CRC of key and value, which no link changes. */
function mayBegin(file: Buffer, at: number, head: Head, cutBelow: number): boolean {
  if (file[at] !== TYPE_RECORD) return false;
  const crc = file.readUInt32BE(at + head.fixedBytes + head.links * LINK_BYTES + CRC_BYTES);
  return Math.imul(crc ^ (crc >>> 15), 0x2c1b_3c6d) >>> 0 < cutBelow;
}

/** @param bytes - the prefix, then whole records and fillers. */
function pairOf(bytes: Buffer, prefixBytes: number): ChunkPair {
  const lasting = Buffer.allocUnsafe(bytes.length);
  const links = Buffer.allocUnsafe(bytes.length);
  let lastingBytes = 0;
  let linkBytes = 0;
  for (let at = prefixBytes; at < bytes.length; ) {
    const head = readHead(bytes, at);
    if (typeof head === "string") return verbatimPair(bytes);
    const linksAt = at + head.fixedBytes;
    const crcAt = linksAt + head.links * LINK_BYTES;
    lastingBytes += bytes.copy(lasting, lastingBytes, at, linksAt);
    linkBytes += bytes.copy(links, linkBytes, linksAt, crcAt);
    if (head.links > 0) lastingBytes += bytes.copy(lasting, lastingBytes, crcAt + CRC_BYTES, at + head.bytes);
    at += head.bytes;
  }
  const changing = new ByteWriter(linkBytes + prefixBytes + 8);
  changing
    .u8(TWOSKIP)
    .bytes(bytes.subarray(0, prefixBytes))
    .raw(toPlanes(links.subarray(0, linkBytes)));
  return { bytes, lasting: Buffer.from(lasting.subarray(0, lastingBytes)), changing: changing.toBytes() };
}

/** The highest bytes of all links, then the second highest … */
function toPlanes(links: Buffer): Buffer {
  const count = links.length / LINK_BYTES;
  const planes = Buffer.allocUnsafe(links.length);
  for (let i = 0, at = 0; i < count; i++)
    for (let plane = 0; plane < LINK_BYTES; plane++) planes[plane * count + i] = links[at++] as number;
  return planes;
}
