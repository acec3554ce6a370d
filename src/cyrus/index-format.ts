/**
 * `cyrus.index` as tables: which field lies where in the header and in a record, for each format version.
 *
 * The same tables drive the reader and the writer. Described in docs/formats/cyrus-index.md; taken from
 * cyrus-imapd 1f3a129 (2026-08), imap/index_file.c; that page says which versions were checked against real files.
 */

/** The widths a field can have on disk. Seconds and nanoseconds both count from 1970; all integers are big-endian. */
export type FieldKind = "u32" | "u64" | "seconds" | "nanoseconds" | "guid" | "userFlags";

export interface Field<Name extends string> {
  readonly name: Name;
  readonly offset: number;
  readonly kind: FieldKind;
}

/** Header fields beyond the six that begin every version (generation, format, version, two sizes, record count). */
export type HeaderField = (typeof HEADER_FIELD_NAMES)[number];
export const HEADER_FIELD_NAMES = [
  "lastAppendNs",
  "lastUid",
  "quotaMailboxUsed",
  "pop3LastLoginNs",
  "uidValidity",
  "deletedCount",
  "answeredCount",
  "flaggedCount",
  "options",
  "leakedCacheRecords",
  "highestModseq",
  "deletedModseq",
  "exists",
  "firstExpungedNs",
  "lastRepackNs",
  "headerFileCrc",
  "syncCrcBasic",
  "recentUid",
  "recentTimeNs",
  "pop3ShowAfterNs",
  "quotaAnnotUsed",
  "syncCrcAnnot",
  "unseenCount",
  "createdModseq",
  "changesEpochNs",
  "quotaDeletedUsed",
  "quotaExpungedUsed",
] as const;

export type RecordField = (typeof RECORD_FIELD_NAMES)[number];
export const RECORD_FIELD_NAMES = [
  "uid",
  "internalDateNs",
  "sentDateNs",
  "size",
  "headerSize",
  "gmtimeNs",
  "cacheOffset",
  "lastUpdatedNs",
  "flagWord",
  "userFlags",
  "contentLines",
  "saveDateNs",
  "cacheVersion",
  "guid",
  "modseq",
  "threadId",
  "createdModseq",
  "baseThreadId",
  "cacheCrc",
] as const;

export interface IndexFormat {
  readonly version: number;
  readonly headerBytes: number;
  readonly recordBytes: number;
  /** Header and records end in a CRC-32 of the bytes before it. */
  readonly hasCrc: boolean;
  readonly header: readonly Field<HeaderField>[];
  readonly record: readonly Field<RecordField>[];
}

/** A field, or a number of unused bytes. */
type Item<Name extends string> = readonly [Name, FieldKind] | number;

const BYTES: Record<FieldKind, number> = {
  u32: 4,
  u64: 8,
  seconds: 4,
  nanoseconds: 8,
  guid: 20,
  userFlags: 16,
};

/** Bytes of the six fields that begin every header. */
export const BASE_HEADER_BYTES = 24;
export const MAX_HEADER_BYTES = 192;
export const MAX_RECORD_BYTES = 144;
export const GUID_BYTES = 20;

const HEADER_BEGIN: readonly Item<HeaderField>[] = [
  ["lastAppendNs", "seconds"],
  ["lastUid", "u32"],
  ["quotaMailboxUsed", "u64"],
  ["pop3LastLoginNs", "seconds"],
  ["uidValidity", "u32"],
  ["deletedCount", "u32"],
  ["answeredCount", "u32"],
  ["flaggedCount", "u32"],
];

