/**
 * Which message files of one mailbox are there, and which of them need not be opened because the parent backup
 * holds them. Pure: columns and listings in, decisions out, ascending by UID, no object per message that is
 * neither read nor kept.
 */
import { equalBytes } from "../base/bytes.ts";
import type { FileStat, MessageEntry } from "../manifest/model.ts";
import type { Cursor } from "./cursor.ts";
import {
  findRecord,
  guidOf,
  type IndexColumns,
  RECORD_ARCHIVED,
  RECORD_DAMAGED,
  RECORD_EXPUNGED,
  RECORD_LEFT_OUT,
  RECORD_UNLINKED,
} from "./index-columns.ts";

export type MessageDecision =
  /** The parent's object is this message: same mailbox, UID, GUID and size. */
  | { readonly action: "reuse"; readonly entry: MessageEntry; readonly size: number }
  | {
      readonly action: "read";
      readonly uid: number;
      readonly directory: number;
      readonly guid: Uint8Array | undefined;
      /** Of the index; undefined where it has no sound record. */
      readonly size: number | undefined;
      readonly indexed: boolean;
      readonly before: EarlierMessage | undefined;
      /** A second file of the same UID lies there. */
      readonly duplicateIn: number | undefined;
    }
  /** The index has a record and there is no file. */
  | {
      readonly action: "missing";
      readonly uid: number;
      readonly expunged: boolean;
      readonly before: EarlierMessage | undefined;
    };

/** The filter leaves it out: its file is not looked for. */
export interface LeftOutMessage {
  readonly action: "leave-out";
  readonly uid: number;
  readonly size: number;
}

/** What the parent has of the same UID, whatever that is. */
export interface EarlierMessage {
  /** Its directory is a position in today's list. */
  readonly entry: MessageEntry;
  /** Of the message that the entry names; undefined where neither entry nor index of the parent tell. */
  readonly size: number | undefined;
}

export interface DirectoryContent {
  readonly role: "data" | "archive" | "meta";
  /** undefined: it is as the parent saw it, so its files are those of the parent's entries. */
  readonly uids: Uint32Array | undefined;
  /** Its position in the parent's list of directories, -1 when it was not there. */
  readonly before: number;
  /** It has another owner, mode or inode than the parent saw: what is in it may have, too. */
  readonly otherwise?: boolean;
}

export interface MessagePlanInput {
  readonly directories: readonly DirectoryContent[];
  readonly columns: IndexColumns | undefined;
  readonly beforeColumns: IndexColumns | undefined;
  readonly beforeEntries: Cursor<MessageEntry>;
  /**
   * False: listings and entries are older than the index, which alone says which messages there are: a record that
   * is unlinked has no file, a file that is in no listing is asked for.
   */
  readonly isFrozen?: boolean;
  /** False: entries of the parent are not taken over (another uniqueid or uidvalidity, or `--scrub`). */
  readonly mayReuse: boolean;
  /** Whether a file is there, in a directory that was not listed: asked where only the index names a message. */
  readonly hasFile: (directory: number, uid: number) => boolean;
  /** Of a message that is taken over from another directory, or from one that is `otherwise`. */
  readonly statOf: (directory: number, uid: number) => FileStat | undefined;
}

export async function* planMessages(
  input: MessagePlanInput,
): AsyncGenerator<MessageDecision | LeftOutMessage> {
  const { directories, columns, beforeEntries } = input;
  const positions = directories.map(() => 0);
  const newPosition = new Map(directories.map(({ before }, now) => [before, now]));
  let record = 0;
  for (;;) {
    const before = await beforeEntries.peek();
    // The next UID of all sequences.
    let uid = before?.uid ?? Number.POSITIVE_INFINITY;
    for (const [d, { uids }] of directories.entries()) {
      const next = uids?.[positions[d] as number];
      if (next !== undefined && next < uid) uid = next;
    }
    if (columns !== undefined) {
      while (record < columns.count && isNoFile(columns, record)) record++;
      const next = columns.uids[record];
      if (record < columns.count && next !== undefined && next < uid) uid = next;
    }
    if (uid === Number.POSITIVE_INFINITY) return;

    const beforeHere = before?.uid === uid ? before : undefined;
    const at = columns === undefined ? -1 : findRecord(columns, uid);
    const isLeftOut = at >= 0 && ((columns?.flags[at] ?? 0) & RECORD_LEFT_OUT) !== 0;
    const found: number[] = [];
    for (const [d, { uids }] of directories.entries()) {
      if (uids === undefined) {
        if (isLeftOut) continue;
        if (beforeHere !== undefined && newPosition.get(beforeHere.directory) === d) found.push(d);
        // The parent had no entry of it where it could not read it.
        else if (beforeHere === undefined && input.hasFile(d, uid)) found.push(d);
      } else if (uids[positions[d] as number] === uid) {
        positions[d] = (positions[d] as number) + 1;
        found.push(d);
      }
    }
    if (input.isFrozen === false && !isLeftOut) {
      // A directory that was renamed meanwhile is another one: its first holds messages if any does.
      const beforeIn = beforeHere === undefined ? undefined : (newPosition.get(beforeHere.directory) ?? 0);
      bringUpToDate(input, uid, found, at, beforeIn);
    }
    const decision = isLeftOut
      ? leaveOut(columns as IndexColumns, at)
      : decide(input, uid, found, at, beforeHere);
    if (beforeHere !== undefined) await beforeEntries.skip();
    while (columns?.uids[record] === uid) record++;
    if (decision !== undefined) yield decision;
  }
}

