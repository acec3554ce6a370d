/**
 * Stretches of a `cyrus.index`, each cut in two by columns: what lasts as long as the message (UID, dates, GUID …)
 * and what changes (flags, modseq, where its line of the cache lies). CRCs are left out: they follow.
 * Format of a pair: docs/formats/manifest.md, section 1.
 *
 * A repack moves every line of the cache, by the same distance between two expunged messages: so offsets are kept
 * as differences to the record before, across stretches too.
 */
import { crc32 } from "node:zlib";
import { ByteWriter } from "../base/bytes.ts";
import { type ChunkPair, verbatimPair } from "./chunk-pair.ts";
import { chunkIndexRecords, type IndexRecordLayout, type RecordCounts } from "./index-records.ts";

const INDEX = 2;
const CRC_BYTES = 4;
const WORD = 4;
const CACHE_OFFSET = 24;
export const PAIRED_RECORD_BYTES: ReadonlySet<number> = new Set([96, 104, 112]);
const COUNTS: RecordCounts = { min: 16, avg: 64, max: 256 };
/** Beyond so many bytes, so that the list of pairs, which a single new message makes anew, stays short. */
const LARGE_BYTES = 4 * 1024 * 1024;
const LARGE_COUNTS: RecordCounts = { min: 64, avg: 256, max: 1024 };

/** Offset, bytes, and how a column is kept: as it is, by planes of bytes, or as differences by planes. */
type Column = readonly [offset: number, bytes: number, form: "plain" | "planes" | "differences"];

const CHANGING: readonly Column[] = [
  [CACHE_OFFSET, WORD, "differences"],
  [28, WORD, "differences"],
  [32, WORD, "planes"],
  [36, WORD, "planes"],
  [40, WORD, "planes"],
  [44, WORD, "planes"],
  [48, WORD, "planes"],
  [80, WORD, "planes"],
  [84, WORD, "differences"],
];
const LASTING: readonly Column[] = [
  [0, WORD, "differences"],
  [4, WORD, "differences"],
  [8, WORD, "differences"],
  [12, WORD, "planes"],
  [16, WORD, "planes"],
  [20, WORD, "differences"],
  [52, WORD, "differences"],
  [56, WORD, "planes"],
  [60, 20, "plain"],
];
/** From the modseq to the CRC, by the size of a record. */
const LASTING_MORE: Readonly<Record<number, readonly Column[]>> = {
  96: [[88, WORD, "planes"]],
  104: [
    [88, 8, "plain"],
    [96, WORD, "planes"],
  ],
  112: [
    [88, 8, "plain"],
    [96, WORD, "planes"],
    [100, WORD, "differences"],
    [104, WORD, "planes"],
  ],
};

/**
 * @param layout - with records of 96, 104 or 112 bytes.
 * @param source - as for `chunkIndexRecords`.
 * @param size - of the file.
 * @returns pairs whose `bytes` make the file; buffers of their own.
 */
export function* pairIndexRecords(
  layout: IndexRecordLayout,
  source: Iterable<Uint8Array>,
  size: number,
): Generator<ChunkPair, void, void> {
  const { recordBytes } = layout;
  let header: Buffer | undefined;
  let cacheOffset = 0;
  for (const chunk of chunkIndexRecords(layout, source, size > LARGE_BYTES ? LARGE_COUNTS : COUNTS)) {
    if (header === undefined) {
      header = chunk;
      continue;
    }
    const bytes = header.length === 0 ? chunk : Buffer.concat([header, chunk]);
    const isSound = chunk.length % recordBytes === 0 && crcsAreRight(chunk, recordBytes);
    yield isSound ? pairOf(bytes, header.length, recordBytes, cacheOffset) : verbatimPair(bytes);
    cacheOffset = isSound ? chunk.readUInt32BE(chunk.length - recordBytes + CACHE_OFFSET) : 0;
    header = Buffer.alloc(0);
  }
  if (header !== undefined && header.length > 0) yield verbatimPair(header);
}

function crcsAreRight(records: Buffer, recordBytes: number): boolean {
  for (let start = 0; start < records.length; start += recordBytes) {
    const crcAt = start + recordBytes - CRC_BYTES;
    if (crc32(records.subarray(start, crcAt)) !== records.readUInt32BE(crcAt)) return false;
  }
  return true;
}

function pairOf(bytes: Buffer, headerBytes: number, recordBytes: number, cacheOffset: number): ChunkPair {
  const records = bytes.subarray(headerBytes);
  const columns = [...LASTING, ...(LASTING_MORE[recordBytes] ?? [])];
  const changing = new ByteWriter(bytes.length / 2);
  changing.u8(INDEX).varint(recordBytes).bytes(bytes.subarray(0, headerBytes));
  changing.raw(gather(records, recordBytes, CHANGING, cacheOffset));
  return { bytes, lasting: gather(records, recordBytes, columns, 0), changing: changing.toBytes() };
}

function gather(
  records: Buffer,
  recordBytes: number,
  columns: readonly Column[],
  cacheOffset: number,
): Buffer {
  const count = records.length / recordBytes;
  const out = Buffer.allocUnsafe(count * columns.reduce((sum, [, bytes]) => sum + bytes, 0));
  let made = 0;
  for (const [offset, bytes, form] of columns) {
    let before = offset === CACHE_OFFSET ? cacheOffset : 0;
    for (let i = 0; i < count; i++) {
      const at = i * recordBytes + offset;
      if (form === "plain") {
        records.copy(out, made + i * bytes, at, at + bytes);
        continue;
      }
      const value = records.readUInt32BE(at);
      const kept = form === "differences" ? (value - before) | 0 : value | 0;
      before = value;
      for (let plane = 0; plane < WORD; plane++)
        out[made + plane * count + i] = (kept >>> (24 - 8 * plane)) & 0xff;
    }
    made += count * bytes;
  }
  return out;
}
