/**
 * One mailbox's files on disk: messages, `cyrus.header`, `cyrus.index`, `cyrus.cache`, `cyrus.annotations`. Opened, changed
 * and committed as Cyrus would leave them: every CRC, count and size is that of the content.
 */
import {
  closeSync,
  futimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { crc32 } from "node:zlib";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { assert } from "../base/errors.ts";
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_ARCHIVED,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
  userFlagWords,
} from "../cyrus/flags.ts";
import {
  forEachRecord,
  type IndexHeader,
  type IndexRecord,
  parseIndex,
  parseIndexHeader,
} from "../cyrus/index-reader.ts";
import { encodeIndexHeader, encodeIndexRecord, type IndexHeaderValues } from "../cyrus/index-writer.ts";
import { encodeMailboxHeader, encodeOldMailboxHeader } from "../cyrus/mailbox-header.ts";
import { type MessageAnnotation, SyncCrc } from "../cyrus/sync-crc.ts";
import { encodeTwoskip } from "../cyrus/twoskip-encode.ts";
import { CacheFile } from "./cache-file.ts";
import { CACHE_VERSION } from "./cache-record.ts";
import { annotationRecords } from "./database-values.ts";
import { replaceFile, tryLink } from "./disk.ts";
import type { MailboxDirectories } from "./layout.ts";
import { headerValues, mailboxAnnotations, type SampleMailbox } from "./mailbox.ts";
import type { RenderedMessage } from "./render.ts";

const INDEX_VERSION = 17;
const NS_PER_SECOND = 1_000_000_000n;

/** 3.6 writes a dlist, 3.4 and older three lines. */
export type HeaderForm = "dlist" | "lines";

export interface NewMessage {
  readonly uid: number;
  readonly modseq: number;
  /** System and internal flags. */
  readonly flagWord: number;
  /** Slots of user flags. */
  readonly userFlags: readonly number[];
  /** Seconds since 1970. */
  readonly savedAt: number;
  readonly updatedAt: number;
}

type MutableRecord = { -readonly [Field in keyof IndexRecord]: IndexRecord[Field] };

export interface AppendedFile {
  readonly path: string;
  /** A further name of a file that was there. */
  readonly linked: boolean;
}

export interface MessageComment {
  readonly uid: number;
  readonly text: string;
}

export class MailboxFiles {
  readonly mailbox: SampleMailbox;
  readonly directories: MailboxDirectories;
  readonly #form: HeaderForm;
  #header: IndexHeaderValues;
  #records: MutableRecord[];
  #comments: MessageComment[];
  readonly #caches = new Map<string, CacheFile>();

  private constructor(
    mailbox: SampleMailbox,
    directories: MailboxDirectories,
    form: HeaderForm,
    header: IndexHeaderValues,
    records: MutableRecord[],
    comments: MessageComment[],
  ) {
    this.mailbox = mailbox;
    this.directories = directories;
    this.#form = form;
    this.#header = header;
    this.#records = records;
    this.#comments = comments;
  }

  /** Makes the directories; no file is there before `commit`. @param now - seconds since 1970. */
  static create(
    mailbox: SampleMailbox,
    directories: MailboxDirectories,
    now: number,
    form: HeaderForm = "dlist",
  ): MailboxFiles {
    mkdirSync(directories.messages, { recursive: true });
    mkdirSync(directories.meta, { recursive: true });
    return new MailboxFiles(mailbox, directories, form, emptyHeader(mailbox, now), [], []);
  }

  static open(
    mailbox: SampleMailbox,
    directories: MailboxDirectories,
    comments: readonly MessageComment[] = [],
    form: HeaderForm = "dlist",
  ): MailboxFiles {
    const { header, records, badRecords } = parseIndex(readFileSync(`${directories.meta}/cyrus.index`));
    assert(badRecords.length === 0, "a sample mailbox has a damaged index");
    return new MailboxFiles(mailbox, directories, form, header, records as MutableRecord[], [...comments]);
  }

  get records(): readonly IndexRecord[] {
    return this.#records;
  }

  get lastUid(): number {
    return this.#header.lastUid;
  }

  messagePath(record: Pick<IndexRecord, "uid" | "flagWord">): string {
    return `${this.#directoryOf(record.flagWord)}/${record.uid}.`;
  }

