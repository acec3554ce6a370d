/** What `restore` can be asked for, what it plans, and what it answers. */
import type { ByteString } from "../base/byte-string.ts";
import type { PathMapping } from "../source/view.ts";
import type { BlockBytes } from "../store/block-usage.ts";

export type RestorePart =
  | { readonly part: "configdirectory" | "sieve" | "mailbox-list" | "config" | "text-dumps" }
  | { readonly part: "partition"; readonly name: ByteString };

export interface RestoreOptions {
  /** Absolute. Paths of the server are made again below it. */
  readonly target: ByteString;
  /** Empty: everything, unless users or mailboxes are named. */
  readonly only: readonly RestorePart[];
  readonly users: readonly ByteString[];
  /** Patterns as in IMAP LIST. */
  readonly mailboxes: readonly ByteString[];
  /** Only these messages of the mailboxes named, and nothing else of them. */
  readonly uids: UidSet | undefined;
  readonly mappings: readonly PathMapping[];
  /** Everything belongs to them, instead of the owners recorded. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /**
   * undefined: a place that holds something already is refused. `never`: what is there stays, what is missing comes.
   * `if-different`: what is there is compared, and what differs is written anew.
   */
  readonly overwrite: "never" | "if-different" | undefined;
  /** What becomes of mailboxes that were excluded from the backup: `empty` by default. */
  readonly excluded?: ExcludedMailboxes | undefined;
  /** cyrus.index as the server had it, though messages that it names were left out. */
  readonly rawIndex?: boolean;
}

export type ExcludedMailboxes = "empty" | "absent";

export interface UidSet {
  has(uid: number): boolean;
}

/** Something that could not be put back as it was. */
export interface RestoreFinding {
  readonly code:
    | "object-damaged"
    | "good-copy"
    | "not-in-backup"
    | "owner-not-set"
    | "owner-unknown"
    | "attributes-not-set"
    | "set-id-dropped"
    | "never-restored"
    | "differs-kept"
    | "not-linked"
    | "excluded-empty"
    | "messages-left-out";
  readonly severity: "note" | "warning" | "error";
  /** As on the server. */
  readonly path: ByteString;
  readonly message: string;
}

export interface RestorePlan {
  readonly backup: string;
  readonly mailboxes: number;
  readonly messages: number;
  /** Regular files that are no messages. */
  readonly files: number;
  readonly bytes: number;
  /** With what the filesystem needs for each file. */
  readonly spaceNeeded: number;
  readonly spaceFree: number;
  /** Each root, as on the server and where it goes; symlinks on the way are resolved. */
  readonly roots: readonly { readonly from: string; readonly to: string }[];
  /** Continues an interrupted restore of the same backup into the same place. */
  readonly resumes: boolean;
  /** Where the room does not suffice; undefined: it does, as far as can be told. */
  readonly spaceShort: { readonly path: string; readonly needed: number; readonly free: number } | undefined;
  /** Messages and files in whose place something is already, the same or not. */
  readonly standing: number;
  /** Paths of those that stand in the way; the first 1000. */
  readonly wouldOverwrite: readonly string[];
}

export interface RestoreResult {
  readonly backup: string;
  readonly mailboxes: number;
  readonly messages: number;
  readonly files: number;
  readonly bytes: number;
  /** Of all messages and files: nothing was there, something else was and was replaced, the same was, something was and stays. */
  readonly outcomes: Readonly<Record<"written" | "replaced" | "same" | "kept", number>>;
  /** The first 1000. */
  readonly findings: readonly RestoreFinding[];
  readonly findingsTotal: number;
  /** An error among them: exit code 3. */
  readonly incomplete: boolean;
  readonly seconds: number;
  /** Of the repository, since it was opened; undefined where nobody counted. */
  readonly blocks: BlockBytes | undefined;
  /** Where the runbook was written, and its text. */
  readonly runbook: { readonly path: string; readonly text: string } | undefined;
}

/** `4`, `1:9`, `12:*`, comma-separated. @returns undefined for anything else. */
export function parseUidSet(text: string): UidSet | undefined {
  const ranges: [number, number][] = [];
  for (const part of text.split(",")) {
    const match = /^(\d{1,10})(?::(\d{1,10}|\*))?$/.exec(part);
    if (match === null) return undefined;
    const from = Number(match[1]);
    const to = match[2] === undefined ? from : match[2] === "*" ? 0xffff_ffff : Number(match[2]);
    ranges.push([Math.min(from, to), Math.max(from, to)]);
  }
  return { has: (uid) => ranges.some(([from, to]) => uid >= from && uid <= to) };
}
