/**
 * Pages of messages that are lost, made again: which messages there were says the mailbox's cyrus.index of the same backup,
 * by SHA-1; which object each of them is says a look at all messages of the repository.
 */
import { createHash } from "node:crypto";
import { toHex } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import { MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import { forEachRecord, type IndexHeader, parseIndexHeader } from "../cyrus/index-reader.ts";
import { readContent } from "../manifest/content.ts";
import type { Content, DirectoryRole, MailboxEntry, MessageEntry } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { isUnreadable } from "../manifest/sufferers.ts";
import { asObjectId, type ObjectId } from "../store/object.ts";
import { openPack } from "../store/pack-reader.ts";
import type { Repository } from "../store/repository.ts";

export interface UidRange {
  readonly from: number;
  /** The first one that is no longer of it. */
  readonly before: number;
}

export interface RebuiltPage {
  /** Ascending by UID. */
  readonly entries: readonly MessageEntry[];
  /** UIDs of messages that the index names and no object could be found for. */
  readonly lost: readonly number[];
}

interface IndexedMessage {
  readonly uid: number;
  readonly guid: string | undefined;
  readonly size: number;
  readonly dateNs: bigint;
  readonly role: DirectoryRole;
}

interface FoundMessage {
  readonly id: ObjectId;
  readonly size: number;
}

export class PageRebuilder {
  readonly #repository: Repository;
  readonly #source: PageSource;
  /** By SHA-1: the messages that have it, none as long as none was found. */
  readonly #wanted = new Map<string, FoundMessage[]>();

  constructor(repository: Repository, source: PageSource) {
    this.#repository = repository;
    this.#source = source;
  }

  /** Before `search`: a stretch of UIDs whose page is lost. */
  async want(mailbox: MailboxEntry, range: UidRange): Promise<void> {
    for (const { guid } of (await this.#indexed(mailbox, range)) ?? [])
      if (guid !== undefined && !this.#wanted.has(guid)) this.#wanted.set(guid, []);
  }

  /** Reads every message of the repository, unless nothing is wanted. */
  async search(onMessage: () => void): Promise<void> {
    if (this.#wanted.size === 0) return;
    const { lookup, backend, seal, objects } = this.#repository;
    for (const { packId, packKind } of [...lookup.packs.live()]) {
      if (packKind === "meta") continue;
      const pack = await readable(() => openPack(backend, packId, seal));
      if (pack === undefined) continue;
      const { directory } = pack;
      for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
        if (directory.kindAt(ordinal) !== "message") continue;
        onMessage();
        const id = asObjectId(Uint8Array.from(directory.idAt(ordinal)));
        const hash = createHash("sha1");
        let size = 0;
        const isRead = await readable(async () => {
          for await (const stretch of objects.stream("message", id)) {
            hash.update(stretch);
            size += stretch.length;
          }
          return true;
        });
        if (isRead !== true) continue;
        const found = this.#wanted.get(hash.digest("hex"));
        // In two packs it is still one message.
        if (found?.every((other) => toHex(other.id) !== toHex(id)) === true) found.push({ id, size });
      }
    }
  }

  *found(): Generator<ObjectId> {
    for (const messages of this.#wanted.values()) for (const { id } of messages) yield id;
  }

  /** @returns undefined: which messages there were cannot be told. */
  async rebuild(mailbox: MailboxEntry, range: UidRange): Promise<RebuiltPage | undefined> {
    const indexed = await this.#indexed(mailbox, range);
    const index = indexFile(mailbox);
    if (indexed === undefined || index === undefined) return undefined;
    const { mode, uid: uidOwner, gid: gidOwner } = index.stat;
    const entries: MessageEntry[] = [];
    const lost: number[] = [];
    for (const { uid, guid, size, dateNs, role } of indexed) {
      const found = guid === undefined ? [] : (this.#wanted.get(guid) ?? []);
      const fitting = found.filter((message) => message.size === size);
      const [only] = fitting;
      // Of two with one SHA-1 nobody can tell which it was.
      if (only === undefined || fitting.length > 1) {
        lost.push(uid);
        continue;
      }
      const position = mailbox.directories.findIndex((directory) => directory.role === role);
      entries.push({
        uid,
        object: only.id,
        directory: Math.max(0, position),
        mode,
        uidOwner,
        gidOwner,
        mtimeNs: dateNs,
        inode: 0,
        linked: false,
      });
    }
    return { entries, lost };
  }

  /** Records of the range whose files are there, ascending. */
  async #indexed(mailbox: MailboxEntry, { from, before }: UidRange): Promise<IndexedMessage[] | undefined> {
    const content = indexFile(mailbox)?.content;
    if (content === undefined) return undefined;
    const indexed = new Map<number, IndexedMessage>();
    try {
      for await (const message of this.#records(content))
        if (message.uid >= from && message.uid < before) indexed.set(message.uid, message);
    } catch (error) {
      if (!isUnreadable(error) && !isBadIndex(error)) throw error;
      return undefined;
    }
    return [...indexed.values()].sort((a, b) => a.uid - b.uid);
  }

  async *#records(content: Content): AsyncGenerator<IndexedMessage> {
    let rest: Buffer = Buffer.alloc(0);
    let header: IndexHeader | undefined;
    let count = 0;
    const take = (isLast: boolean): IndexedMessage[] => {
      const taken: IndexedMessage[] = [];
      if (header === undefined) {
        if (rest.length < MAX_HEADER_BYTES && !isLast) return taken;
        header = parseIndexHeader(rest);
        rest = rest.subarray(header.headerBytes);
      }
      const whole = Math.floor(rest.length / header.recordBytes) * header.recordBytes;
      count += forEachRecord(
        rest.subarray(0, whole),
        header,
        Math.min(count, header.recordCount),
        (record) => {
          if (record.isUnlinked || !record.crcOk) return;
          taken.push({
            uid: record.uid,
            guid: record.hasGuid ? toHex(record.guid as Uint8Array) : undefined,
            size: record.size,
            dateNs: record.internalDateNs,
            role: record.isArchived ? "archive" : "data",
          });
        },
      );
      rest = rest.subarray(whole);
      return taken;
    };
    for await (const stretch of readContent(content, this.#source)) {
      rest = Buffer.concat([rest, stretch]);
      yield* take(false);
    }
    yield* take(true);
  }
}

function indexFile(mailbox: MailboxEntry) {
  return mailbox.files.find(({ name }) => name === "cyrus.index");
}

function isBadIndex(error: unknown): boolean {
  return (
    error instanceof CyrvaultError &&
    (error.code === "CYRUS_BAD_FORMAT" || error.code === "CYRUS_BAD_CHECKSUM")
  );
}

async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return undefined;
  }
}
