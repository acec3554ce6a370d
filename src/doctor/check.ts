/** What the doctor says. The codes are stable: docs/doctor.md explains each, and programs branch on them. */

export const CHECK_CODES = [
  "config-other-server",
  "cyrus-running",
  "several-masters",
  "roots-refused",
  "root-unreadable",
  "hole-mount",
  "hole-subvolume",
  "hole-symlink",
  "walk-limited",
  "metapartition-elsewhere",
  "several-filesystems",
  "no-snapshots",
  "snapshot-space",
  "snapshot-space-unknown",
  "open-outside",
  "processes-not-visible",
  "config-unknown-location",
  "sieve-in-homes",
  "search-left-out",
  "sasldb",
  "berkeley-database",
  "database-not-understood",
  "mailbox-list-unreadable",
  "mailbox-list-damaged",
  "duplicate-uniqueid",
  "guids-not-checked",
  "expire-window",
  "expunge-immediate",
  "housekeeping-times",
  "schedule-unreadable",
  "replication",
  "replica",
  "murder",
  "repository-same-disk",
  "repository-space",
  "key-only-here",
] as const;
export type CheckCode = (typeof CHECK_CODES)[number];

/** `ok`: was looked at and is as it should be. `note`: good to know. The other two make the exit code 3. */
export type CheckSeverity = "ok" | "note" | "warning" | "error";

export interface Check {
  readonly code: CheckCode;
  readonly severity: CheckSeverity;
  /** A sentence for people. */
  readonly message: string;
  /** What to do. */
  readonly advice?: string;
  /** As on the server. */
  readonly path?: string;
}
