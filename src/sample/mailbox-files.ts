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
import { assert } from "../base/errors.ts";
import {
  FLAG_DELETED,
  INTERNAL_ARCHIVED,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
  userFlagWords,
} from "../cyrus/flags.ts";
import { type IndexRecord, parseIndex } from "../cyrus/index-reader.ts";
import { encodeIndexHeader, encodeIndexRecord, type IndexHeaderValues } from "../cyrus/index-writer.ts";
import { encodeMailboxHeader, encodeOldMailboxHeader } from "../cyrus/mailbox-header.ts";
import { CacheFile } from "./cache-file.ts";
import { CACHE_VERSION } from "./cache-record.ts";
import { replaceFile, tryLink } from "./disk.ts";
import type { MailboxDirectories } from "./layout.ts";
import { headerValues, type SampleMailbox } from "./mailbox.ts";
import { emptyHeader, INDEX_VERSION, isExpunged, isUnlinked, ns, summedHeader } from "./mailbox-index.ts";
import { type MessageComment, writeComments } from "./message-comments.ts";
import type { RenderedMessage } from "./render.ts";

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
    writeComments(`${directories.meta}/cyrus.annotations`, this.#comments);
    const body = Buffer.concat(this.#records.map((record) => encodeIndexRecord(record, INDEX_VERSION)));
    this.#header = summedHeader(
      { ...this.#header, headerFileCrc: crc32(headerFile), highestModseq: BigInt(highestModseq) },
      this.#records,
      body,
      this.#comments,
      mailbox,
    );
    writeFileSync(`${directories.meta}/cyrus.index`, Buffer.concat([encodeIndexHeader(this.#header), body]));
    mailbox.exists = this.#header.exists;
    mailbox.usedBytes = Number(this.#header.quotaMailboxUsed);
    mailbox.usedAnnotationBytes = Number(this.#header.quotaAnnotUsed);
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
