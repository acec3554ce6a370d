/**
 * The unchanged rule: when a mailbox's record may be taken over from the parent backup without opening anything.
 * Pure. Every clause is here because without it a change could go unnoticed; each has its test.
 */
import type { ByteString } from "../base/byte-string.ts";
import type { FileStat, MailboxEntry, MailboxFile } from "../manifest/model.ts";
import { sameStat } from "../source/read-file.ts";

export interface MailboxNow {
  /** From the mailbox list; undefined where the list does not say. */
  readonly uniqueid: ByteString | undefined;
  readonly uidvalidity: number | undefined;
  /** Of the selection rules and the manifest encoder. */
  readonly rules: number;
  readonly directories: readonly { readonly path: ByteString; readonly stat: FileStat }[];
  /** lstat of each file that the parent recorded, asked for when the rest is as it was; undefined where there is none now. */
  readonly files: readonly (FileStat | undefined)[];
  /** A reading of everything was asked for (`--scrub`). */
  readonly scrub: boolean;
}

/** @returns why the mailbox must be read, undefined when nothing has changed. */
export function whyChanged(before: MailboxEntry, now: MailboxNow): string | undefined {
  if (now.scrub) return "scrub";
  if (before.rules !== now.rules) return "other rules";
  if (before.openFindings > 0) return "an open finding";
  if (before.racy) return "changed just before the last cut";
  if (now.uniqueid !== undefined && now.uniqueid !== before.uniqueid) return "another uniqueid";
  if (now.uidvalidity !== undefined && now.uidvalidity !== before.uidvalidity) return "another uidvalidity";
  if (before.directories.length !== now.directories.length) return "other directories";
  for (let position = 0; position < now.directories.length; position++) {
    const then = before.directories[position];
    const directory = now.directories[position];
    if (then === undefined || directory === undefined || then.path !== directory.path) return "another place";
    if (!sameStat(then.stat, directory.stat)) return "a directory has changed";
  }
  // Once: each time it is asked for costs a look at every file.
  const { files } = now;
  for (let position = 0; position < before.files.length; position++) {
    const then = before.files[position] as MailboxFile;
    const stat = files[position];
    if (then.racy) return "a file changed just before the last cut";
    // What is left out (a search index) may change as it likes.
    if (then.leftOut !== undefined) continue;
    if (stat === undefined || !sameStat(then.stat, stat)) return "a file has changed";
  }
  return undefined;
}
