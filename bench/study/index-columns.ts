/**
 * A `cyrus.index` by columns, for the comparison: what a lossless transform would store. Lossless because every
 * word of a record is kept but its CRC, which is checked first; where one is wrong the file stays as it is.
 */
import { crc32 } from "node:zlib";
import { indexFormat } from "../../src/cyrus/index-format.ts";

/** Kept as difference to the record before. */
const DIFFERENCES: ReadonlySet<string> = new Set([
  "uid",
  "internalDateNs",
  "sentDateNs",
  "gmtimeNs",
  "cacheOffset",
  "lastUpdatedNs",
  "saveDateNs",
]);
/** Fields that change in the life of a message; an offset's difference lasts, but for neighbours of what has gone. */
const CHANGING: ReadonlySet<string> = new Set([
  "cacheOffset",
  "lastUpdatedNs",
  "flagWord",
  "userFlags",
  "modseq",
]);
const WORD = 4;

export function columnChunks(
  bytes: Buffer,
  groups: readonly (readonly [number, number])[],
  split: boolean,
): Buffer[] {
  const headerBytes = bytes.readUInt32BE(12);
  const recordBytes = bytes.readUInt32BE(16);
  const format = indexFormat(bytes.readUInt32BE(8));
  const count = (bytes.length - headerBytes) / recordBytes;
  if (!format?.hasCrc || format.recordBytes !== recordBytes || !Number.isInteger(count)) return [bytes];
  for (let record = 0; record < count; record++) {
    const at = headerBytes + record * recordBytes;
    const crcAt = at + recordBytes - WORD;
    if (crc32(bytes.subarray(at, crcAt)) !== bytes.readUInt32BE(crcAt)) return [bytes];
  }
  /** The header, and where each group's part of the cache begins: a repack changes these and no group. */
  const frame = Buffer.alloc(headerBytes + groups.length * WORD);
  bytes.copy(frame, 0, 0, headerBytes);
  const chunks: Buffer[] = [frame];
  for (const [index, [from, to]] of groups.entries()) {
    const lasting: Buffer[] = [];
    const changing: Buffer[] = [];
    for (const { name, offset, width, difference } of columnsOf(format.version)) {
      const column = gather(bytes, headerBytes + from * recordBytes + offset, recordBytes, to - from, width);
      if (difference) {
        const first = toDifferences(column);
        if (name === "cacheOffset") frame.writeUInt32BE(first, headerBytes + index * WORD);
        else column.writeUInt32BE(first, 0);
      }
      const isNumber = width === WORD;
      (split && CHANGING.has(name) ? changing : lasting).push(isNumber ? toPlanes(column) : column);
    }
    chunks.push(Buffer.concat(lasting));
    if (split) chunks.push(Buffer.concat(changing));
  }
  return chunks;
}

interface Column {
  readonly name: string;
  readonly offset: number;
  readonly width: number;
  readonly difference: boolean;
}

/** All of a record but its CRC at the end; a thread id and a GUID are random and stay in one piece. */
function columnsOf(version: number): Column[] {
  const format = indexFormat(version);
  if (format === undefined) return [];
  const columns: Column[] = [];
  for (const [position, { name, offset }] of format.record.entries()) {
    const end = format.record[position + 1]?.offset ?? format.recordBytes - WORD;
    if (name === "guid" || name === "threadId")
      columns.push({ name, offset, width: end - offset, difference: false });
    else
      for (let at = offset; at < end; at += WORD)
        columns.push({ name, offset: at, width: WORD, difference: DIFFERENCES.has(name) });
  }
  return columns;
}

function gather(bytes: Buffer, start: number, stride: number, count: number, width: number): Buffer {
  const column = Buffer.alloc(count * width);
  for (let i = 0; i < count; i++)
    bytes.copy(column, i * width, start + i * stride, start + i * stride + width);
  return column;
}

/** Leaves 0 for the first. @returns the first. */
function toDifferences(column: Buffer): number {
  const first = column.readUInt32BE(0);
  for (let at = column.length - WORD; at > 0; at -= WORD)
    column.writeUInt32BE((column.readUInt32BE(at) - column.readUInt32BE(at - WORD)) >>> 0, at);
  column.writeUInt32BE(0, 0);
  return first;
}

/** The first bytes of all numbers, then the second ones … */
function toPlanes(column: Buffer): Buffer {
  const count = column.length / WORD;
  const planes = Buffer.alloc(column.length);
  for (let i = 0; i < count; i++)
    for (let byte = 0; byte < WORD; byte++) planes[byte * count + i] = column[i * WORD + byte] ?? 0;
  return planes;
}
