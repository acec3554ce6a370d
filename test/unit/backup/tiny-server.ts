/**
 * A Cyrus server of a few mailboxes in a directory, every byte of it under the test's control: the layout by
 * uniqueid, `cyrus.index` of version 17, rewritten in place as Cyrus does it.
 */
import { createCipheriv, createHash } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import type { IndexHeader } from "../../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../../src/cyrus/index-record.ts";
import { encodeIndex, type IndexHeaderValues } from "../../../src/cyrus/index-writer.ts";
import { encodeMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { encodeMailboxList } from "../../../src/cyrus/mailbox-list-encode.ts";
import type { MailboxListEntry } from "../../../src/cyrus/mailbox-list-entry.ts";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";

export interface TinyMessage {
  readonly uid: number;
  bytes: Buffer;
  flagWord: number;
  /** What the index says, where that differs from the file. */
  guid?: Uint8Array;
  size?: number;
  /** Seconds. */
  internalDate?: number;
}

export interface TinyMailbox {
  name: string;
  uniqueid: string;
  uidvalidity: number;
  readonly messages: TinyMessage[];
}

const CONF = `configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
sievedir: /var/lib/cyrus/sieve
servername: tiny
`;

export class TinyServer {
  readonly root: string;
  readonly mailboxes = new Map<string, TinyMailbox>();

  constructor(root: string) {
    this.root = root;
    this.file("etc/imapd.conf", CONF);
    this.file("etc/cyrus.conf", "START {}\n");
    this.file("var/lib/cyrus/annotations.db", "annotations");
    this.file("var/lib/cyrus/user/a/anna.sub", "user.anna\n");
    this.file("var/lib/cyrus/proc/123", "runtime");
    this.file("var/lib/cyrus/deliver.db", "duplicates");
    mkdirSync(this.path("var/spool/cyrus"), { recursive: true });
    this.writeList();
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  file(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), content);
  }

  add(
    name: string,
    texts: readonly (string | Buffer)[] = [],
    options: Partial<TinyMailbox> = {},
  ): TinyMailbox {
    const mailbox: TinyMailbox = {
      name,
      uniqueid: createHash("sha1").update(name).digest("hex").slice(0, 24),
      uidvalidity: 1_700_000_000,
      messages: [],
      ...options,
    };
    this.mailboxes.set(name, mailbox);
    mkdirSync(this.directory(mailbox), { recursive: true });
    for (const text of texts) this.append(mailbox, text, false);
    this.writeMailbox(mailbox);
    this.writeList();
    return mailbox;
  }

  directory({ uniqueid }: TinyMailbox): string {
    return this.path("var/spool/cyrus/uuid", uniqueid.charAt(0), uniqueid.charAt(1), uniqueid);
  }

  message(mailbox: TinyMailbox, uid: number): string {
    return join(this.directory(mailbox), `${uid}.`);
  }

  append(mailbox: TinyMailbox, content: string | Buffer, write = true): TinyMessage {
    const bytes = Buffer.isBuffer(content) ? content : mail(content);
    const message = { uid: (mailbox.messages.at(-1)?.uid ?? 0) + 1, bytes, flagWord: 0 };
    writeFileSync(this.message(mailbox, message.uid), bytes);
    mailbox.messages.push(message);
    if (write) this.writeIndex(mailbox);
    return message;
  }

  /** As IMAP COPY does: a hard link. */
  copy(from: TinyMailbox, uid: number, to: TinyMailbox): TinyMessage {
    const { bytes } = from.messages.find((message) => message.uid === uid) as TinyMessage;
    const message = { uid: (to.messages.at(-1)?.uid ?? 0) + 1, bytes, flagWord: 0 };
    linkSync(this.message(from, uid), this.message(to, message.uid));
    to.messages.push(message);
    this.writeIndex(to);
    return message;
  }

  /** By uniqueid: the directory stays, header and list change. */
  rename(mailbox: TinyMailbox, name: string): void {
    this.mailboxes.delete(mailbox.name);
    mailbox.name = name;
    this.mailboxes.set(name, mailbox);
    this.writeMailbox(mailbox);
    this.writeList();
  }

  remove(mailbox: TinyMailbox): void {
    this.mailboxes.delete(mailbox.name);
    rmSync(this.directory(mailbox), { recursive: true });
    this.writeList();
  }

  writeMailbox(mailbox: TinyMailbox): void {
    writeFileSync(
      join(this.directory(mailbox), "cyrus.header"),
      encodeMailboxHeader({
        name: fromText(mailbox.name),
        uniqueId: fromText(mailbox.uniqueid),
        mailboxType: fromText("e"),
        jmapId: undefined,
        acl: fromText("anna\tlrswipkxtecda\t"),
        quotaRoot: undefined,
        flagNames: [],
      }),
    );
    this.writeIndex(mailbox);
  }

  /** In place, as Cyrus does it: the directory does not change. */
  writeIndex(mailbox: TinyMailbox, change: Partial<IndexHeaderValues> = {}): void {
    const header = readFileSync(join(this.directory(mailbox), "cyrus.header"));
    const values = {
      ...BLANK_HEADER,
      version: 17,
      generation: 1,
      uidValidity: mailbox.uidvalidity,
      lastUid: mailbox.messages.at(-1)?.uid ?? 0,
      exists: mailbox.messages.length,
      headerFileCrc: crc32(header),
      highestModseq: 5n,
      ...change,
    };
    writeFileSync(
      join(this.directory(mailbox), "cyrus.index"),
      encodeIndex(
        values,
        mailbox.messages.map((message) => recordOf(message)),
      ),
    );
  }

  /** A flipped bit in the record of a position (from 0). */
  damageRecord(mailbox: TinyMailbox, position: number): void {
    const path = join(this.directory(mailbox), "cyrus.index");
    const bytes = readFileSync(path);
    const at = 160 + position * 112 + 24;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(path, bytes);
  }

  /** @param lines - further entries: twice the same uniqueid, odd names, … */
  writeList(further: readonly Partial<MailboxListEntry>[] = []): void {
    const entries = [...this.mailboxes.values()].map(({ name, uniqueid, uidvalidity }) =>
      listEntry({ name: fromText(name), uniqueid: fromText(uniqueid), uidvalidity }),
    );
    const records = encodeMailboxList([...entries, ...further.map(listEntry)]);
    const unique = new Map(records.map((record) => [Buffer.from(record.key).toString("latin1"), record]));
    const temporary = "var/lib/cyrus/mailboxes.db.tmp";
    this.file(temporary, encodeTwoskip(unique.values()));
    renameSync(this.path(temporary), this.path("var/lib/cyrus/mailboxes.db"));
  }
}