const HEADER_6: readonly Item<HeaderField>[] = [
  ...HEADER_BEGIN,
  ["options", "u32"],
  ["leakedCacheRecords", "u32"],
];
const HEADER_8: readonly Item<HeaderField>[] = [...HEADER_6, ["highestModseq", "u64"]];
const HEADER_12: readonly Item<HeaderField>[] = [
  ...HEADER_8,
  ["deletedModseq", "u64"],
  ["exists", "u32"],
  ["firstExpungedNs", "seconds"],
  ["lastRepackNs", "seconds"],
  ["headerFileCrc", "u32"],
  ["syncCrcBasic", "u32"],
  ["recentUid", "u32"],
  ["recentTimeNs", "seconds"],
];
const HEADER_13: readonly Item<HeaderField>[] = [
  ...HEADER_12,
  ["pop3ShowAfterNs", "seconds"],
  ["quotaAnnotUsed", "u32"],
  ["syncCrcAnnot", "u32"],
];
const HEADER_14: readonly Item<HeaderField>[] = [...HEADER_13, ["unseenCount", "u32"]];
const HEADER_16: readonly Item<HeaderField>[] = [...HEADER_14, ["createdModseq", "u64"]];
const HEADER_17: readonly Item<HeaderField>[] = [...HEADER_16, ["changesEpochNs", "seconds"]];
const HEADER_18: readonly Item<HeaderField>[] = [
  ...HEADER_17,
  ["quotaDeletedUsed", "u64"],
  ["quotaExpungedUsed", "u64"],
];
const HEADER_19: readonly Item<HeaderField>[] = [
  ...HEADER_BEGIN,
  ["exists", "u32"],
  ["options", "u32"],
  ["leakedCacheRecords", "u32"],
  ["highestModseq", "u64"],
  ["deletedModseq", "u64"],
  ["firstExpungedNs", "seconds"],
  ["lastRepackNs", "seconds"],
  ["headerFileCrc", "u32"],
  ["syncCrcBasic", "u32"],
  ["recentUid", "u32"],
  ["recentTimeNs", "seconds"],
  ["pop3ShowAfterNs", "seconds"],
  ["quotaAnnotUsed", "u32"],
  ["syncCrcAnnot", "u32"],
  ["unseenCount", "u32"],
  ["createdModseq", "u64"],
  ["quotaDeletedUsed", "u64"],
  ["quotaExpungedUsed", "u64"],
  ["changesEpochNs", "seconds"],
];
const HEADER_20: readonly Item<HeaderField>[] = [
  ["lastAppendNs", "nanoseconds"],
  ["quotaMailboxUsed", "u64"],
  ["pop3LastLoginNs", "nanoseconds"],
  ["deletedCount", "u32"],
  ["answeredCount", "u32"],
  ["flaggedCount", "u32"],
  ["exists", "u32"],
  ["options", "u32"],
  ["leakedCacheRecords", "u32"],
  ["highestModseq", "u64"],
  ["deletedModseq", "u64"],
  ["lastUid", "u32"],
  ["uidValidity", "u32"],
  ["headerFileCrc", "u32"],
  ["syncCrcBasic", "u32"],
  ["recentTimeNs", "nanoseconds"],
  ["pop3ShowAfterNs", "nanoseconds"],
  ["syncCrcAnnot", "u32"],
  ["unseenCount", "u32"],
  ["createdModseq", "u64"],
  ["quotaDeletedUsed", "u64"],
  ["quotaExpungedUsed", "u64"],
  ["quotaAnnotUsed", "u64"],
  ["changesEpochNs", "nanoseconds"],
  ["firstExpungedNs", "nanoseconds"],
  ["lastRepackNs", "nanoseconds"],
  ["recentUid", "u32"],
];

