/**
 * A finding: something wrong or unusual at the source. It does not end the command; it is kept in the manifest,
 * shown, and counted in the exit code until somebody accepts it.
 */
import type { ByteString } from "../base/byte-string.ts";

export type Severity = "note" | "warning" | "error";

/** Stable codes, for scripts and for `findings --accept`. Each is explained in docs/findings.md. */
export const FINDING_CODES = [
  // files of the source
  "file-unreadable",
  "file-vanished",
  "file-changed",
  "special-file",
  "symlink-directory",
  "attributes-not-kept",
  // configuration and layout
  "config-unknown-location",
  "sieve-in-homes",
  // mailboxes
  "mailbox-missing",
  "mailbox-unlisted",
  "mailbox-name-invalid",
  "uniqueid-duplicate",
  "header-missing",
  "header-damaged",
  "index-missing",
  "index-damaged",
  "index-record-damaged",
  "index-uncommitted-records",
  "header-index-mismatch",
  "header-list-mismatch",
  "sync-crc-mismatch",
  "cache-generation-mismatch",
  // messages
  "message-missing",
  "message-unlisted",
  "message-guid-mismatch",
  "message-size-mismatch",
  "guid-absent",
  "not-reached",
  "messages-left-out",
  // databases
  "database-unreadable",
  "database-damaged",
  "mailbox-list-no-text",
  // the view that was read
  "cut-torn",
  "cut-several-moments",
  "cut-uncovered",
  // what the repository held and lost
  "lost-in-repository",
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** As on the server, not below the snapshot. */
  readonly path: ByteString;
  readonly mailbox?: ByteString;
  readonly uid?: number;
  readonly message: string;
  /** When it was first seen, ms since the epoch. */
  readonly sinceMs: number;
  readonly accepted: boolean;
}
