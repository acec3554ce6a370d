/** Values of a sample mailbox's `cyrus.index`: every count, size and CRC is that of the content. Pure. */
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
} from "../cyrus/flags.ts";
import { forEachRecord, type IndexRecord, parseIndexHeader } from "../cyrus/index-reader.ts";
import { encodeIndexHeader, type IndexHeaderValues } from "../cyrus/index-writer.ts";
import { SyncCrc } from "../cyrus/sync-crc.ts";
import { mailboxAnnotations, type SampleMailbox } from "./mailbox.ts";
import { annotationsOf, type MessageComment } from "./message-comments.ts";

export const INDEX_VERSION = 17;
const NS_PER_SECOND = 1_000_000_000n;

/** Of a mailbox without messages. @param now - seconds since 1970. */
export function emptyHeader(mailbox: SampleMailbox, now: number): IndexHeaderValues {
  return {
    version: INDEX_VERSION,
    generation: 0,
    format: 0,
    recordCount: 0,
    lastAppendNs: 0n,
    lastUid: 0,
    quotaMailboxUsed: 0n,
    pop3LastLoginNs: 0n,
    uidValidity: mailbox.uidValidity,
    deletedCount: 0,
    answeredCount: 0,
    flaggedCount: 0,
    options: 0,
    leakedCacheRecords: 0,
    highestModseq: BigInt(mailbox.createdModseq),
    deletedModseq: 0n,
    exists: 0,
    firstExpungedNs: 0n,
    lastRepackNs: ns(now),
    headerFileCrc: 0,
    syncCrcBasic: 0,
    recentUid: 0,
    recentTimeNs: 0n,
    pop3ShowAfterNs: 0n,
    quotaAnnotUsed: 0n,
    syncCrcAnnot: 0,
    unseenCount: 0,
    createdModseq: BigInt(mailbox.createdModseq),
    changesEpochNs: ns(now),
    quotaDeletedUsed: 0n,
    quotaExpungedUsed: 0n,
  };
}

/**
 * @param header - counts, sizes and sums in it are replaced.
 * @param body - the records, encoded.
 */
export function summedHeader(
  header: IndexHeaderValues,
  records: readonly IndexRecord[],
  body: Buffer,
  comments: readonly MessageComment[],
  mailbox: SampleMailbox,
): IndexHeaderValues {
  const live = records.filter((record) => !isExpunged(record));
  const count = (flag: number) => live.filter(({ flagWord }) => (flagWord & flag) !== 0).length;
  const values: IndexHeaderValues = {
    ...header,
    recordCount: records.length,
    exists: live.length,
    deletedCount: count(FLAG_DELETED),
    answeredCount: count(FLAG_ANSWERED),
    flaggedCount: count(FLAG_FLAGGED),
    unseenCount: live.length - count(FLAG_SEEN),
    quotaMailboxUsed: live.reduce((sum, { size }) => sum + BigInt(size), 0n),
    quotaAnnotUsed: BigInt(annotationBytes(mailbox, comments)),
    recentUid: header.lastUid,
  };
  const parsed = parseIndexHeader(encodeIndexHeader(values));
  const sums = new SyncCrc(parsed, mailbox.flagNames);
  forEachRecord(body, parsed, 0, (record) => sums.add(record, annotationsOf(record.uid, comments)));
  return { ...values, syncCrcBasic: sums.basic, syncCrcAnnot: sums.annot };
}

function annotationBytes(mailbox: SampleMailbox, comments: readonly MessageComment[]): number {
  const ofMailbox = mailboxAnnotations(mailbox).reduce((sum, { value }) => sum + value.length, 0);
  return comments.reduce((sum, { text }) => sum + text.length, ofMailbox);
}

export function isExpunged({ flagWord }: Pick<IndexRecord, "flagWord">): boolean {
  return (flagWord & INTERNAL_EXPUNGED) !== 0;
}

export function isUnlinked({ flagWord }: Pick<IndexRecord, "flagWord">): boolean {
  return (flagWord & INTERNAL_UNLINKED) !== 0;
}

export function ns(seconds: number): bigint {
  return BigInt(seconds) * NS_PER_SECOND;
}
