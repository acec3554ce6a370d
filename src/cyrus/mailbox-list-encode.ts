/**
 * Writes the records of mailboxes.db as 3.6 does: one by name (`N…`) and, for what is not a tombstone, one by uniqueid
 * (`I…`). From cyrus-imapd 3.6.1, imap/mboxlist.c: mboxlist_entry_dlist; observed on 3.6.1.
 */
import { type ByteString, compareBytes, fromText, toBytes } from "../base/byte-string.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { type Dlist, type DlistEntry, printDlist } from "./dlist.ts";
import type { FormerName, MailboxListEntry } from "./mailbox-list-entry.ts";
import { dbnameOf } from "./mailbox-name.ts";

/** Sorted by key. Entries without a uniqueid get no record by uniqueid, as in a list that 3.6 took over from before. */
export function encodeMailboxList(entries: Iterable<MailboxListEntry>): DatabaseRecord[] {
  const records: { readonly key: ByteString; readonly value: Buffer }[] = [];
  for (const entry of entries) {
    const dbname = dbnameOf(entry.name);
    const id = entry.uniqueid;
    const byName = pairs([text("T", entry.mailboxType), text("I", id), ...commonFields(entry)]);
    records.push({ key: `N${dbname}` as ByteString, value: printDlist(byName) });
    if (id === undefined || entry.tombstone) continue;
    const byId = pairs([
      text("T", entry.mailboxType),
      text("N", dbname),
      ...commonFields(entry),
      { key: fromText("H"), value: { kind: "list", items: entry.history.map(formerName) } },
    ]);
    records.push({ key: `I${id}` as ByteString, value: printDlist(byId) });
  }
  records.sort((a, b) => compareBytes(a.key, b.key));
  return records.map(({ key, value }) => ({ key: toBytes(key), value }));
}

function commonFields(entry: MailboxListEntry): (DlistEntry | undefined)[] {
  const acl = entry.acl.map(({ identifier, rights }) => text(identifier, rights));
  return [
    text("P", entry.partition),
    text("S", entry.server),
    number("V", entry.uidvalidity),
    number("C", entry.createdModseq),
    number("F", entry.folderModseq),
    number("M", entry.mtime),
    entry.tombstone ? undefined : { key: fromText("A"), value: pairs(acl) },
  ];
}

function formerName(former: FormerName): Dlist {
  return pairs([
    text("N", dbnameOf(former.name)),
    number("M", former.mtime),
    number("V", former.uidvalidity),
    number("C", former.createdModseq),
    number("F", former.folderModseq),
    text("T", former.mailboxType),
    text("P", former.partition),
  ]);
}

function pairs(entries: readonly (DlistEntry | undefined)[]): Dlist {
  return { kind: "pairs", entries: entries.filter((entry) => entry !== undefined) };
}

function text(key: string, value: ByteString | undefined): DlistEntry | undefined {
  return value === undefined ? undefined : { key: key as ByteString, value: { kind: "string", value } };
}

function number(key: string, value: number | bigint | undefined): DlistEntry | undefined {
  return text(key, value === undefined ? undefined : fromText(String(value)));
}
