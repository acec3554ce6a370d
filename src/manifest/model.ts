/**
 * What one backup records, as values. How they are laid out in bytes: docs/formats/manifest.md.
 *
 * root → pages of mailboxes (by internal name) → per mailbox its directories, small files and pages of messages
 *      → pages of the other files (by path)
 *      → pages of findings
 * Pages are `manifest` objects, shared between backups: what did not change costs nothing.
 */
import type { ByteString } from "../base/byte-string.ts";
import type { FileStat } from "../base/file-stat.ts";
import type { ObjectId } from "../store/object.ts";

/** A tree of pages (manifest/page-tree.ts). `height` 0: `page` is itself a leaf; undefined: no entries. */
export interface PageTree {
  readonly page: ObjectId | undefined;
  readonly height: number;
  readonly entries: number;
}

/** The content of a small file: inside the entry, or as `meta` objects to be concatenated. */
export type Content =
  | { readonly form: "inline"; readonly bytes: Uint8Array }
  | { readonly form: "objects"; readonly size: number; readonly ids: readonly ObjectId[] }
  /** `list` names a `meta` object that holds the ids, 32 bytes each: for files of very many pieces. */
  | { readonly form: "list"; readonly size: number; readonly list: ObjectId }
  /** The same, but two and two of them make a stretch of the file (manifest/content-pair.ts). */
  | { readonly form: "pairs"; readonly size: number; readonly list: ObjectId };

export type { FileStat };

export type FileClass = "critical" | "derivable" | "expensive" | "disposable";

/**
 * A file, directory or symlink that is no message and belongs to no mailbox. Key: `pathKey(path)`, so that what
 * lies in a directory follows it at once.
 */
export interface FileEntry {
  /** Absolute, as on the server: `/var/lib/cyrus/mailboxes.db`. */
  readonly path: ByteString;
  readonly stat: FileStat;
  readonly fileClass: FileClass;
  /** A regular file's content, undefined where it could not be read (there is a finding then). */
  readonly content?: Content;
  /** A symlink's target. */
  readonly target?: ByteString;
  /** Why it was left out on purpose (disposable, or not asked for): no content then, and nothing below a directory. */
  readonly leftOut?: string;
  /** A directory: true when it holds a mailbox (its entries are in the mailbox, its subdirectories here). */
  readonly mailboxDirectory?: boolean;
  /** Changed within 2 s before the cut: compared by content next time, whatever its stat says. */
  readonly racy: boolean;
}

export type DirectoryRole = "data" | "archive" | "meta";

export interface MailboxDirectory {
  readonly role: DirectoryRole;
  /** Absolute, as on the server. */
  readonly path: ByteString;
  readonly stat: FileStat;
}

/** A file of a mailbox that is no message: cyrus.header, cyrus.index, cyrus.cache, or something unknown. */
export interface MailboxFile {
  /** Position in `directories`. */
  readonly directory: number;
  readonly name: ByteString;
  readonly stat: FileStat;
  readonly fileClass: FileClass;
  readonly content?: Content;
  readonly target?: ByteString;
  /** Why it was left out on purpose: no content then. */
  readonly leftOut?: string;
  readonly racy: boolean;
}

export interface MailboxEntry {
  /**
   * Internal name (`user.anna.Work`), the key of the page tree. A directory with a cyrus.header that no list
   * names and whose header has no name either is kept under `?` followed by its path: no mailbox begins so.
   */
  readonly name: ByteString;
  /** undefined where neither header nor list has one. */
  readonly uniqueid: ByteString | undefined;
  readonly partition: ByteString;
  /** Letters of the mailbox type, as in mailboxes.db of 3.6: `e`, `el`, …. */
  readonly mailboxType: ByteString;
  readonly acl: ByteString;
  readonly quotaRoot: ByteString | undefined;
  /** Whether the mailbox list names it. */
  readonly listed: boolean;
  readonly uidvalidity: number;
  readonly lastUid: number;
  readonly highestModseq: bigint;
  readonly generation: number;
  /** Minor version of cyrus.index, 0 where it could not be read. */
  readonly indexVersion: number;
  /** Message files kept, and their bytes. */
  readonly messages: number;
  readonly bytes: number;
  readonly directories: readonly MailboxDirectory[];
  readonly files: readonly MailboxFile[];
  readonly messagePages: PageTree;
  /** Findings about this mailbox that keep it from being taken over unread next time. */
  readonly openFindings: number;
  /** Something of it changed within 2 s before the cut. */
  readonly racy: boolean;
  /** Of the selection rules and the manifest encoder that made this entry: another value means made anew. */
  readonly rules: number;
}

