/**
 * Which message files of one mailbox are there, and which of them need not be opened because the parent backup
 * holds them. Pure: columns and listings in, decisions out, ascending by UID, no object per message that is
 * neither read nor kept.
 */
import { equalBytes } from "../base/bytes.ts";
import type { MessageEntry } from "../manifest/model.ts";
import type { Cursor } from "./cursor.ts";
import {
  findRecord,
  guidOf,
  type IndexColumns,
  RECORD_ARCHIVED,
  RECORD_DAMAGED,
  RECORD_EXPUNGED,
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
      /** The parent's entry of the same UID, whatever it holds. */
      readonly before: MessageEntry | undefined;
      /** The parent's index gave the same GUID and size for it. */
      readonly sameAsBefore: boolean;
      /** A second file of the same UID lies there. */
      readonly duplicateIn: number | undefined;
    }
  /** The index has a record and there is no file. */
  | {
      readonly action: "missing";
      readonly uid: number;
      readonly expunged: boolean;
      readonly before: MessageEntry | undefined;
      readonly size: number | undefined;
    };

export interface DirectoryContent {
  readonly role: "data" | "archive" | "meta";
  /** undefined: it is as the parent saw it, so its files are those of the parent's entries. */
  readonly uids: Uint32Array | undefined;
  /** Its position in the parent's list of directories, -1 when it was not there. */
  readonly before: number;
}

export interface MessagePlanInput {
  readonly directories: readonly DirectoryContent[];
  readonly columns: IndexColumns | undefined;
  readonly beforeColumns: IndexColumns | undefined;
  readonly beforeEntries: Cursor<MessageEntry>;
  /** False: entries of the parent are not taken over (another uniqueid or uidvalidity, or `--scrub`). */
  readonly mayReuse: boolean;
}

export async function* planMessages(input: MessagePlanInput): AsyncGenerator<MessageDecision> {
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
    if (columns?.ordered) {
      while (record < columns.count && isNoFile(columns, record)) record++;
      const next = columns.uids[record];
      if (record < columns.count && next !== undefined && next < uid) uid = next;
    }
    if (uid === Number.POSITIVE_INFINITY) return;

    const beforeHere = before?.uid === uid ? before : undefined;
    const found: number[] = [];
    for (const [d, { uids }] of directories.entries()) {
      if (uids === undefined) {
        if (beforeHere !== undefined && newPosition.get(beforeHere.directory) === d) found.push(d);
      } else if (uids[positions[d] as number] === uid) {
        positions[d] = (positions[d] as number) + 1;
        found.push(d);
      }
    }
    const at = columns === undefined ? -1 : findRecord(columns, uid);
    const decision = decide(input, uid, found, at, beforeHere);
    if (beforeHere !== undefined) await beforeEntries.skip();
    if (columns?.ordered && columns.uids[record] === uid) record++;
    if (decision !== undefined) yield decision;
  }
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
    const size = columns === undefined || !sound ? undefined : columns.sizes[at];
    return { action: "missing", uid, expunged: (flags & RECORD_EXPUNGED) !== 0, before, size };
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
    const entry = before.directory === directory ? before : { ...before, directory };
    return { action: "reuse", entry, size: size as number };
  }
  return { action: "read", uid, directory, guid, size, indexed: at >= 0, before, sameAsBefore, duplicateIn };
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
