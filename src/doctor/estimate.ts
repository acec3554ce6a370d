/** How long a first backup and a restore may take, and what is stored: from counts alone, so within a wide range. */
import type { Census } from "./mailbox-census.ts";

export interface Range {
  readonly low: number;
  readonly high: number;
}

export interface Estimate {
  readonly mailboxes: number;
  readonly messages: number;
  readonly bytes: number;
  /** Mailboxes whose index was opened: the rest is inferred. */
  readonly sampledMailboxes: number;
  readonly storedBytes: Range;
  readonly firstBackupSeconds: Range;
  readonly restoreSeconds: Range;
  readonly assumptions: readonly string[];
}

/** docs/decisions/0010, idle machine: 2.7 GB in 44 s. */
const BACKUP_BYTES_PER_SECOND = 61e6;
/** docs/decisions/0012, the same mail: 27 to 32 s. */
const RESTORE_BYTES_PER_SECOND = 90e6;
/** Not measured: one access to a disk that turns. */
const SECONDS_PER_FILE = 0.005;
/** docs/decisions/0010 and 0012: 616 MB of 2.7 GB, 190 of 724, generated mail in which attachments repeat. The upper end is a guess for mail in which nothing does. */
const STORED = { low: 0.23, high: 0.8 };

/** @returns undefined where nothing is known. */
export function estimateFrom({ mailboxes, sampled, messages, bytes }: Census): Estimate | undefined {
  if (sampled === 0) return undefined;
  const range = (rate: number): Range => {
    const low = Math.ceil(bytes / rate);
    return { low, high: low + Math.ceil(messages * SECONDS_PER_FILE) };
  };
  return {
    mailboxes,
    messages,
    bytes,
    sampledMailboxes: sampled,
    storedBytes: { low: Math.round(bytes * STORED.low), high: Math.round(bytes * STORED.high) },
    firstBackupSeconds: range(BACKUP_BYTES_PER_SECOND),
    restoreSeconds: range(RESTORE_BYTES_PER_SECOND),
    assumptions: [
      "messages and bytes as cyrus.index counts them; expunged ones that still have files are taken to be as large as the others",
      "two cores; 61 MB/s of backup and 90 MB/s of restore, as measured in memory on generated mail",
      "the upper ends add 5 ms for each message: one access of a disk that turns",
      "0.23 of the bytes stored where attachments repeat, 0.8 where nothing does; `cyrvault analyze` measures it",
    ],
  };
}
