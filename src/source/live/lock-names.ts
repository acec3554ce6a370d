/**
 * Where Cyrus's name locks lie, below `mboxname_lockpath`. A lock's name is hashed as the directory of a mailbox of
 * that name would be. From cyrus-imapd 2.4 to 3.10: imap/mboxname.c (mboxname_lock, mboxname_lockpath), imap/mailbox.c
 * (mailbox_open_advanced), imap/user.c (user_namespacelock_full). Observed on 3.6.1 in both layouts.
 */
import type { ByteString } from "../../base/byte-string.ts";
import { legacyMailboxPath, type PathRules } from "../../cyrus/mailbox-path.ts";

export interface LockedMailbox {
  /** Internal. */
  readonly name: ByteString;
  /** Its directory is named by it; undefined: by the mailbox's name. */
  readonly uuid: ByteString | undefined;
}

export function mailboxLockPath({ name, uuid }: LockedMailbox, rules: PathRules): ByteString {
  return lockPath(uuid ?? name, rules);
}

/**
 * Held shared, it keeps all that changes any mailbox of the user away: since 3.4 whoever opens a mailbox to write has
 * it exclusively, since 3.2 whoever creates, renames or deletes one.
 *
 * @param user - undefined: the lock of everything that is no user's.
 */
export function userLockPath(user: ByteString | undefined, rules: PathRules): ByteString {
  return lockPath(`*U*${(user ?? "").replaceAll(".", "^")}` as ByteString, rules);
}

function lockPath(name: ByteString, rules: PathRules): ByteString {
  return `${legacyMailboxPath(name, rules)}.lock` as ByteString;
}
