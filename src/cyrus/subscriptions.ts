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

/**
 * Internal names, in the order of the file.
 * @param inbox - the internal name of the user's INBOX: stands for `INBOX` in the newer form.
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: a version that is not known.
 */
export function readSubscriptions(records: Iterable<DatabaseRecord>, inbox: ByteString): ByteString[] {
  const ownDbname = dbnameOf(inbox);
  const names: ByteString[] = [];
  let byDbname = false;
  for (const { key, value } of records) {
    const text = fromBytes(key);
    if (text === VERSION_KEY) {
      if (fromBytes(value) !== "2")
        throw new CyrvaultError("CYRUS_BAD_FORMAT", "subscriptions: the version is not known");
      byDbname = true;
    } else if (!byDbname) {
      names.push(text);
    } else if (text.startsWith("N")) {
      names.push(nameFromDbname(withOwn(text.slice(1), ownDbname)));
    }
  }
  return names;
}

function withOwn(dbname: string, ownDbname: ByteString): ByteString {
  const isOwn = dbname === OWN || dbname.startsWith(`${OWN}\x1f`);
  return (isOwn ? ownDbname + dbname.slice(OWN.length) : dbname) as ByteString;
}
