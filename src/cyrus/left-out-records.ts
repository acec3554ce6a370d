/**
 * A `cyrus.index` for a mailbox some of whose messages are not there: their records become expunged and unlinked, as
 * `reconstruct` makes those whose file it does not find, and everything that is counted from records is counted anew.
 * The file keeps its length. Pure: two passes over the stretches of the file, nothing held but one stretch.
 *
 * What a header counts and what the flags mean: cyrus-imapd, imap/mailbox.c, header_update_counts,
 * mailbox_reconstruct_compare_update (2.4 and 3.x).
 */
import { crc32 } from "node:zlib";
import type { ByteString } from "../base/byte-string.ts";
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
  OPTION_NEEDS_REPACK,
} from "./flags.ts";
import { indexFormat, MAX_HEADER_BYTES } from "./index-format.ts";
import { type IndexHeader, parseIndexHeader } from "./index-reader.ts";
import { IndexRecordView } from "./index-record.ts";
import { encodeIndexHeader } from "./index-writer.ts";
import { type MessageAnnotation, SyncCrc } from "./sync-crc.ts";

/** Before it, what was expunged lay in a file of its own. */
const VERSION_MIN = 12;
const NS_PER_SECOND = 1_000_000_000n;

export interface LeftOutInput {
  /** The file, from its beginning. Asked for twice. */
  readonly read: () => AsyncIterable<Uint8Array>;
  /** By slot, from the `cyrus.header` of the same moment. */
  readonly flagNames: readonly (ByteString | undefined)[];
  /** Made anew for each pass; asked in the order of records, for those whose file should be there. */
  readonly isLeftOut: () => (record: IndexRecordView) => boolean;
  /** Of one message, as in `cyrus.annotations`. */
  readonly annotations: (uid: number) => Iterable<MessageAnnotation>;
  /** When they count as expunged, ms since the epoch. */
  readonly atMs: number;
}

export interface LeftOutIndex {
  readonly messages: number;
  readonly content: () => AsyncGenerator<Uint8Array>;
}

/**
 * @returns undefined: no record is left out.
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`, `CYRUS_BAD_CHECKSUM` of the header.
 * @throws {RangeError} the version is below 12: ask `canExpunge` first.
 */
export async function expungeLeftOut(input: LeftOutInput): Promise<LeftOutIndex | undefined> {
  const counting = new Counting(input);
  for await (const stretch of stretches(input.read(), input.isLeftOut())) counting.take(stretch);
  const { header } = counting;
  if (header === undefined || counting.messages === 0) return undefined;
  if (!canExpunge(header.version)) throw new RangeError(`version ${header.version} cannot say «expunged»`);
  const changed = counting.headerAnew(header);
  const modseq = header.highestModseq + 1n;
  return {
    messages: counting.messages,
    content: async function* () {
      for await (const { bytes, header: isHeader, leftOut } of stretches(input.read(), input.isLeftOut())) {
        if (isHeader !== undefined) yield changed;
        const out = Buffer.from(bytes);
        for (const offset of leftOut) expunge(out, offset, header.version, modseq, input.atMs);
        if (out.length > 0) yield out;
      }
    },
  };
}

export function canExpunge(version: number): boolean {
  return version >= VERSION_MIN;
}

interface Stretch {
  /** In the first one; `bytes` are what follows it. */
  readonly header: IndexHeader | undefined;
  /** Whole records, and at the end whatever there is. */
  readonly bytes: Buffer;
  /** How many committed records it begins with. */
  readonly records: number;
  /** Offsets in it. */
  readonly leftOut: readonly number[];
}

async function* stretches(
  file: AsyncIterable<Uint8Array>,
  isLeftOut: (record: IndexRecordView) => boolean,
): AsyncGenerator<Stretch> {
  let header: IndexHeader | undefined;
  let view: IndexRecordView | undefined;
  let rest: Buffer = Buffer.alloc(0);
  let seen = 0;
  const cut = (bytes: Buffer, whole: number, first: boolean): Stretch => {
    const { recordBytes, recordCount } = header as IndexHeader;
    const records = Math.min(Math.floor(bytes.length / recordBytes), recordCount - seen);
    const leftOut: number[] = [];
    for (let i = 0; i < records; i++) {
      view?.moveTo(bytes, i * recordBytes, seen + i);
      if (view?.crcOk && !view.isUnlinked && isLeftOut(view)) leftOut.push(i * recordBytes);
    }
    seen += records;
    return { header: first ? header : undefined, bytes: bytes.subarray(0, whole), records, leftOut };
  };
  for await (const more of file) {
    rest = Buffer.concat([rest, more]);
    const first = header === undefined;
    if (header === undefined) {
      if (rest.length < MAX_HEADER_BYTES) continue;
      header = parseIndexHeader(rest);
      view = new IndexRecordView(header);
      rest = rest.subarray(header.headerBytes);
    }
    const whole = rest.length - (rest.length % header.recordBytes);
    yield cut(rest.subarray(0, whole), whole, first);
    rest = rest.subarray(whole);
  }
  const first = header === undefined;
  if (header === undefined) {
    header = parseIndexHeader(rest);
    view = new IndexRecordView(header);
    rest = rest.subarray(header.headerBytes);
  }
  yield cut(rest, rest.length, first);
}

