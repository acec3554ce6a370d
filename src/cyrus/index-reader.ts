/**
 * Reads a mailbox's `cyrus.index`: a header, then one fixed-size record per message, ascending by UID, expunged
 * ones included until Cyrus repacks the file.
 *
 * Pure: bytes in, values out. A large mailbox is read in stretches of whole records: parse the header from the
 * first bytes, then give each stretch to `forEachRecord`, which makes no object per record. Give it bytes from a
 * frozen filesystem, or read under Cyrus's own lock: the header of a mailbox in use may be half rewritten.
 *
 * Format: docs/formats/cyrus-index.md. Checks and their order: cyrus-imapd 1f3a129, imap/mailbox.c,
 * mailbox_buf_to_index_header(). One record: index-record.ts.
 */
import { crc32 } from "node:zlib";
import { CyrvaultError, type ErrorContext } from "../base/errors.ts";
import { BASE_HEADER_BYTES, type IndexFormat, indexFormat } from "./index-format.ts";
import { type IndexRecord, IndexRecordView } from "./index-record.ts";

export type { IndexRecord, IndexRecordView } from "./index-record.ts";

/** Times are nanoseconds since 1970, 0 for none; below version 20 the file has whole seconds. */
export interface IndexHeader {
  /** Cyrus calls it the minor version. */
  readonly version: number;
  readonly headerBytes: number;
  /** As the file says. Larger than the version's own only in the odd files described at `parseIndexHeader`. */
  readonly recordBytes: number;
  /** Grows when Cyrus repacks the mailbox; `cyrus.cache` begins with the same number. */
  readonly generation: number;
  readonly format: number;
  /** Committed records, expunged ones included: not the count that a user sees (`exists`). */
  readonly recordCount: number;
  /** False only if the caller asked to accept that; true for versions without a CRC. */
  readonly crcOk: boolean;
  readonly lastAppendNs: bigint;
  readonly lastUid: number;
  /** Bytes counted against the quota. */
  readonly quotaMailboxUsed: bigint;
  readonly pop3LastLoginNs: bigint;
  readonly uidValidity: number;
  readonly deletedCount: number;
  readonly answeredCount: number;
  readonly flaggedCount: number;
  /** OPTION_* of flags.ts. */
  readonly options: number;
  readonly leakedCacheRecords: number;
  /** 1 below version 8, which has none. */
  readonly highestModseq: bigint;
  /** `highestModseq` below version 12. */
  readonly deletedModseq: bigint;
  /** Messages not expunged. Below version 12 `recordCount` stands for it. */
  readonly exists: number;
  readonly firstExpungedNs: bigint;
  readonly lastRepackNs: bigint;
  /** CRC-32 of the whole `cyrus.header` of the same moment. From version 12. */
  readonly headerFileCrc: number | undefined;
  /** From version 12; see sync-crc.ts. */
  readonly syncCrcBasic: number | undefined;
  readonly recentUid: number;
  readonly recentTimeNs: bigint;
  readonly pop3ShowAfterNs: bigint;
  readonly quotaAnnotUsed: bigint;
  /** From version 13. */
  readonly syncCrcAnnot: number | undefined;
  /** From version 14. */
  readonly unseenCount: number | undefined;
  readonly createdModseq: bigint;
  /** `lastRepackNs` below version 17. */
  readonly changesEpochNs: bigint;
  readonly quotaDeletedUsed: bigint;
  readonly quotaExpungedUsed: bigint;
}

export interface ParseHeaderOptions {
  /** Take a header whose CRC is wrong (`crcOk` says so) instead of throwing. */
  readonly acceptBadCrc?: boolean;
}

const NS_PER_SECOND = 1_000_000_000n;

