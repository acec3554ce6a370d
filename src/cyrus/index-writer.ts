/**
 * Writes `cyrus.index` headers and records of any version 6 to 20, with their CRCs. Used to make sample mailboxes
 * and to write a filtered copy of an index at a restore.
 *
 * Pure: values in, bytes out. A value that its field cannot hold is the caller's mistake: RangeError. A field that
 * the version lacks is dropped, bytes that no field uses are zero: so reading and writing again gives the same
 * bytes for a file whose unused bytes are zero and whose CRCs are right (a test does so with every fixture).
 */
import { crc32 } from "node:zlib";
import {
  BASE_HEADER_BYTES,
  type Field,
  GUID_BYTES,
  type IndexFormat,
  indexFormat,
  MAX_RECORD_BYTES,
} from "./index-format.ts";
import type { IndexHeader } from "./index-reader.ts";
import type { IndexRecord } from "./index-record.ts";

/** What a caller gives: sizes and CRC follow from the version. */
export type IndexHeaderValues = Omit<IndexHeader, "headerBytes" | "recordBytes" | "crcOk">;

const NS_PER_SECOND = 1_000_000_000n;

/** @param recordBytes - only for the odd version-19 files with 144-byte records. */
export function encodeIndexHeader(header: IndexHeaderValues, recordBytes?: number): Buffer {
  const format = knownFormat(header.version);
  const out = Buffer.alloc(format.headerBytes);
  const base = [
    header.generation,
    header.format,
    format.version,
    format.headerBytes,
    recordBytes ?? format.recordBytes,
    header.recordCount,
  ];
  for (const [i, value] of base.entries()) out.writeUInt32BE(value, i * 4);
  if (base.length * 4 !== BASE_HEADER_BYTES) throw new TypeError("the base header has changed");
  for (const field of format.header) writeNumber(out, field, header[field.name] ?? 0);
  if (format.hasCrc) writeCrc(out, format.headerBytes);
  return out;
}

/**
 * @param version - which version's layout.
 * @param recordBytes - the file's record size where it is larger than the version's: the rest is zero.
 */
export function encodeIndexRecord(record: IndexRecord, version: number, recordBytes?: number): Buffer {
  const format = knownFormat(version);
  const bytes = recordBytes ?? format.recordBytes;
  if (bytes < format.recordBytes || bytes > MAX_RECORD_BYTES) {
    throw new RangeError(`a record of version ${version} does not take ${bytes} bytes`);
  }
  const out = Buffer.alloc(bytes);
  for (const field of format.record) {
    switch (field.name) {
      case "guid":
        writeGuid(out, field.offset, record.guid);
        break;
      case "userFlags":
        for (const [i, word] of record.userFlags.entries()) out.writeUInt32BE(word, field.offset + i * 4);
        break;
      case "cacheOffset":
        out.writeUInt32BE(record.cacheOffset % 2 ** 32, field.offset);
        break;
      case "cacheVersion":
        out.writeUInt16BE(Math.floor(record.cacheOffset / 2 ** 32), field.offset);
        out.writeUInt16BE(record.cacheVersion, field.offset + 2);
        break;
      default:
        writeNumber(out, field, record[field.name]);
    }
  }
  if (format.hasCrc) writeCrc(out, format.recordBytes);
  return out;
}

/** A whole file. The header's record count is that of `records`. */
export function encodeIndex(header: IndexHeaderValues, records: readonly IndexRecord[]): Buffer {
  return Buffer.concat([
    encodeIndexHeader({ ...header, recordCount: records.length }),
    ...records.map((record) => encodeIndexRecord(record, header.version)),
  ]);
}

function knownFormat(version: number): IndexFormat {
  const format = indexFormat(version);
  if (format === undefined) throw new RangeError(`no such index version: ${version}`);
  return format;
}

function writeNumber(out: Buffer, field: Field<string>, value: number | bigint): void {
  switch (field.kind) {
    case "u32":
      out.writeUInt32BE(Number(value), field.offset);
      break;
    case "seconds":
      out.writeUInt32BE(Number(BigInt(value) / NS_PER_SECOND), field.offset);
      break;
    case "u64":
    case "nanoseconds":
      out.writeBigUInt64BE(BigInt(value), field.offset);
      break;
    default:
      throw new TypeError(`${field.name} is not a number`);
  }
}

function writeGuid(out: Buffer, offset: number, guid: Uint8Array | undefined): void {
  if (guid === undefined) return;
  if (guid.length !== GUID_BYTES) throw new RangeError(`a GUID has ${GUID_BYTES} bytes, not ${guid.length}`);
  out.set(guid, offset);
}

function writeCrc(out: Buffer, bytes: number): void {
  out.writeUInt32BE(crc32(out.subarray(0, bytes - 4)), bytes - 4);
}
