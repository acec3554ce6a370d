/**
 * A user's subscriptions. Up to 3.4 the keys are internal names; since 3.6 a record `1F VER 1F` → `2` comes first and the
 * keys are `N` and a dbname in which the user's own INBOX is `INBOX`. From cyrus-imapd 3.6.1, imap/mboxlist.c
 * (mboxlist_changesub, the upgrade of subscriptions); observed on 3.6.1.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { dbnameOf, nameFromDbname } from "./mailbox-name.ts";

const VERSION_KEY = "\x1fVER\x1f";
const OWN = "INBOX";

/** A record that names no mailbox. */
export function isSubscriptionsVersion(key: Uint8Array): boolean {
  return fromBytes(key) === VERSION_KEY;
}

/**
 * The internal name that a record of a user's subscriptions means; undefined: none.
 * @param byDbname - the version record came before: the newer form.
 * @param inbox - the internal name of the user's INBOX: stands for `INBOX` in the newer form.
 */
export function subscriptionName(
  key: Uint8Array,
  byDbname: boolean,
  inbox: ByteString,
): ByteString | undefined {
  const text = fromBytes(key);
  if (!byDbname) return text;
  return text.startsWith("N") ? nameFromDbname(withOwn(text.slice(1), dbnameOf(inbox))) : undefined;
}

/**
 * Internal names, in the order of the file.
 * @param inbox - the internal name of the user's INBOX: stands for `INBOX` in the newer form.
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: a version that is not known.
 */
export function readSubscriptions(records: Iterable<DatabaseRecord>, inbox: ByteString): ByteString[] {
  const names: ByteString[] = [];
  let byDbname = false;
  for (const { key, value } of records) {
    if (isSubscriptionsVersion(key)) {
      if (fromBytes(value) !== "2")
        throw new CyrvaultError("CYRUS_BAD_FORMAT", "subscriptions: the version is not known");
      byDbname = true;
      continue;
    }
    const name = subscriptionName(key, byDbname, inbox);
    if (name !== undefined) names.push(name);
  }
  return names;
}

function withOwn(dbname: string, ownDbname: ByteString): ByteString {
  const isOwn = dbname === OWN || dbname.startsWith(`${OWN}\x1f`);
  return (isOwn ? ownDbname + dbname.slice(OWN.length) : dbname) as ByteString;
}
