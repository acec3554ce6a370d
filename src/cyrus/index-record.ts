/**
 * One record of a `cyrus.index`: as a window on its bytes, and as plain values.
 *
 * Pure. Format: docs/formats/cyrus-index.md. From cyrus-imapd 1f3a129, imap/mailbox.c,
 * mailbox_buf_to_index_record().
 */
import { crc32 } from "node:zlib";
import { INTERNAL_ARCHIVED, INTERNAL_EXPUNGED, INTERNAL_UNLINKED } from "./flags.ts";
import {
  GUID_BYTES,
  type IndexFormat,
  indexFormat,
  RECORD_FIELD_NAMES,
  type RecordField,
} from "./index-format.ts";

/** One record as plain values. What the version lacks is 0; a GUID it lacks is undefined. */
export interface IndexRecord {
  readonly uid: number;
  readonly internalDateNs: bigint;
  /** Midnight of the day in the Date header. */
  readonly sentDateNs: bigint;
  /** Bytes of the message file. */
  readonly size: number;
  readonly headerSize: number;
  /** The Date header. */
  readonly gmtimeNs: bigint;
  readonly cacheOffset: number;
  readonly lastUpdatedNs: bigint;
  /** System flags in the low half, internal ones in the high half: flags.ts. */
  readonly flagWord: number;
  readonly userFlags: readonly [number, number, number, number];
  readonly contentLines: number;
  readonly saveDateNs: bigint;
  readonly cacheVersion: number;
  /** SHA-1 of the message file, 20 bytes; all zero in some mailboxes of old origin. Absent below version 10. */
  readonly guid: Uint8Array | undefined;
  readonly modseq: bigint;
  /** Cyrus's conversation id. */
  readonly threadId: bigint;
  readonly createdModseq: bigint;
  readonly baseThreadId: bigint;
  readonly cacheCrc: number;
}

const ZERO_GUID = Buffer.alloc(GUID_BYTES);
const NS_PER_SECOND = 1_000_000_000n;

/**
 * A window on one record at a time: `moveTo` another, and every getter reads anew. Keep values, not the view.
 * Nothing here throws for any content of a record.
 */
export class IndexRecordView {
  readonly #offsets: Readonly<Record<RecordField, number>>;
  readonly #crcOffset: number;
  /** Version 20: 64-bit times and size. */
  readonly #wide: boolean;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #index = 0;

  constructor(header: { readonly version: number }) {
    const format = indexFormat(header.version);
    if (format === undefined) throw new RangeError(`no such index version: ${header.version}`);
    this.#offsets = fieldOffsets(format);
    this.#crcOffset = format.hasCrc ? format.recordBytes - 4 : -1;
    this.#wide = format.version >= 20;
  }

  /** @param start - offset of the record in `bytes`, which must hold it whole. @param index - from 0, in the file. */
  moveTo(bytes: Buffer, start: number, index: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#index = index;
  }

  /** From 0, in the file. */
  get index(): number {
    return this.#index;
  }

  /** True for versions without a CRC. */
  get crcOk(): boolean {
    if (this.#crcOffset < 0) return true;
    const end = this.#start + this.#crcOffset;
    return crc32(this.#bytes.subarray(this.#start, end)) === this.#bytes.readUInt32BE(end);
  }

  get uid(): number {
    return this.#u32("uid");
  }

  /** Seconds; the fraction of version 20 is in `internalDateNs`. */
  get internalDate(): number {
    return this.#seconds("internalDateNs");
  }

  get internalDateNs(): bigint {
    return this.#time("internalDateNs");
  }

  /** Seconds. */
  get lastUpdated(): number {
    return this.#seconds("lastUpdatedNs");
  }

  /** Seconds; 0 if never saved under a version that keeps it. */
  get saveDate(): number {
    return this.#seconds("saveDateNs");
  }

  /** Bytes of the message file. */
  get size(): number {
    return this.#wide ? Number(this.#u64("size")) : this.#u32("size");
  }

  get flagWord(): number {
    return this.#u32("flagWord");
  }

  get isExpunged(): boolean {
    return (this.flagWord & INTERNAL_EXPUNGED) !== 0;
  }

  get isUnlinked(): boolean {
    return (this.flagWord & INTERNAL_UNLINKED) !== 0;
  }

  get isArchived(): boolean {
    return (this.flagWord & INTERNAL_ARCHIVED) !== 0;
  }

  userFlagWord(word: 0 | 1 | 2 | 3): number {
    return this.#bytes.readUInt32BE(this.#start + this.#offsets.userFlags + word * 4);
  }

  /** A view into the bytes given to `moveTo`, not a copy. Undefined below version 10; may be all zero. */
  get guid(): Buffer | undefined {
    const offset = this.#offsets.guid;
    if (offset < 0) return undefined;
    return this.#bytes.subarray(this.#start + offset, this.#start + offset + GUID_BYTES);
  }

  /** Whether there is a GUID that a message file can be compared with. */
  get hasGuid(): boolean {
    const guid = this.guid;
    return guid !== undefined && !guid.equals(ZERO_GUID);
  }

  get modseq(): bigint {
    return this.#u64("modseq");
  }

  get threadId(): bigint {
    return this.#u64("threadId");
  }

  get createdModseq(): bigint {
    return this.#u64("createdModseq");
  }

  get baseThreadId(): bigint {
    return this.#u64("baseThreadId");
  }

  /** The whole record as plain values that outlive the view. */
  toRecord(): IndexRecord {
    const cacheWord = this.#u32("cacheVersion");
    return {
      uid: this.uid,
      internalDateNs: this.#time("internalDateNs"),
      sentDateNs: this.#time("sentDateNs"),
      size: this.size,
      headerSize: this.#u32("headerSize"),
      gmtimeNs: this.#time("gmtimeNs"),
      // The upper half of the version word extends the offset to 48 bits.
      cacheOffset: this.#u32("cacheOffset") + (cacheWord >>> 16) * 2 ** 32,
      lastUpdatedNs: this.#time("lastUpdatedNs"),
      flagWord: this.flagWord,
      userFlags: [this.userFlagWord(0), this.userFlagWord(1), this.userFlagWord(2), this.userFlagWord(3)],
      contentLines: this.#u32("contentLines"),
      saveDateNs: this.#time("saveDateNs"),
      cacheVersion: cacheWord & 0xffff,
      guid: this.guid === undefined ? undefined : Uint8Array.from(this.guid),
      modseq: this.modseq,
      threadId: this.threadId,
      createdModseq: this.createdModseq,
      baseThreadId: this.baseThreadId,
      cacheCrc: this.#u32("cacheCrc"),
    };
  }

  #u32(field: RecordField): number {
    const offset = this.#offsets[field];
    return offset < 0 ? 0 : this.#bytes.readUInt32BE(this.#start + offset);
  }

  #u64(field: RecordField): bigint {
    const offset = this.#offsets[field];
    return offset < 0 ? 0n : this.#bytes.readBigUInt64BE(this.#start + offset);
  }

  #time(field: RecordField): bigint {
    return this.#wide ? this.#u64(field) : BigInt(this.#u32(field)) * NS_PER_SECOND;
  }

  #seconds(field: RecordField): number {
    return this.#wide ? Number(this.#u64(field) / NS_PER_SECOND) : this.#u32(field);
  }
}

function fieldOffsets(format: IndexFormat): Record<RecordField, number> {
  const offsets = Object.fromEntries(RECORD_FIELD_NAMES.map((name) => [name, -1])) as Record<
    RecordField,
    number
  >;
  for (const { name, offset } of format.record) offsets[name] = offset;
  return offsets;
}
