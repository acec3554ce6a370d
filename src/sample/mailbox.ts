/** A mailbox of a sample server as its administrator knows it; its messages are only on disk. */
import { type ByteString, fromText } from "../base/byte-string.ts";
import type { MailboxHeaderValues } from "../cyrus/mailbox-header.ts";
import type { AclEntry, FormerName, MailboxListEntry } from "../cyrus/mailbox-list-entry.ts";
import type { PartitionName } from "./layout.ts";

export type MailboxRole =
  | "inbox"
  | "sent"
  | "drafts"
  | "trash"
  | "junk"
  | "archive"
  | "folder"
  | "shared"
  | "deleted";

export interface SampleMailbox {
  name: ByteString;
  readonly uniqueId: ByteString;
  readonly uidValidity: number;
  readonly partition: PartitionName;
  /** The user's number; undefined for a shared mailbox. */
  readonly owner: number | undefined;
  role: MailboxRole;
  readonly mailboxType: ByteString;
  readonly acl: readonly AclEntry[];
  quotaRoot: ByteString | undefined;
  readonly createdModseq: number;
  folderModseq: number;
  /** Seconds since 1970. */
  mtime: number;
  readonly history: FormerName[];
  flagNames: readonly ByteString[];
  /** Of messages that are not expunged. */
  exists: number;
  usedBytes: number;
  usedAnnotationBytes: number;
}

/** User flags that clients set, by slot. */
export const USER_FLAGS: readonly ByteString[] = ["$Forwarded", "$MDNSent", "$Label1", "NonJunk"].map(
  fromText,
);

export function headerValues(mailbox: SampleMailbox): MailboxHeaderValues {
  return {
    name: mailbox.name,
    uniqueId: mailbox.uniqueId,
    mailboxType: mailbox.mailboxType,
    jmapId: undefined,
    acl: mailbox.acl.map(({ identifier, rights }) => `${identifier}\t${rights}\t`).join("") as ByteString,
    quotaRoot: mailbox.quotaRoot,
    flagNames: mailbox.flagNames,
  };
}

export function listEntry(mailbox: SampleMailbox): MailboxListEntry {
  return {
    name: mailbox.name,
    mailboxType: mailbox.mailboxType,
    acl: mailbox.acl,
    uniqueid: mailbox.uniqueId,
    partition: fromText(mailbox.partition),
    uidvalidity: mailbox.uidValidity,
    createdModseq: BigInt(mailbox.createdModseq),
    folderModseq: BigInt(mailbox.folderModseq),
    mtime: mailbox.mtime,
    legacyDirectories: mailbox.mailboxType.includes("l"),
    remote: false,
    tombstone: false,
    intermediate: false,
    reserved: false,
    history: mailbox.history,
  };
}

/** What stays in the list of a name that a mailbox had. */
export function tombstone(mailbox: SampleMailbox, formerName: ByteString): MailboxListEntry {
  const { partition: _, ...entry } = listEntry(mailbox);
  return {
    ...entry,
    name: formerName,
    mailboxType: mailbox.mailboxType.replace("e", "ed") as ByteString,
    acl: [],
    tombstone: true,
    history: [],
  };
}

/** The mailbox gets another name: in the list, its history and its header's values. Files are the caller's. */
export function renameMailbox(mailbox: SampleMailbox, name: ByteString, modseq: number, now: number): void {
  mailbox.history.push({
    name: mailbox.name,
    mailboxType: mailbox.mailboxType.replace("e", "ed") as ByteString,
    mtime: now,
    uidvalidity: mailbox.uidValidity,
    createdModseq: BigInt(mailbox.createdModseq),
    folderModseq: BigInt(modseq),
  });
  mailbox.name = name;
  mailbox.folderModseq = modseq;
  mailbox.mtime = now;
}

const SPECIAL_USE: Partial<Record<MailboxRole, string>> = {
  sent: "\\Sent",
  drafts: "\\Drafts",
  trash: "\\Trash",
  junk: "\\Junk",
  archive: "\\Archive",
};

export interface MailboxAnnotation {
  readonly entry: string;
  /** `[.OwNeR.]`, or empty for everybody's. */
  readonly user: string;
  readonly value: string;
}

/** What annotations.db has of it. The bytes of the values count in the index header. */
export function mailboxAnnotations({ role, owner }: SampleMailbox): MailboxAnnotation[] {
  const annotations: MailboxAnnotation[] = [];
  const use = SPECIAL_USE[role];
  if (use !== undefined) annotations.push({ entry: "/specialuse", user: "[.OwNeR.]", value: use });
  if (role === "junk" && (owner ?? 0) % 2 === 0)
    annotations.push({ entry: "/vendor/cmu/cyrus-imapd/expire", user: "", value: "30" });
  return annotations;
}
