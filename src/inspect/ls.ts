/** What a backup has: its mailboxes, and the messages of one. */
import { toText } from "../base/byte-string.ts";
import { isExcludedEntry } from "../manifest/excluded-mailboxes.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { MailboxEntry, ManifestRoot, MessageEntry } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import type { ObjectSource } from "./backups.ts";
import { type MessageRecord, messageRecords } from "./index-records.ts";
import { HEADER_BYTES_MAX, hasWholeHeader, type MailHeader, readMailHeader } from "./mail-header.ts";
import { matchingMailboxes } from "./mailbox-selector.ts";

export interface MailboxLine {
  readonly mailbox: string;
  readonly uniqueid: string | null;
  readonly partition: string;
  readonly messages: number;
  readonly bytes: number;
  readonly uidvalidity: number;
  readonly lastUid: number;
  /** The backup was told to hold none of its mail. */
  readonly excluded?: true;
}

export interface MessageLine extends MailHeader {
  readonly uid: number;
  readonly guid: string | null;
  /** null: neither index nor manifest says. */
  readonly size: number | null;
  /** ISO 8601, UTC. */
  readonly internalDate: string | null;
  readonly flags: readonly string[];
  readonly expunged: boolean;
}

/** @param pattern - as in IMAP LIST; all when undefined. */
export async function* listMailboxes(
  root: ManifestRoot,
  source: PageSource,
  pattern?: string,
): AsyncGenerator<MailboxLine> {
  for await (const entry of matchingMailboxes(root, source, pattern)) {
    yield {
      mailbox: toText(entry.name),
      uniqueid: entry.uniqueid === undefined ? null : toText(entry.uniqueid),
      partition: toText(entry.partition),
      messages: entry.messages,
      bytes: entry.bytes,
      uidvalidity: entry.uidvalidity,
      lastUid: entry.lastUid,
      ...(isExcludedEntry(root, entry.name) ? { excluded: true } : {}),
    };
  }
}

/** By UID. Reads the beginning of each message. */
export async function* listMessages(
  mailbox: MailboxEntry,
  objects: ObjectSource,
): AsyncGenerator<MessageLine> {
  for await (const { entry, record } of messagesWithRecords(mailbox, objects)) {
    const size = record?.size ?? entry.size ?? null;
    yield {
      uid: entry.uid,
      guid: record?.guid ?? null,
      size: entry.size ?? size,
      internalDate: record === undefined ? null : isoTime(record.internalDateMs),
      flags: record?.flags ?? [],
      expunged: record?.expunged ?? false,
      ...(await readHeaderOf(entry, objects)),
    };
  }
}

export interface MessageWithRecord {
  readonly entry: MessageEntry;
  /** undefined: the index says nothing of it that can be relied on. */
  readonly record: MessageRecord | undefined;
}

export async function* messagesWithRecords(
  mailbox: MailboxEntry,
  source: PageSource,
): AsyncGenerator<MessageWithRecord> {
  const records = messageRecords(mailbox, source);
  try {
    let next = await records.next();
    for await (const entry of readPageTree(mailbox.messagePages, source, messagePages)) {
      while (!next.done && next.value.uid < entry.uid) next = await records.next();
      yield { entry, record: !next.done && next.value.uid === entry.uid ? next.value : undefined };
    }
  } finally {
    await records.return(undefined);
  }
}

/** Restore gives the good copy where there is one; so does this. */
export async function readHeaderOf(entry: MessageEntry, objects: ObjectSource): Promise<MailHeader> {
  const stretches: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of objects.peek(entry.good ?? entry.object)) {
    stretches.push(bytes.subarray(0, HEADER_BYTES_MAX - length));
    length += bytes.length;
    if (length >= HEADER_BYTES_MAX || hasWholeHeader(Buffer.concat(stretches))) break;
  }
  return readMailHeader(Buffer.concat(stretches));
}

function isoTime(ms: number): string | null {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}