class Counting {
  header: IndexHeader | undefined;
  messages = 0;
  readonly #input: LeftOutInput;
  readonly #counts = { exists: 0, answered: 0, flagged: 0, deleted: 0, unseen: 0, bytes: 0n };
  #expungedBytes = 0n;
  #annotationBytes = 0n;
  #view: IndexRecordView | undefined;
  /** Over what stays, and over what goes. */
  #stays: SyncCrc | undefined;
  #goes: SyncCrc | undefined;

  constructor(input: LeftOutInput) {
    this.#input = input;
  }

  take({ header, bytes, records, leftOut }: Stretch): void {
    if (header !== undefined) {
      this.header = header;
      this.#view = new IndexRecordView(header);
      this.#stays = new SyncCrc(header, this.#input.flagNames);
      this.#goes = new SyncCrc(header, this.#input.flagNames);
    }
    const view = this.#view as IndexRecordView;
    const going = new Set(leftOut);
    for (let i = 0; i < records; i++) {
      const offset = i * (this.header as IndexHeader).recordBytes;
      view.moveTo(bytes, offset, i);
      if (going.has(offset)) this.#go(view);
      else this.#stay(view);
    }
  }

  #go(view: IndexRecordView): void {
    this.messages++;
    if (view.isExpunged) this.#expungedBytes += BigInt(view.size);
    else {
      const annotations = [...this.#input.annotations(view.uid)];
      this.#goes?.add(view, annotations);
      for (const { value } of annotations) this.#annotationBytes += BigInt(value.length);
    }
  }

  #stay(view: IndexRecordView): void {
    if (view.crcOk) this.#stays?.add(view);
    if (view.isExpunged) return;
    const { flagWord } = view;
    const counts = this.#counts;
    counts.exists++;
    counts.bytes += BigInt(view.size);
    if ((flagWord & FLAG_ANSWERED) !== 0) counts.answered++;
    if ((flagWord & FLAG_FLAGGED) !== 0) counts.flagged++;
    if ((flagWord & FLAG_DELETED) !== 0) counts.deleted++;
    if ((flagWord & FLAG_SEEN) === 0) counts.unseen++;
  }

  headerAnew(header: IndexHeader): Buffer {
    const { exists, answered, flagged, deleted, unseen, bytes } = this.#counts;
    const atNs = BigInt(Math.floor(this.#input.atMs)) * 1_000_000n;
    const { syncCrcBasic, syncCrcAnnot, firstExpungedNs, quotaExpungedUsed, quotaAnnotUsed } = header;
    const stays = this.#stays as SyncCrc;
    const goes = this.#goes as SyncCrc;
    const none = new SyncCrc(header, []).annot;
    return encodeIndexHeader(
      {
        ...header,
        exists,
        answeredCount: answered,
        flaggedCount: flagged,
        deletedCount: deleted,
        unseenCount: header.unseenCount === undefined ? undefined : unseen,
        quotaMailboxUsed: bytes,
        quotaExpungedUsed: less(quotaExpungedUsed, this.#expungedBytes),
        // Only of messages that are there: observed on 3.6.1.
        quotaAnnotUsed: less(quotaAnnotUsed, this.#annotationBytes),
        highestModseq: header.highestModseq + 1n,
        firstExpungedNs: firstExpungedNs === 0n ? atNs : firstExpungedNs,
        options: (header.options | OPTION_NEEDS_REPACK) >>> 0,
        // 0: it was not computed, which the server does when it needs it.
        syncCrcBasic: syncCrcBasic === undefined || syncCrcBasic === 0 ? syncCrcBasic : stays.basic,
        syncCrcAnnot:
          syncCrcAnnot === undefined || syncCrcAnnot === 0
            ? syncCrcAnnot
            : (syncCrcAnnot ^ goes.annot ^ none) >>> 0,
      },
      header.recordBytes,
    );
  }
}

function less(from: bigint, bytes: bigint): bigint {
  return from > bytes ? from - bytes : 0n;
}

function expunge(out: Buffer, start: number, version: number, modseq: bigint, atMs: number): void {
  const format = indexFormat(version);
  if (format === undefined) throw new RangeError(`no such index version: ${version}`);
  for (const { name, offset, kind } of format.record) {
    const at = start + offset;
    if (name === "flagWord")
      out.writeUInt32BE((out.readUInt32BE(at) | INTERNAL_EXPUNGED | INTERNAL_UNLINKED) >>> 0, at);
    else if (name === "modseq") out.writeBigUInt64BE(modseq, at);
    else if (name === "lastUpdatedNs") {
      const atNs = BigInt(Math.floor(atMs)) * 1_000_000n;
      if (kind === "nanoseconds") out.writeBigUInt64BE(atNs, at);
      else out.writeUInt32BE(Number(atNs / NS_PER_SECOND), at);
    }
  }
  const end = start + format.recordBytes - 4;
  out.writeUInt32BE(crc32(out.subarray(start, end)), end);
}
