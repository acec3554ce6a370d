/** What `backup` can be asked for, and what it answers. The answer's shape is the interface of `--json`. */
import type { ByteString } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";
import type { PathMapping } from "../source/view.ts";
import type { Compression } from "../store/codec.ts";

export interface BackupOptions {
  /** undefined: /etc/imapd.conf. */
  readonly config: ByteString | undefined;
  readonly root: ByteString;
  readonly mappings: readonly PathMapping[];
  /** undefined: `servername` of imapd.conf, else the host's name. */
  readonly server: string | undefined;
  readonly includes: readonly ByteString[];
  /** Patterns as in IMAP LIST, on internal names. */
  readonly excludeMailboxes: readonly string[];
  readonly withoutDerivable: boolean;
  readonly withSearch: boolean;
  readonly compression: Compression;
  /** 0: nothing more than needed; 1: every message is read again; 1/30: a thirtieth of the mailboxes, another one each day. */
  readonly scrub: number;
  /** Worker threads; 0: everything in the caller's thread. Or how many for a server of so many mailboxes. */
  readonly threads: number | ((mailboxes: number) => number);
  readonly checkpointMs: number;
  readonly checkpointBytes: number;
  /** What a neighbour asks for. undefined: nothing of the kind. */
  readonly limits?: BackupLimits | undefined;
  readonly filter?: BackupFilter | undefined;
  /** Nothing but this: kept apart from the server's other backups (manifest/list-series.ts). */
  readonly only?: "mailbox-list" | undefined;
  /** Annotations, seen state, subscriptions and quotas also as text. */
  readonly textDumps?: boolean;
}

/** What is left out besides `excludeMailboxes`. */
export interface BackupFilter {
  /** Messages of more bytes. */
  readonly excludeLarger?: number | undefined;
  /** Messages whose internal date is longer ago. */
  readonly excludeOlderMs?: number | undefined;
  /** Mailboxes with one of these attributes: `\\Junk`. */
  readonly excludeSpecialUse?: readonly string[] | undefined;
}

export interface BackupLimits {
  /** What is read of the server's files, in bytes a second. */
  readonly readRate?: number | undefined;
  /** From then on (`Clock.monotonicMs`) no further message is read, and the backup ends with what it has. */
  readonly untilMs?: number | undefined;
  /** So many bytes stay free where the repository lies: the run stops before. */
  readonly freeBytes?: number | undefined;
}

export interface BackupResult {
  readonly backup: string;
  readonly parent: string | undefined;
  readonly server: string;
  readonly timeMs: number;
  readonly mailboxes: {
    readonly total: number;
    readonly changed: number;
    readonly unchanged: number;
    readonly new: number;
    readonly gone: number;
    /** Of those that are not new: they had another name in the parent, and the same uniqueid. */
    readonly renamed: number;
  };
  readonly messages: { readonly total: number; readonly new: number; readonly read: number };
  readonly bytes: {
    readonly source: number;
    readonly read: number;
    readonly added: number;
    readonly stored: number;
  };
  /** As it was asked to: mailboxes of which there is no mail, and messages of others. */
  readonly leftOut: { readonly mailboxes: number; readonly messages: number; readonly bytes: number };
  /** The first 1000. */
  readonly findings: readonly Finding[];
  readonly findingsTotal: number;
  /** An error that nobody has accepted: exit code 3. */
  readonly incomplete: boolean;
  readonly directories: { readonly total: number; readonly listed: number };
  readonly seconds: number;
}