/**
 * Parses and checks a header. Version 19 over 144-byte records is taken: development versions of Cyrus left such
 * files, Cyrus serves them, and reads each record by the 19 layout.
 *
 * @param file - the file from its first byte; MAX_HEADER_BYTES are enough for every version, more is fine.
 * @returns values only: no reference to `file`.
 * @throws CyrvaultError `CYRUS_BAD_FORMAT`: too short, an unknown version, sizes that are not that version's.
 * @throws CyrvaultError `CYRUS_BAD_CHECKSUM`: all of that is right, the CRC is not.
 */
export function parseIndexHeader(file: Uint8Array, options: ParseHeaderOptions = {}): IndexHeader {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < BASE_HEADER_BYTES) throw badFormat("too short", { length: bytes.length });
  const version = bytes.readUInt32BE(8);
  const headerBytes = bytes.readUInt32BE(12);
  const recordBytes = bytes.readUInt32BE(16);
  const format = indexFormat(version);
  if (format === undefined) throw badFormat("unknown version", { version });
  if (headerBytes !== format.headerBytes || !recordBytesFit(format, recordBytes)) {
    throw badFormat("sizes do not fit the version", { version, headerBytes, recordBytes });
  }
  if (bytes.length < headerBytes) throw badFormat("cut short", { length: bytes.length, headerBytes });

  let crcOk = true;
  if (format.hasCrc) {
    const stored = bytes.readUInt32BE(headerBytes - 4);
    const computed = crc32(bytes.subarray(0, headerBytes - 4));
    crcOk = stored === computed;
    if (!crcOk && options.acceptBadCrc !== true) {
      throw new CyrvaultError("CYRUS_BAD_CHECKSUM", "cyrus.index: the header's CRC is wrong", {
        context: { stored, computed },
      });
    }
  }

  const fields = readHeaderFields(bytes, format);
  const small = (name: string): number | undefined => {
    const value = fields.get(name);
    return value === undefined ? undefined : Number(value);
  };
  const big = (name: string): bigint => fields.get(name) ?? 0n;
  const recordCount = bytes.readUInt32BE(20);
  const highestModseq = fields.get("highestModseq") ?? 1n;
  return {
    version,
    headerBytes,
    recordBytes,
    generation: bytes.readUInt32BE(0),
    format: bytes.readUInt32BE(4),
    recordCount,
    crcOk,
    lastAppendNs: big("lastAppendNs"),
    lastUid: small("lastUid") ?? 0,
    quotaMailboxUsed: big("quotaMailboxUsed"),
    pop3LastLoginNs: big("pop3LastLoginNs"),
    uidValidity: small("uidValidity") ?? 0,
    deletedCount: small("deletedCount") ?? 0,
    answeredCount: small("answeredCount") ?? 0,
    flaggedCount: small("flaggedCount") ?? 0,
    options: small("options") ?? 0,
    leakedCacheRecords: small("leakedCacheRecords") ?? 0,
    highestModseq,
    deletedModseq: fields.get("deletedModseq") ?? highestModseq,
    exists: small("exists") ?? recordCount,
    firstExpungedNs: big("firstExpungedNs"),
    lastRepackNs: big("lastRepackNs"),
    headerFileCrc: small("headerFileCrc"),
    syncCrcBasic: small("syncCrcBasic"),
    recentUid: small("recentUid") ?? 0,
    recentTimeNs: big("recentTimeNs"),
    pop3ShowAfterNs: big("pop3ShowAfterNs"),
    quotaAnnotUsed: big("quotaAnnotUsed"),
    syncCrcAnnot: small("syncCrcAnnot"),
    unseenCount: small("unseenCount"),
    createdModseq: big("createdModseq"),
    changesEpochNs: fields.get("changesEpochNs") ?? big("lastRepackNs"),
    quotaDeletedUsed: big("quotaDeletedUsed"),
    quotaExpungedUsed: big("quotaExpungedUsed"),
  };
}

