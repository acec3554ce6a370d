/**
 * What a backup needs of every record of a cyrus.index, in columns: 29 bytes a message, so that a mailbox with a
 * million of them is no matter. Built from stretches of the file as they come.
 */
import type { ByteString } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import {
  forEachRecord,
  type IndexHeader,
  type IndexRecordView,
  parseIndexHeader,
} from "../cyrus/index-reader.ts";
import { SyncCrc } from "../cyrus/sync-crc.ts";
import type { MessageFilter } from "../manifest/message-filter.ts";

export const RECORD_UNLINKED = 1;
export const RECORD_EXPUNGED = 2;
export const RECORD_ARCHIVED = 4;
export const RECORD_HAS_GUID = 8;
/** Its CRC is wrong: nothing in it can be relied on. */
export const RECORD_DAMAGED = 16;
/** Sound, and not to be backed up. */
export const RECORD_LEFT_OUT = 32;

const GUID_BYTES = 20;

export interface IndexColumns {
  readonly header: IndexHeader;
  readonly count: number;
  /** Ascending; a UID may stand here twice in a damaged file. */
  readonly uids: Uint32Array;
  readonly sizes: Float64Array;
  readonly guids: Uint8Array;
  readonly flags: Uint8Array;
  readonly damaged: number;
  readonly withoutGuid: number;
  /** False: in the file the records are not in the order of UIDs, which Cyrus never writes. Here they are. */
  readonly ordered: boolean;
  /** Recomputed from the records; undefined below version 12. */
  readonly syncCrc: number | undefined;
  /** Bytes after the committed records. */
  readonly beyondBytes: number;
  /** Committed records that the file is too short for. */
  readonly missingRecords: number;
}

export class IndexColumnsBuilder {
  readonly #flagNames: readonly (ByteString | undefined)[];
  readonly #leavesOut: MessageFilter | undefined;
  #head: Buffer = Buffer.alloc(0);
  #header: IndexHeader | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #sync: SyncCrc | undefined;
  #uids = new Uint32Array(0);
  #sizes = new Float64Array(0);
  #guids = new Uint8Array(0);
  #flags = new Uint8Array(0);
  #count = 0;
  #damaged = 0;
  #withoutGuid = 0;
  #ordered = true;
  #fileBytes = 0;

  /** @param flagNames - by slot, from the cyrus.header of the same moment. */
  constructor(flagNames: readonly (ByteString | undefined)[], leavesOut?: MessageFilter) {
    this.#flagNames = flagNames;
    this.#leavesOut = leavesOut;
  }

