/** What differs between two backups, and between two states of a mailbox. Costs what differs, not what there is. */
import { type ByteString, compareBytes, toText } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { contentEquals } from "../manifest/content.ts";
import { diffPageTrees } from "../manifest/diff-page-trees.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { MailboxEntry, ManifestRoot, PageTree } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { fileOf } from "./index-records.ts";
import { type MessageWithRecord, messagesWithRecords } from "./ls.ts";

/** What of a mailbox is not as it was. `index`: flags, modseqs, counters. */
export type MailboxAspect =
  | "messages"
  | "index"
  | "uniqueid"
  | "uidvalidity"
  | "partition"
  | "acl"
  | "type"
  | "quotaRoot"
  | "files";

export interface MailboxChange {
  readonly change: "added" | "removed" | "changed" | "renamed";
  readonly mailbox: string;
  /** Its earlier name, of a renamed one. */
  readonly from?: string;
  readonly aspects: readonly MailboxAspect[];
  readonly messages: { readonly added: number; readonly removed: number };
}

export interface MessageChange {
  readonly change: "added" | "removed" | "flags" | "content";
  readonly uid: number;
  /** Of `flags`: those gained and lost; `expunged` counts as one of them. */
  readonly flagsAdded?: readonly string[];
  readonly flagsRemoved?: readonly string[];
}

/** In order of the names. A mailbox whose files merely got other times is not named. */
export async function diffBackups(
  before: ManifestRoot,
  after: ManifestRoot,
  source: PageSource,
): Promise<MailboxChange[]> {
  const changes: { readonly name: ByteString; readonly change: MailboxChange }[] = [];
  const removed: MailboxEntry[] = [];
  const added: MailboxEntry[] = [];
  /** Another mailbox under the same name: one of the two may have another name on the other side. */
  const exchanged: { readonly before: MailboxEntry; readonly after: MailboxEntry }[] = [];
  const noteChanged = async (was: MailboxEntry, is: MailboxEntry): Promise<void> => {
    const aspects = changedAspects(was, is);
    const isRenamed = was.name !== is.name;
    if (aspects.length === 0 && !isRenamed) return;
    const messages = await countChanges(was.messagePages, is.messagePages, source);
    const mailbox = toText(is.name);
    const change: MailboxChange = isRenamed
      ? { change: "renamed", mailbox, from: toText(was.name), aspects, messages }
      : { change: "changed", mailbox, aspects, messages };
    changes.push({ name: is.name, change });
  };
  for await (const found of diffPageTrees(before.mailboxes, after.mailboxes, source, mailboxPages)) {
    if (found.change === "added") added.push(found.after);
    else if (found.change === "removed") removed.push(found.before);
    else if (areTwo(found.before, found.after)) exchanged.push(found);
    else await noteChanged(found.before, found.after);
  }
  const goneById = new Map(
    [...removed, ...exchanged.map((pair) => pair.before)].map((entry) => [entry.uniqueid, entry]),
  );
  /** Earlier state by the present one; each once. */
  const renamed = new Map<MailboxEntry, MailboxEntry>();
  const moved = new Set<MailboxEntry>();
  for (const entry of [...added, ...exchanged.map((pair) => pair.after)]) {
    const earlier = entry.uniqueid === undefined ? undefined : goneById.get(entry.uniqueid);
    if (earlier === undefined || moved.has(earlier)) continue;
    moved.add(earlier);
    renamed.set(entry, earlier);
  }
  for (const pair of exchanged) {
    if (moved.has(pair.before) || renamed.has(pair.after)) {
      removed.push(pair.before);
      added.push(pair.after);
    } else await noteChanged(pair.before, pair.after);
  }
  for (const entry of added) {
    const earlier = renamed.get(entry);
    if (earlier !== undefined) {
      await noteChanged(earlier, entry);
      continue;
    }
    const messages = { added: entry.messages, removed: 0 };
    const change: MailboxChange = { change: "added", mailbox: toText(entry.name), aspects: [], messages };
    changes.push({ name: entry.name, change });
  }
  for (const entry of removed) {
    if (moved.has(entry)) continue;
    const messages = { added: 0, removed: entry.messages };
    const change: MailboxChange = { change: "removed", mailbox: toText(entry.name), aspects: [], messages };
    changes.push({ name: entry.name, change });
  }
  return changes.sort((a, b) => compareBytes(a.name, b.name)).map(({ change }) => change);
}