/** How the length of a file fits its header. */
export interface IndexExtent {
  /** Committed records that are whole in the file. */
  readonly recordsPresent: number;
  /** Committed records that the file is too short for: damage. */
  readonly recordsMissing: number;
  /** Whole records after the committed ones: an append that was never committed. Cyrus ignores them. */
  readonly recordsBeyond: number;
  /** Bytes after the last whole record. */
  readonly oddBytes: number;
}

export function indexExtent(header: IndexHeader, fileBytes: number): IndexExtent {
  const bytes = Math.max(0, fileBytes - header.headerBytes);
  const whole = Math.floor(bytes / header.recordBytes);
  const recordsPresent = Math.min(whole, header.recordCount);
  return {
    recordsPresent,
    recordsMissing: header.recordCount - recordsPresent,
    recordsBeyond: whole - recordsPresent,
    oddBytes: bytes - whole * header.recordBytes,
  };
}

/** Byte offset of a record. `index` counts from 0; Cyrus's own record numbers count from 1. */
export function recordOffset(header: IndexHeader, index: number): number {
  if (!(index >= 0 && index < header.recordCount)) {
    throw new RangeError(`record ${index} is not among the ${header.recordCount} in this file`);
  }
  return header.headerBytes + index * header.recordBytes;
}

/**
 * Visits the committed records of one stretch of the file, in order, with one view for all of them.
 *
 * @param chunk - whole records, nothing else.
 * @param firstIndex - the file's index (from 0) of the first record in `chunk`.
 * @param visit - the view is good only during the call.
 * @returns how many were visited: records beyond the header's count are not.
 */
export function forEachRecord(
  chunk: Uint8Array,
  header: IndexHeader,
  firstIndex: number,
  visit: (record: IndexRecordView) => void,
): number {
  if (chunk.length % header.recordBytes !== 0) {
    throw new RangeError(`${chunk.length} bytes are not a number of whole records`);
  }
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const count = Math.max(0, Math.min(bytes.length / header.recordBytes, header.recordCount - firstIndex));
  const view = new IndexRecordView(header);
  for (let i = 0; i < count; i++) {
    view.moveTo(bytes, i * header.recordBytes, firstIndex + i);
    visit(view);
  }
  return count;
}

export interface ParsedIndex {
  readonly header: IndexHeader;
  /** Every committed record that is there, those of `badRecords` too. */
  readonly records: readonly IndexRecord[];
  /** Indexes (from 0) of records whose CRC is wrong: no value of such a record can be relied on. */
  readonly badRecords: readonly number[];
  readonly extent: IndexExtent;
}

/** A whole file at once, an object per record: for small mailboxes and tests. Throws as `parseIndexHeader` does. */
export function parseIndex(file: Uint8Array, options: ParseHeaderOptions = {}): ParsedIndex {
  const header = parseIndexHeader(file, options);
  const extent = indexExtent(header, file.length);
  const records: IndexRecord[] = [];
  const badRecords: number[] = [];
  const end = header.headerBytes + extent.recordsPresent * header.recordBytes;
  forEachRecord(file.subarray(header.headerBytes, end), header, 0, (view) => {
    if (!view.crcOk) badRecords.push(view.index);
    records.push(view.toRecord());
  });
  return { header, records, badRecords, extent };
}

function recordBytesFit(format: IndexFormat, recordBytes: number): boolean {
  return recordBytes === format.recordBytes || (format.version === 19 && recordBytes === 144);
}

function readHeaderFields(bytes: Buffer, format: IndexFormat): Map<string, bigint> {
  const fields = new Map<string, bigint>();
  for (const { name, offset, kind } of format.header) {
    const wide = kind === "u64" || kind === "nanoseconds";
    const value = wide ? bytes.readBigUInt64BE(offset) : BigInt(bytes.readUInt32BE(offset));
    fields.set(name, kind === "seconds" ? value * NS_PER_SECOND : value);
  }
  return fields;
}

function badFormat(why: string, context: ErrorContext): CyrvaultError {
  return new CyrvaultError("CYRUS_BAD_FORMAT", `cyrus.index: ${why}`, { context });
}