export function mail(text: string): Buffer {
  return Buffer.from(`From: a@example.com\r\nSubject: ${text}\r\n\r\n${text}\r\n`);
}

/** With an attachment of many bytes, the same for the same name. */
export function mailWithAttachment(text: string, name: string, bytes = 40_000): Buffer {
  const key = createHash("sha256").update(name).digest();
  const noise = createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
  const body = noise.toString("base64").replace(/.{76}/g, "$&\r\n");
  return Buffer.from(
    [
      "From: a@example.com",
      `Subject: ${text}`,
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="b"',
      "",
      "--b",
      "Content-Type: text/plain",
      "",
      text,
      "--b",
      `Content-Type: application/octet-stream; name="${name}"`,
      "Content-Transfer-Encoding: base64",
      "",
      body,
      "--b--",
      "",
    ].join("\r\n"),
  );
}

export function sha1(bytes: Uint8Array): Buffer {
  return createHash("sha1").update(bytes).digest();
}

function recordOf({ uid, bytes, flagWord, guid, size, internalDate = 0 }: TinyMessage): IndexRecord {
  return {
    uid,
    internalDateNs: BigInt(internalDate) * 1_000_000_000n,
    sentDateNs: 0n,
    size: size ?? bytes.length,
    headerSize: 0,
    gmtimeNs: 0n,
    cacheOffset: 0,
    lastUpdatedNs: 0n,
    flagWord,
    userFlags: [0, 0, 0, 0],
    contentLines: 0,
    saveDateNs: 0n,
    cacheVersion: 0,
    guid: guid ?? sha1(bytes),
    modseq: 1n,
    threadId: 0n,
    createdModseq: 0n,
    baseThreadId: 0n,
    cacheCrc: 0,
  };
}

function listEntry(entry: Partial<MailboxListEntry>): MailboxListEntry {
  return {
    name: "user.nobody" as ByteString,
    mailboxType: "e" as ByteString,
    acl: [{ identifier: fromText("anna"), rights: fromText("lrs") }],
    partition: "default" as ByteString,
    legacyDirectories: false,
    remote: false,
    tombstone: false,
    intermediate: false,
    reserved: false,
    history: [],
    ...entry,
  };
}

const BLANK_HEADER: Omit<IndexHeaderValues, keyof Pick<IndexHeader, "version">> = {
  generation: 0,
  format: 1,
  recordCount: 0,
  lastAppendNs: 0n,
  lastUid: 0,
  quotaMailboxUsed: 0n,
  pop3LastLoginNs: 0n,
  uidValidity: 0,
  deletedCount: 0,
  answeredCount: 0,
  flaggedCount: 0,
  options: 0,
  leakedCacheRecords: 0,
  highestModseq: 1n,
  deletedModseq: 0n,
  exists: 0,
  firstExpungedNs: 0n,
  lastRepackNs: 0n,
  headerFileCrc: 0,
  syncCrcBasic: 0,
  recentUid: 0,
  recentTimeNs: 0n,
  pop3ShowAfterNs: 0n,
  quotaAnnotUsed: 0n,
  syncCrcAnnot: 0,
  unseenCount: 0,
  createdModseq: 0n,
  changesEpochNs: 0n,
  quotaDeletedUsed: 0n,
  quotaExpungedUsed: 0n,
};