function areTwo(before: MailboxEntry, after: MailboxEntry): boolean {
  return before.uniqueid !== undefined && after.uniqueid !== undefined && before.uniqueid !== after.uniqueid;
}

/** By UID. A mailbox made anew under the name (another uidvalidity) has other messages throughout. */
export async function* diffMessages(
  before: MailboxEntry | undefined,
  after: MailboxEntry | undefined,
  source: PageSource,
): AsyncGenerator<MessageChange> {
  if (before !== undefined && after !== undefined && before.uidvalidity !== after.uidvalidity) {
    yield* diffMessages(before, undefined, source);
    yield* diffMessages(undefined, after, source);
    return;
  }
  if (before !== undefined && after !== undefined && hasSameMessages(before, after)) return;
  const old = before === undefined ? nothing() : messagesWithRecords(before, source);
  const now = after === undefined ? nothing() : messagesWithRecords(after, source);
  try {
    let a = await old.next();
    let b = await now.next();
    while (!a.done || !b.done) {
      const oldUid = a.done ? Number.POSITIVE_INFINITY : a.value.entry.uid;
      const newUid = b.done ? Number.POSITIVE_INFINITY : b.value.entry.uid;
      if (oldUid < newUid) {
        yield { change: "removed", uid: oldUid };
        a = await old.next();
      } else if (newUid < oldUid) {
        yield { change: "added", uid: newUid };
        b = await now.next();
      } else {
        if (!a.done && !b.done) yield* diffMessage(a.value, b.value);
        a = await old.next();
        b = await now.next();
      }
    }
  } finally {
    await old.return(undefined);
    await now.return(undefined);
  }
}

function* diffMessage(a: MessageWithRecord, b: MessageWithRecord): Generator<MessageChange> {
  const { uid } = a.entry;
  if (!equalBytes(a.entry.object, b.entry.object)) yield { change: "content", uid };
  const had = shownFlags(a);
  const has = shownFlags(b);
  const flagsAdded = has.filter((flag) => !had.includes(flag));
  const flagsRemoved = had.filter((flag) => !has.includes(flag));
  if (flagsAdded.length + flagsRemoved.length > 0) yield { change: "flags", uid, flagsAdded, flagsRemoved };
}

function shownFlags({ record }: MessageWithRecord): readonly string[] {
  if (record === undefined) return [];
  return record.expunged ? [...record.flags, "expunged"] : record.flags;
}

function changedAspects(before: MailboxEntry, after: MailboxEntry): MailboxAspect[] {
  const aspects: MailboxAspect[] = [];
  if (!sameTree(before.messagePages, after.messagePages)) aspects.push("messages");
  if (!sameContent(before, after, "cyrus.index")) aspects.push("index");
  if (before.uniqueid !== after.uniqueid) aspects.push("uniqueid");
  if (before.uidvalidity !== after.uidvalidity) aspects.push("uidvalidity");
  if (before.partition !== after.partition) aspects.push("partition");
  if (before.acl !== after.acl) aspects.push("acl");
  if (before.mailboxType !== after.mailboxType) aspects.push("type");
  if (before.quotaRoot !== after.quotaRoot) aspects.push("quotaRoot");
  const names = new Set([...before.files, ...after.files].map(({ name }) => name));
  names.delete("cyrus.index" as ByteString);
  if ([...names].some((name) => !sameContent(before, after, name))) aspects.push("files");
  return aspects;
}

function sameContent(before: MailboxEntry, after: MailboxEntry, name: string): boolean {
  const a = fileOf(before, name)?.content;
  const b = fileOf(after, name)?.content;
  return a === undefined || b === undefined ? a === b : contentEquals(a, b);
}

function hasSameMessages(before: MailboxEntry, after: MailboxEntry): boolean {
  return (
    sameTree(before.messagePages, after.messagePages) &&
    sameContent(before, after, "cyrus.index") &&
    sameContent(before, after, "cyrus.header")
  );
}

function sameTree(a: PageTree, b: PageTree): boolean {
  return a.page === undefined || b.page === undefined ? a.page === b.page : equalBytes(a.page, b.page);
}

async function countChanges(
  before: PageTree,
  after: PageTree,
  source: PageSource,
): Promise<{ added: number; removed: number }> {
  const counts = { added: 0, removed: 0 };
  for await (const { change } of diffPageTrees(before, after, source, messagePages))
    if (change !== "changed") counts[change]++;
  return counts;
}

async function* nothing(): AsyncGenerator<MessageWithRecord> {}
