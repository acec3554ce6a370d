/** Makes stretches of a file from the pairs as which they are stored. Format: docs/formats/manifest.md, section 1. */
import { crc32 } from "node:zlib";
import { ByteReader } from "../base/bytes.ts";

/** A stretch of a file, and the two objects as which it is to be stored. None of the three is empty. */
export interface ContentPair {
  readonly bytes: Uint8Array;
  readonly lasting: Uint8Array;
  readonly changing: Uint8Array;
}

export const VERBATIM = new Uint8Array([0]);

const METHOD = { verbatim: 0, twoskip: 1, index: 2 } as const;
const CRC_BYTES = 4;
const LINK_BYTES = 8;
const FILLER = 0x20;
/** Dummy, record, delete, commit. */
const RECORD_TYPES: ReadonlySet<number> = new Set([0x3d, 0x2b, 0x2d, 0x24]);
const LEVEL_MAX = 31;
const WORD = 4;
const GUID = { offset: 60, bytes: 20 } as const;
const THREAD_ID = { offset: 88, bytes: 8 } as const;
/** A record of a cyrus.index without thread id, with one, with the modseq of its creation too. */
const INDEX_RECORD_BYTES: ReadonlySet<number> = new Set([96, 104, 112]);

interface Column {
  readonly offset: number;
  readonly bytes: number;
  /** Numbers are kept by planes, those that ascend as differences. */
  readonly form: "plain" | "planes" | "differences";
}

const words = (form: Column["form"], ...offsets: number[]): Column[] =>
  offsets.map((offset) => ({ offset, bytes: WORD, form }));

const CACHE_OFFSET = 24;
const CHANGING: readonly Column[] = [
  ...words("differences", CACHE_OFFSET, 28),
  ...words("planes", 32, 36, 40, 44, 48, 80),
  ...words("differences", 84),
];

function lastingColumns(recordBytes: number): Column[] {
  const columns = [
    ...words("differences", 0, 4, 8),
    ...words("planes", 12, 16),
    ...words("differences", 20, 52),
    ...words("planes", 56),
    { ...GUID, form: "plain" as const },
  ];
  if (recordBytes === 96) columns.push(...words("planes", 88));
  else columns.push({ ...THREAD_ID, form: "plain" });
  if (recordBytes === 104) columns.push(...words("planes", 96));
  if (recordBytes === 112)
    columns.push(...words("planes", 96), ...words("differences", 100), ...words("planes", 104));
  return columns;
}

/** For the pairs of one file, in order. */
export class PairJoiner {
  /** Of the last record of the pair before, where that held records of a cyrus.index. */
  #cacheOffset = 0;

  /** @throws {CyrvaultError} `REPOSITORY_DAMAGED`: the two do not make a stretch. */
  join(lasting: Uint8Array, changing: Uint8Array): Uint8Array {
    const reader = new ByteReader(changing, "pair");
    const method = reader.u8();
    const cacheOffset = this.#cacheOffset;
    this.#cacheOffset = 0;
    switch (method) {
      case METHOD.verbatim:
        reader.end();
        return lasting;
      case METHOD.twoskip:
        return joinTwoskip(asBuffer(lasting), reader);
      case METHOD.index: {
        const joined = joinIndex(asBuffer(lasting), reader, cacheOffset);
        this.#cacheOffset = joined.cacheOffset;
        return joined.bytes;
      }
      default:
        throw reader.damaged(`unknown method ${method}`);
    }
  }
}