  /** Writes the message's file, or links it to `linkFrom` where that can be. */
  append(rendered: RenderedMessage, message: NewMessage, linkFrom?: string): AppendedFile {
    const path = this.messagePath(message);
    const cacheOffset = this.#cacheOf(message.flagWord).append(rendered.cacheRecord);
    const linked = linkFrom !== undefined && tryLink(linkFrom, path);
    if (!linked) this.#writeMessage(path, rendered);
    this.#push({
      uid: message.uid,
      internalDateNs: ns(rendered.internalDate),
      sentDateNs: ns(rendered.sentDay),
      size: rendered.bytes.length,
      headerSize: rendered.headerBytes,
      gmtimeNs: ns(rendered.sentAt),
      cacheOffset,
      lastUpdatedNs: ns(message.updatedAt),
      flagWord: message.flagWord,
      userFlags: userFlagWords(message.userFlags),
      contentLines: 0,
      saveDateNs: ns(message.savedAt),
      cacheVersion: CACHE_VERSION,
      guid: rendered.guid,
      modseq: BigInt(message.modseq),
      threadId: 0n,
      createdModseq: BigInt(message.modseq),
      baseThreadId: 0n,
      cacheCrc: crc32(rendered.cacheRecord),
    });
    return { path, linked };
  }

  /** A message of another mailbox, as IMAP COPY makes it: the same file under a second name. */
  copyFrom(source: MailboxFiles, record: IndexRecord, uid: number, modseq: number, now: number): void {
    const flagWord = (record.flagWord & ~INTERNAL_ARCHIVED) >>> 0;
    const path = this.messagePath({ uid, flagWord });
    const from = source.messagePath(record);
    if (!tryLink(from, path)) writeFileSync(path, readFileSync(from));
    const cacheRecord = source.#cacheOf(record.flagWord).read(record.cacheOffset);
    this.#push({
      ...record,
      uid,
      flagWord,
      userFlags: userFlagWords([]),
      cacheOffset: this.#cacheOf(flagWord).append(cacheRecord),
      lastUpdatedNs: ns(now),
      saveDateNs: ns(now),
      modseq: BigInt(modseq),
      createdModseq: BigInt(modseq),
    });
  }

  setFlags(index: number, flagWord: number, modseq: number, now: number): void {
    const record = this.#at(index);
    record.flagWord = flagWord >>> 0;
    record.modseq = BigInt(modseq);
    record.lastUpdatedNs = ns(now);
  }

  /** Delayed: the file stays. */
  expunge(index: number, modseq: number, now: number): void {
    const flags = this.#at(index).flagWord | FLAG_DELETED | INTERNAL_EXPUNGED;
    this.setFlags(index, flags, modseq, now);
    const first = this.#header.firstExpungedNs;
    this.#header = { ...this.#header, firstExpungedNs: first === 0n ? ns(now) : first };
  }

  comment(uid: number, text: string): void {
    this.#comments.push({ uid, text });
  }

  get comments(): readonly MessageComment[] {
    return this.#comments;
  }

  /** What the nightly cleanup does: expunged messages lose their file and their record, the generation grows. */
  repack(now: number): void {
    const gone = this.#records.filter(isExpunged);
    for (const record of gone) rmSync(this.messagePath(record), { force: true });
    const caches = new Map([...this.#caches.values(), this.#cacheOf(0)].map((cache) => [cache.path, cache]));
    if (this.directories.archive !== undefined) {
      const archived = this.#cacheOf(INTERNAL_ARCHIVED);
      caches.set(archived.path, archived);
    }
    const kept = this.#records.filter((record) => !isExpunged(record));
    const generation = this.#header.generation + 1;
    const content = kept.map((record) => ({
      record,
      cache: this.#cacheOf(record.flagWord),
      bytes: this.#cacheOf(record.flagWord).read(record.cacheOffset),
    }));
    for (const cache of caches.values()) cache.restart(generation);
    for (const { record, cache, bytes } of content) record.cacheOffset = cache.append(bytes);
    let { deletedModseq } = this.#header;
    for (const { modseq } of gone) if (modseq > deletedModseq) deletedModseq = modseq;
    this.#records = kept;
    this.#comments = this.#comments.filter(({ uid }) => kept.some((record) => record.uid === uid));
    this.#header = {
      ...this.#header,
      generation,
      deletedModseq,
      firstExpungedNs: 0n,
      lastRepackNs: ns(now),
    };
  }

  /** Marks expunged messages as gone and removes their files; the records stay until a repack. */
  unlinkExpunged(): void {
    for (const record of this.#records) {
      if (!isExpunged(record) || isUnlinked(record)) continue;
      rmSync(this.messagePath(record), { force: true });
      record.flagWord = (record.flagWord | INTERNAL_UNLINKED) >>> 0;
    }
  }

  /** Writes header, index, cache and annotations, and notes counts and sizes in the mailbox. @param highestModseq - at least every record's. */
  commit(highestModseq: number): void {
    const { mailbox, directories } = this;
    for (const cache of this.#caches.values()) cache.flush();
    const values = headerValues(mailbox);
    const headerFile = this.#form === "dlist" ? encodeMailboxHeader(values) : encodeOldMailboxHeader(values);
    replaceFile(`${directories.meta}/cyrus.header`, headerFile);
    this.#writeAnnotations();
    const body = Buffer.concat(this.#records.map((record) => encodeIndexRecord(record, INDEX_VERSION)));
    this.#header = this.#summed(body, crc32(headerFile), highestModseq);
    writeFileSync(`${directories.meta}/cyrus.index`, Buffer.concat([encodeIndexHeader(this.#header), body]));
    mailbox.exists = this.#header.exists;
    mailbox.usedBytes = Number(this.#header.quotaMailboxUsed);
    mailbox.usedAnnotationBytes = Number(this.#header.quotaAnnotUsed);
  }

  #summed(body: Buffer, headerFileCrc: number, highestModseq: number): IndexHeaderValues {
    const live = this.#records.filter((record) => !isExpunged(record));
    const count = (flag: number) => live.filter(({ flagWord }) => (flagWord & flag) !== 0).length;
    const values: IndexHeaderValues = {
      ...this.#header,
      recordCount: this.#records.length,
      headerFileCrc,
      highestModseq: BigInt(highestModseq),
      exists: live.length,
      deletedCount: count(FLAG_DELETED),
      answeredCount: count(FLAG_ANSWERED),
      flaggedCount: count(FLAG_FLAGGED),
      unseenCount: live.length - count(FLAG_SEEN),
      quotaMailboxUsed: live.reduce((sum, { size }) => sum + BigInt(size), 0n),
      quotaAnnotUsed: BigInt(this.#annotationBytes()),
      recentUid: this.#header.lastUid,
    };
    const parsed: IndexHeader = parseIndexHeader(encodeIndexHeader(values));
    const sums = new SyncCrc(parsed, this.mailbox.flagNames);
    forEachRecord(body, parsed, 0, (record) => sums.add(record, this.#annotationsOf(record.uid)));
    return { ...values, syncCrcBasic: sums.basic, syncCrcAnnot: sums.annot };
  }

  #annotationBytes(): number {
    const ofMailbox = mailboxAnnotations(this.mailbox).reduce((sum, { value }) => sum + value.length, 0);
    return this.#comments.reduce((sum, { text }) => sum + text.length, ofMailbox);
  }

  *#annotationsOf(wanted: number): Generator<MessageAnnotation> {
    for (const { uid, text } of this.#comments)
      if (uid === wanted)
        yield { entry: fromText("/comment"), userId: fromText(""), value: Buffer.from(text) };
  }

  #writeAnnotations(): void {
    const path = `${this.directories.meta}/cyrus.annotations`;
    if (this.#comments.length === 0) {
      rmSync(path, { force: true });
      return;
    }
    const records = annotationRecords(
      this.#comments.map(({ uid, text }) => ({
        subject: fromText(String(uid)),
        entry: fromText("/comment"),
        user: "" as ByteString,
        value: text,
      })),
    );
    replaceFile(path, encodeTwoskip(records));
  }

  #writeMessage(path: string, { bytes, internalDate }: RenderedMessage): void {
    const file = openSync(path, "w");
    try {
      writeSync(file, bytes);
      futimesSync(file, internalDate, internalDate);
    } finally {
      closeSync(file);
    }
  }

  #push(record: MutableRecord): void {
    assert(record.uid > this.#header.lastUid, "UIDs of a sample mailbox do not grow");
    this.#records.push(record);
    const expunged = isExpunged(record) && this.#header.firstExpungedNs === 0n;
    this.#header = {
      ...this.#header,
      lastUid: record.uid,
      lastAppendNs: record.saveDateNs,
      recentTimeNs: record.saveDateNs,
      firstExpungedNs: expunged ? record.lastUpdatedNs : this.#header.firstExpungedNs,
    };
  }

  #at(index: number): MutableRecord {
    const record = this.#records[index];
    assert(record !== undefined, "no such record in a sample mailbox");
    return record;
  }

  #directoryOf(flagWord: number): string {
    if ((flagWord & INTERNAL_ARCHIVED) === 0) return this.directories.messages;
    assert(this.directories.archive !== undefined, "an archived message where there is no archive");
    return this.directories.archive;
  }

  /** Archived messages have theirs beside them in the archive: imap/mailbox.c, META_ARCHIVECACHE. */
  #cacheOf(flagWord: number): CacheFile {
    const isArchived = (flagWord & INTERNAL_ARCHIVED) !== 0;
    const directory = isArchived ? this.#directoryOf(flagWord) : this.directories.meta;
    let cache = this.#caches.get(directory);
    if (cache === undefined) {
      if (isArchived) mkdirSync(directory, { recursive: true });
      cache = new CacheFile(`${directory}/cyrus.cache`, this.#header.generation);
      this.#caches.set(directory, cache);
    }
    return cache;
  }
}

function emptyHeader(mailbox: SampleMailbox, now: number): IndexHeaderValues {
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

function isExpunged({ flagWord }: Pick<IndexRecord, "flagWord">): boolean {
  return (flagWord & INTERNAL_EXPUNGED) !== 0;
}

function isUnlinked({ flagWord }: Pick<IndexRecord, "flagWord">): boolean {
  return (flagWord & INTERNAL_UNLINKED) !== 0;
}

function ns(seconds: number): bigint {
  return BigInt(seconds) * NS_PER_SECOND;
}