/** One message file. Key: `uid`. */
export interface MessageEntry {
  readonly uid: number;
  readonly object: ObjectId;
  /** An earlier copy that matches the GUID where the file, as read, does not: what a restore gives. */
  readonly good?: ObjectId;
  /** Position in the mailbox's `directories`: data or archive. */
  readonly directory: number;
  readonly mode: number;
  readonly uidOwner: number;
  readonly gidOwner: number;
  readonly mtimeNs: bigint;
  /**
   * Kept for every message: a copy made later is a hard link to this file, and this mailbox need not have changed
   * when that happens. 0: unknown. Entries with one inode and one object, at least one of them `linked`, are links.
   */
  readonly inode: number;
  /** The file had more than one hard link when it was read. */
  readonly linked: boolean;
  /**
   * Kept only where the message is not plainly what the index says: no record, another size or GUID, or the file
   * missing and an earlier copy kept. Such a message is looked at again by each backup.
   */
  readonly size?: number;
}

export interface RootRecord {
  readonly kind:
    | "config"
    | "partition"
    | "metapartition"
    | "archivepartition"
    | "sieve"
    | "search"
    | "file"
    | "include";
  /** Partition name, or "". */
  readonly name: string;
  /** As on the server. */
  readonly path: ByteString;
}

export interface LeftOut {
  readonly path: string;
  readonly reason: string;
  readonly files: number;
  readonly bytes: number;
}

/** The one file that makes a backup: JSON, sealed. Paths that are text here are for people: `\xNN` for bytes that are no UTF-8. */
export interface ManifestRoot {
  readonly format: 1;
  readonly backup: string;
  readonly parent: string | undefined;
  readonly server: string;
  /** The machine that ran the command. */
  readonly host: string;
  readonly startedMs: number;
  readonly completedMs: number;
  /** When the frozen view was taken as far as we know; files changed in the 2 s before it are racy. */
  readonly cutMs: number;
  readonly view: { readonly kind: string; readonly consistency: string };
  readonly cyrus: { readonly version: string | undefined; readonly layout: Readonly<Record<string, string>> };
  readonly roots: readonly RootRecord[];
  readonly selection: {
    readonly excludeMailboxes: readonly string[];
    readonly includes: readonly string[];
    readonly withoutDerivable: boolean;
    readonly withSearch: boolean;
    /** Messages of more bytes were left out. */
    readonly excludeLarger?: number | undefined;
    /** Messages older than this when the backup was begun were left out. */
    readonly excludeOlderMs?: number | undefined;
    /** Mailboxes with one of these attributes (`\Junk`) were excluded. */
    readonly excludeSpecialUse?: readonly string[] | undefined;
  };
  readonly leftOut: readonly LeftOut[];
  /** Findings that somebody has accepted, `CODE` or `CODE:PATH` (manifest/accept-rules.ts); each backup takes them over from its parent. */
  readonly acceptRules: readonly string[];
  /** Names of the numeric owners that occur, where the server knew one. */
  readonly users: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, string>>;
  readonly mailboxes: PageTree;
  readonly files: PageTree;
  readonly findings: PageTree;
  /** The text mailbox list as that version's `ctl_mboxlist -d` prints it; undefined with a finding. */
  readonly mailboxList: Content | undefined;
  readonly counts: {
    readonly mailboxes: number;
    readonly changed: number;
    readonly unchanged: number;
    readonly new: number;
    readonly gone: number;
    readonly messages: number;
    readonly messagesNew: number;
    readonly messagesRead: number;
    readonly files: number;
    readonly findings: {
      readonly note: number;
      readonly warning: number;
      readonly error: number;
      readonly accepted: number;
    };
  };
  readonly bytes: {
    readonly source: number;
    readonly read: number;
    readonly added: number;
    readonly stored: number;
  };
}