function joinTwoskip(lasting: Buffer, reader: ByteReader): Buffer {
  const prefix = reader.bytes();
  const planes = reader.raw(reader.remaining);
  const count = planes.length / LINK_BYTES;
  if (!Number.isInteger(count)) throw reader.damaged("half a link");
  const records = Math.ceil(lasting.length / 8);
  const out = Buffer.allocUnsafe(prefix.length + lasting.length + planes.length + records * CRC_BYTES);
  let made = prefix.copy(out);
  let link = 0;
  for (let at = 0; at < lasting.length; ) {
    const need = (bytes: number): void => {
      if (at + bytes > lasting.length) throw reader.damaged("a record is cut short");
    };
    const copy = (bytes: number): void => {
      need(bytes);
      made += lasting.copy(out, made, at, at + bytes);
      at += bytes;
    };
    need(8);
    const type = lasting[at] as number;
    if (type === FILLER) {
      copy(8);
      continue;
    }
    const level = lasting[at + 1] as number;
    if (!RECORD_TYPES.has(type) || level > LEVEL_MAX) throw reader.damaged("not a record");
    const start = made;
    let keyBytes = lasting.readUInt16BE(at + 2);
    let valueBytes = lasting.readUInt32BE(at + 4);
    copy(8);
    if (keyBytes === 0xffff) {
      need(8);
      keyBytes = Number(lasting.readBigUInt64BE(at));
      copy(8);
    }
    if (valueBytes === 0xffff_ffff) {
      need(8);
      valueBytes = Number(lasting.readBigUInt64BE(at));
      copy(8);
    }
    if (link + level + 1 > count) throw reader.damaged("links are missing");
    for (const end = link + level + 1; link < end; link++)
      for (let plane = 0; plane < LINK_BYTES; plane++) out[made++] = planes[plane * count + link] as number;
    made = out.writeUInt32BE(crc32(out.subarray(start, made)), made);
    copy(CRC_BYTES + Math.ceil((keyBytes + valueBytes) / 8) * 8);
  }
  if (link !== count) throw reader.damaged("more links than records have");
  return out.subarray(0, made);
}

function joinIndex(
  lasting: Buffer,
  reader: ByteReader,
  cacheOffset: number,
): { bytes: Buffer; cacheOffset: number } {
  const recordBytes = reader.varint();
  if (!INDEX_RECORD_BYTES.has(recordBytes)) throw reader.damaged(`records of ${recordBytes} bytes`);
  const prefix = reader.bytes();
  const changing = reader.raw(reader.remaining);
  const columns = lastingColumns(recordBytes);
  const count = changing.length / bytesOf(CHANGING);
  if (!Number.isInteger(count) || count === 0 || lasting.length !== count * bytesOf(columns))
    throw reader.damaged("columns of different lengths");
  const out = Buffer.allocUnsafe(prefix.length + count * recordBytes);
  prefix.copy(out);
  const records = out.subarray(prefix.length);
  spread(lasting, columns, records, recordBytes, count, 0);
  spread(changing, CHANGING, records, recordBytes, count, cacheOffset);
  for (let start = 0; start < records.length; start += recordBytes) {
    const crcAt = start + recordBytes - CRC_BYTES;
    records.writeUInt32BE(crc32(records.subarray(start, crcAt)), crcAt);
  }
  return { bytes: out, cacheOffset: records.readUInt32BE((count - 1) * recordBytes + CACHE_OFFSET) };
}

function spread(
  from: Buffer,
  columns: readonly Column[],
  records: Buffer,
  recordBytes: number,
  count: number,
  cacheOffset: number,
): void {
  let at = 0;
  for (const { offset, bytes, form } of columns) {
    if (form === "plain") {
      for (let i = 0; i < count; i++, at += bytes)
        from.copy(records, i * recordBytes + offset, at, at + bytes);
      continue;
    }
    let value = offset === CACHE_OFFSET ? cacheOffset : 0;
    for (let i = 0; i < count; i++) {
      const high = ((from[at + i] as number) << 24) | ((from[at + count + i] as number) << 16);
      const low = ((from[at + 2 * count + i] as number) << 8) | (from[at + 3 * count + i] as number);
      value = form === "differences" ? (value + (high | low)) >>> 0 : (high | low) >>> 0;
      records.writeUInt32BE(value, i * recordBytes + offset);
    }
    at += count * WORD;
  }
}

function bytesOf(columns: readonly Column[]): number {
  return columns.reduce((sum, { bytes }) => sum + bytes, 0);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