const RECORD_BEGIN: readonly Item<RecordField>[] = [
  ["uid", "u32"],
  ["internalDateNs", "seconds"],
  ["sentDateNs", "seconds"],
  ["size", "u32"],
  ["headerSize", "u32"],
  ["gmtimeNs", "seconds"],
  ["cacheOffset", "u32"],
  ["lastUpdatedNs", "seconds"],
  ["flagWord", "u32"],
  ["userFlags", "userFlags"],
];
const RECORD_6: readonly Item<RecordField>[] = [
  ...RECORD_BEGIN,
  ["contentLines", "u32"],
  ["cacheVersion", "u32"],
];
/** Twelve bytes of an older message id, of no use to anybody now. */
const RECORD_7: readonly Item<RecordField>[] = [...RECORD_6, 12];
const RECORD_8: readonly Item<RecordField>[] = [...RECORD_7, ["modseq", "u64"]];
const RECORD_10: readonly Item<RecordField>[] = [...RECORD_6, ["guid", "guid"], ["modseq", "u64"]];
const RECORD_12: readonly Item<RecordField>[] = [...RECORD_10, ["cacheCrc", "u32"]];
const RECORD_13: readonly Item<RecordField>[] = [...RECORD_10, ["threadId", "u64"], ["cacheCrc", "u32"]];
const RECORD_15_IDS: readonly Item<RecordField>[] = [
  ...RECORD_BEGIN,
  ["saveDateNs", "seconds"],
  ["cacheVersion", "u32"],
  ["guid", "guid"],
  ["modseq", "u64"],
  ["threadId", "u64"],
];
const RECORD_15: readonly Item<RecordField>[] = [...RECORD_15_IDS, ["cacheCrc", "u32"]];
const RECORD_16: readonly Item<RecordField>[] = [
  ...RECORD_15_IDS,
  ["createdModseq", "u64"],
  ["cacheCrc", "u32"],
];
const RECORD_20: readonly Item<RecordField>[] = [
  ["uid", "u32"],
  ["cacheOffset", "u32"],
  ["internalDateNs", "nanoseconds"],
  ["sentDateNs", "nanoseconds"],
  ["size", "u64"],
  ["headerSize", "u32"],
  ["flagWord", "u32"],
  ["userFlags", "userFlags"],
  ["cacheVersion", "u32"],
  ["guid", "guid"],
  ["modseq", "u64"],
  ["threadId", "u64"],
  ["createdModseq", "u64"],
  ["gmtimeNs", "nanoseconds"],
  ["lastUpdatedNs", "nanoseconds"],
  ["saveDateNs", "nanoseconds"],
  ["baseThreadId", "u64"],
  ["cacheCrc", "u32"],
];

/** 11 was never released. */
const FORMATS: readonly IndexFormat[] = [
  format(6, 76, 60, HEADER_6, RECORD_6),
  format(7, 76, 72, HEADER_6, RECORD_7),
  format(8, 92, 80, HEADER_8, RECORD_8),
  format(9, 96, 80, HEADER_8, RECORD_8),
  format(10, 96, 88, HEADER_8, RECORD_10),
  format(12, 128, 96, HEADER_12, RECORD_12),
  format(13, 128, 104, HEADER_13, RECORD_13),
  format(14, 160, 104, HEADER_14, RECORD_13),
  format(15, 160, 104, HEADER_14, RECORD_15),
  format(16, 160, 112, HEADER_16, RECORD_16),
  format(17, 160, 112, HEADER_17, RECORD_16),
  format(18, 160, 112, HEADER_18, RECORD_16),
  format(19, 160, 112, HEADER_19, RECORD_16),
  format(20, 192, 144, HEADER_20, RECORD_20),
];

const BY_VERSION: ReadonlyMap<number, IndexFormat> = new Map(FORMATS.map((it) => [it.version, it]));

/** Ascending. */
export const INDEX_VERSIONS: readonly number[] = FORMATS.map((it) => it.version);

/** Undefined for a version that no released Cyrus writes. */
export function indexFormat(version: number): IndexFormat | undefined {
  return BY_VERSION.get(version);
}

function format(
  version: number,
  headerBytes: number,
  recordBytes: number,
  header: readonly Item<HeaderField>[],
  record: readonly Item<RecordField>[],
): IndexFormat {
  return {
    version,
    headerBytes,
    recordBytes,
    hasCrc: version >= 12,
    header: place(header, BASE_HEADER_BYTES),
    record: place(record, 0),
  };
}

function place<Name extends string>(items: readonly Item<Name>[], start: number): Field<Name>[] {
  const fields: Field<Name>[] = [];
  let offset = start;
  for (const item of items) {
    if (typeof item === "number") {
      offset += item;
      continue;
    }
    const [name, kind] = item;
    fields.push({ name, offset, kind });
    offset += BYTES[kind];
  }
  return fields;
}