  /** @throws {CyrvaultError} `CYRUS_BAD_FORMAT`, `CYRUS_BAD_CHECKSUM` of the header. */
  push(bytes: Buffer): void {
    this.#fileBytes += bytes.length;
    if (this.#header !== undefined) {
      this.#records(bytes);
      return;
    }
    this.#head = Buffer.concat([this.#head, bytes]);
    if (this.#head.length >= MAX_HEADER_BYTES) this.#begin();
  }

  finish(): IndexColumns {
    if (this.#header === undefined) this.#begin();
    const header = this.#header as IndexHeader;
    if (!this.#ordered) this.#sort();
    return {
      header,
      count: this.#count,
      uids: this.#uids.subarray(0, this.#count),
      sizes: this.#sizes.subarray(0, this.#count),
      guids: this.#guids.subarray(0, this.#count * GUID_BYTES),
      flags: this.#flags.subarray(0, this.#count),
      damaged: this.#damaged,
      withoutGuid: this.#withoutGuid,
      ordered: this.#ordered,
      syncCrc: header.syncCrcBasic === undefined ? undefined : this.#sync?.basic,
      beyondBytes: Math.max(
        0,
        this.#fileBytes - header.headerBytes - header.recordCount * header.recordBytes,
      ),
      missingRecords: header.recordCount - this.#count,
    };
  }

  #begin(): void {
    const header = parseIndexHeader(this.#head);
    this.#header = header;
    this.#sync = new SyncCrc(header, this.#flagNames);
    const rest = this.#head.subarray(header.headerBytes);
    this.#head = Buffer.alloc(0);
    this.#records(rest);
  }

  #records(bytes: Buffer): void {
    const header = this.#header as IndexHeader;
    const joined = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const whole = Math.floor(joined.length / header.recordBytes);
    const wanted = Math.min(whole, header.recordCount - this.#count);
    if (wanted > 0) {
      this.#reserve(wanted);
      forEachRecord(joined.subarray(0, wanted * header.recordBytes), header, this.#count, (view) =>
        this.#take(view),
      );
    }
    this.#rest = Buffer.from(joined.subarray(whole * header.recordBytes));
  }

  #take(view: IndexRecordView): void {
    const at = this.#count++;
    const { uid } = view;
    this.#uids[at] = uid;
    if (at > 0 && uid <= (this.#uids[at - 1] as number)) this.#ordered = false;
    this.#sizes[at] = view.size;
    let flags = 0;
    if (view.isUnlinked) flags |= RECORD_UNLINKED;
    if (view.isExpunged) flags |= RECORD_EXPUNGED;
    if (view.isArchived) flags |= RECORD_ARCHIVED;
    if (view.hasGuid) {
      flags |= RECORD_HAS_GUID;
      this.#guids.set(view.guid as Buffer, at * GUID_BYTES);
    } else this.#withoutGuid++;
    if (!view.crcOk) {
      flags |= RECORD_DAMAGED;
      this.#damaged++;
    } else {
      this.#sync?.add(view);
      if (this.#leavesOut?.(view) === true) flags |= RECORD_LEFT_OUT;
    }
    this.#flags[at] = flags;
  }

  #sort(): void {
    const order = Uint32Array.from({ length: this.#count }, (_, at) => at);
    const [uids, sizes, guids, flags] = [this.#uids, this.#sizes, this.#guids, this.#flags];
    order.sort((a, b) => (uids[a] as number) - (uids[b] as number) || a - b);
    this.#uids = Uint32Array.from(order, (at) => uids[at] as number);
    this.#sizes = Float64Array.from(order, (at) => sizes[at] as number);
    this.#flags = Uint8Array.from(order, (at) => flags[at] as number);
    this.#guids = new Uint8Array(this.#count * GUID_BYTES);
    for (const [to, from] of order.entries())
      this.#guids.set(guids.subarray(from * GUID_BYTES, (from + 1) * GUID_BYTES), to * GUID_BYTES);
  }

  #reserve(more: number): void {
    const needed = this.#count + more;
    if (needed <= this.#uids.length) return;
    // No more than the header says there are, so that the last growth does not double what is needed.
    const { recordCount } = this.#header as IndexHeader;
    const capacity = Math.min(recordCount, Math.max(needed, this.#uids.length * 2, 64));
    this.#uids = grown(new Uint32Array(capacity), this.#uids);
    this.#sizes = grown(new Float64Array(capacity), this.#sizes);
    this.#guids = grown(new Uint8Array(capacity * GUID_BYTES), this.#guids);
    this.#flags = grown(new Uint8Array(capacity), this.#flags);
  }
}

/** The record's position, or -1. Of two records with one UID in a damaged file, any. */
export function findRecord(columns: IndexColumns, uid: number): number {
  let low = 0;
  let high = columns.count - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = columns.uids[middle] as number;
    if (found === uid) return middle;
    if (found < uid) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** A view. undefined where the record has none, or cannot be relied on. */
export function guidOf(columns: IndexColumns, position: number): Uint8Array | undefined {
  const flags = columns.flags[position] ?? 0;
  if ((flags & RECORD_HAS_GUID) === 0 || (flags & RECORD_DAMAGED) !== 0) return undefined;
  return columns.guids.subarray(position * GUID_BYTES, (position + 1) * GUID_BYTES);
}

/**
 * Reads a whole index from stretches.
 * @returns the error where the header is of no use: a mailbox is backed up all the same.
 */
export async function readIndexColumns(
  stretches: Iterable<Buffer> | AsyncIterable<Uint8Array>,
  flagNames: readonly (ByteString | undefined)[],
  leavesOut?: MessageFilter,
): Promise<IndexColumns | CyrvaultError> {
  const builder = new IndexColumnsBuilder(flagNames, leavesOut);
  try {
    for await (const bytes of stretches)
      builder.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return builder.finish();
  } catch (error) {
    if (
      error instanceof CyrvaultError &&
      (error.code === "CYRUS_BAD_FORMAT" || error.code === "CYRUS_BAD_CHECKSUM")
    ) {
      return error;
    }
    throw error;
  }
}

function grown<T extends Uint8Array | Uint32Array | Float64Array>(bigger: T, old: T): T {
  bigger.set(old);
  return bigger;
}
