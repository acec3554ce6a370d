/**
 * A mailbox list without some of its mailboxes. In 3.6 and newer a mailbox has a record by name (`N…`) and one by
 * uniqueid (`I…`), and with `reverseacls` one for each of whom its ACL names, whose key ends in the name (`$RACL$…`,
 * `A…`): all of them go. From cyrus-imapd 3.6.1, imap/mboxlist.c: mboxlist_name_to_key, mboxlist_id_to_key,
 * mboxlist_racl_key; docs/formats/cyrus-databases.md.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { parseWholeDlist } from "./dlist.ts";
import type { MailboxListStyle } from "./mailbox-list-entry.ts";
import { nameFromDbname } from "./mailbox-name.ts";

/** @param isGone - of internal names. Records that are not understood stay. In the order given. */
export function* withoutMailboxes(
  records: Iterable<DatabaseRecord>,
  style: MailboxListStyle,
  isGone: (name: ByteString) => boolean,
): Generator<DatabaseRecord> {
  for (const record of records) {
    const name = style === "dlist-by-id" ? nameById(record) : nameByName(fromBytes(record.key));
    if (name === undefined || !isGone(name)) yield record;
  }
}

function nameByName(key: ByteString): ByteString | undefined {
  return key.startsWith("$") ? nameOfAcl(key) : key;
}

function nameById({ key, value }: DatabaseRecord): ByteString | undefined {
  const text = fromBytes(key);
  switch (text[0]) {
    case "N":
      return nameFromDbname(text.slice(1) as ByteString);
    case "I":
    case "J":
      return nameIn(value);
    case "A":
    case "$":
      return nameOfAcl(text);
    default:
      return undefined;
  }
}

/** What follows the last `$`: as an internal name or as a dbname. A name may have a `$` of its own: then it stays. */
function nameOfAcl(key: ByteString): ByteString | undefined {
  const name = key.slice(key.lastIndexOf("$") + 1) as ByteString;
  return name === "" ? undefined : /[\x1d\x1f]/.test(name) ? nameFromDbname(name) : name;
}

function nameIn(value: Buffer): ByteString | undefined {
  try {
    const list = parseWholeDlist(value);
    const field = list.kind === "pairs" ? list.entries.find(({ key }) => key === "N")?.value : undefined;
    return field?.kind === "string" ? nameFromDbname(field.value) : undefined;
  } catch (error) {
    if (isCyrvaultError(error)) return undefined;
    throw error;
  }
}