/** An unlinked record names no message. */
function leaveOut(columns: IndexColumns, at: number): LeftOutMessage | undefined {
  if (isNoFile(columns, at)) return undefined;
  return { action: "leave-out", uid: columns.uids[at] as number, size: columns.sizes[at] as number };
}

/** What was found in listings and entries that are not of the index's moment. */
function bringUpToDate(
  { columns, directories, hasFile }: MessagePlanInput,
  uid: number,
  found: number[],
  at: number,
  beforeIn: number | undefined,
): void {
  if (columns === undefined) return;
  const isUnlinked = at >= 0 && ((columns.flags[at] as number) & RECORD_UNLINKED) !== 0;
  const isYetToCome = uid > columns.header.lastUid;
  if (isUnlinked || isYetToCome) found.length = 0;
  // What was listed and has no record: gone meanwhile, unless it is still there.
  else if (at < 0) found.splice(0, found.length, ...found.filter((d) => hasFile(d, uid)));
  else if (found.length > 0) return;
  // It may be gone by now: what we have of it need not be read.
  else if (beforeIn !== undefined) found.push(beforeIn);
  else found.push(...[...directories.keys()].filter((d) => hasFile(d, uid)));
}

function decide(
  input: MessagePlanInput,
  uid: number,
  found: readonly number[],
  at: number,
  before: MessageEntry | undefined,
): MessageDecision | undefined {
  const { columns, directories } = input;
  const flags = columns === undefined || at < 0 ? 0 : (columns.flags[at] as number);
  const sound = columns !== undefined && at >= 0 && (flags & RECORD_DAMAGED) === 0;
  if (found.length === 0) {
    if (at < 0 || (flags & RECORD_UNLINKED) !== 0) return undefined;
    return {
      action: "missing",
      uid,
      expunged: (flags & RECORD_EXPUNGED) !== 0,
      before: earlier(input, before, undefined),
    };
  }
  const wantedRole = (flags & RECORD_ARCHIVED) !== 0 ? "archive" : "data";
  const directory = found.find((d) => directories[d]?.role === wantedRole) ?? (found[0] as number);
  const duplicateIn = found.find((d) => d !== directory);
  const guid = sound ? guidOf(columns, at) : undefined;
  const size = sound ? (columns.sizes[at] as number) : undefined;

  const sameAsBefore =
    guid !== undefined && size !== undefined && isSameRecord(input.beforeColumns, uid, guid, size);
  // An entry with a size or a good copy of its own was not what the index says: it is looked at each time.
  const plain = before !== undefined && before.good === undefined && before.size === undefined;
  if (input.mayReuse && sameAsBefore && plain && duplicateIn === undefined) {
    const entry = entryToday(input, before, directory, size as number);
    if (entry !== undefined) return { action: "reuse", entry, size: size as number };
  }
  return {
    action: "read",
    uid,
    directory,
    guid,
    size,
    indexed: at >= 0,
    before: earlier(input, before, directory),
    duplicateIn,
  };
}

/** The parent's entry with the file's attributes of today. undefined: the file is not what the index says. */
function entryToday(
  { directories, statOf, isFrozen }: MessagePlanInput,
  before: MessageEntry,
  directory: number,
  size: number,
): MessageEntry | undefined {
  const where = directories[directory];
  if (where?.before === before.directory && where.otherwise !== true)
    return before.directory === directory ? before : { ...before, directory };
  const stat = statOf(directory, before.uid);
  // The index of a moment ago still has it.
  if (stat === undefined && isFrozen === false) return { ...before, directory };
  if (stat?.size !== size) return undefined;
  const { mode, uid, gid, mtimeNs, inode, links } = stat;
  return { ...before, directory, mode, uidOwner: uid, gidOwner: gid, mtimeNs, inode, linked: links > 1 };
}

function earlier(
  { directories, beforeColumns }: MessagePlanInput,
  entry: MessageEntry | undefined,
  foundIn: number | undefined,
): EarlierMessage | undefined {
  if (entry === undefined) return undefined;
  const where = foundIn ?? directories.findIndex(({ before }) => before === entry.directory);
  // Its directory is gone: a message belongs to the first one, which holds messages if any does.
  const directory = Math.max(0, where);
  const at = beforeColumns === undefined ? -1 : findRecord(beforeColumns, entry.uid);
  return {
    entry: entry.directory === directory ? entry : { ...entry, directory },
    size: entry.size ?? (at < 0 ? undefined : beforeColumns?.sizes[at]),
  };
}

function isSameRecord(then: IndexColumns | undefined, uid: number, guid: Uint8Array, size: number): boolean {
  if (then === undefined) return false;
  const at = findRecord(then, uid);
  if (at < 0 || then.sizes[at] !== size) return false;
  const guidThen = guidOf(then, at);
  return guidThen !== undefined && equalBytes(guidThen, guid);
}

/** A record whose file may be gone: nothing is missing. */
function isNoFile(columns: IndexColumns, position: number): boolean {
  return ((columns.flags[position] as number) & RECORD_UNLINKED) !== 0;
}
