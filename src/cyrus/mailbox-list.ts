/**
 * Reads the records of mailboxes.db: which mailboxes there are, where, whose.
 *
 * Three styles of records: text (up to 2.4), dlist by name (2.5 to 3.4), and dlist by name and by uniqueid (3.6
 * and newer), where keys begin with the letter of their family. Format: docs/formats/cyrus-databases.md. From
 * cyrus-imapd, imap/mboxlist.c: mboxlist_parse_entry and parseentry_cb (3.6.1), mboxlist_entry_cstring (3.4.4).
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { parseWholeDlist } from "./dlist.ts";
import { parseDlistRecord, parseHistory } from "./mailbox-list-dlist-record.ts";
import { badRecord, type MailboxListEntry, type MailboxListStyle } from "./mailbox-list-entry.ts";
import { parseTextRecord } from "./mailbox-list-text-record.ts";
import { nameFromDbname, nameProblem } from "./mailbox-name.ts";

export type MailboxListItem =
  | { readonly kind: "entry"; readonly entry: MailboxListEntry }
  /** A record that does not say what it should. Reading goes on. */
  | { readonly kind: "bad"; readonly key: ByteString; readonly reason: string };

/** A server with more to a mailbox than this is not one. */
const VALUE_BYTES_MAX = 1 << 20;
const FAMILY_NAME = 0x4e;
const FAMILY_ID = 0x49;
/** I, A, J and $. */
const OTHER_FAMILIES: ReadonlySet<number> = new Set([FAMILY_ID, 0x41, 0x4a, 0x24]);

/**
 * Looks at as few records as it takes: one record by uniqueid settles it.
 * An empty list is `dlist-by-id`, the style of today.
 */
export function mailboxListStyle(records: Iterable<DatabaseRecord>): MailboxListStyle {
  let byName: MailboxListStyle | undefined;
  let everyKeyInFamily = true;
  for (const { key, value } of records) {
    if (key[0] === 0x24) continue;
    const isDlist = value[0] === 0x25;
    if (isDlist && key[0] === FAMILY_ID && namesAMailbox(value)) return "dlist-by-id";
    everyKeyInFamily &&= isDlist && /^[NIAJ]/.test(String.fromCharCode(key[0] ?? 0));
    byName ??= isDlist ? "dlist" : "text";
    if (byName === "text") return "text";
  }
  return byName === undefined || everyKeyInFamily ? "dlist-by-id" : byName;
}

/** Only records by uniqueid have a field N. */
function namesAMailbox(value: Buffer): boolean {
  try {
    const list = parseWholeDlist(value);
    return list.kind === "pairs" && list.entries.some((entry) => entry.key === "N");
  } catch (error) {
    if (isCyrvaultError(error)) return false;
    throw error;
  }
}

/**
 * One item a mailbox, in the order of the database. Holds nothing but the histories of renamed mailboxes, however
 * long the list is.
 *
 * @param records - iterated twice unless `style` is given.
 */
export function* readMailboxList(
  records: Iterable<DatabaseRecord>,
  style: MailboxListStyle = mailboxListStyle(records),
): Generator<MailboxListItem> {
  const histories = new Map<ByteString, Buffer>();
  for (const { key, value } of records) {
    if (style === "dlist-by-id") {
      if (key[0] === FAMILY_ID) rememberHistory(histories, key, value);
      if (key[0] === FAMILY_NAME) yield itemOf(key, () => parseById(key, value, histories));
      else if (!OTHER_FAMILIES.has(key[0] ?? 0))
        yield { kind: "bad", key: fromBytes(key), reason: "its key is of no known family" };
    } else if (key[0] !== 0x24) {
      yield itemOf(key, () => parseByName(key, value));
    }
  }
}

function itemOf(key: Buffer, parse: () => MailboxListEntry): MailboxListItem {
  try {
    const entry = parse();
    const problem = nameProblem(entry.name);
    if (problem === undefined) return { kind: "entry", entry };
    return { kind: "bad", key: fromBytes(key), reason: `the name is refused: ${problem}` };
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return { kind: "bad", key: fromBytes(key), reason: error.message };
  }
}

function parseByName(key: Buffer, value: Buffer): MailboxListEntry {
  if (value.length > VALUE_BYTES_MAX) throw badRecord("it is too long");
  const name = fromBytes(key);
  return value[0] === 0x25
    ? parseDlistRecord(name, value, true, [])
    : parseTextRecord(name, fromBytes(value));
}

function parseById(key: Buffer, value: Buffer, histories: ReadonlyMap<ByteString, Buffer>): MailboxListEntry {
  if (value.length > VALUE_BYTES_MAX) throw badRecord("it is too long");
  const name = nameFromDbname(fromBytes(key.subarray(1)));
  const entry = parseDlistRecord(name, value, false, []);
  const kept = entry.uniqueid === undefined || entry.tombstone ? undefined : histories.get(entry.uniqueid);
  return kept === undefined ? entry : { ...entry, history: parseHistory(kept) };
}

/** Records by uniqueid sort before those by name. Most have no history and are not kept. */
function rememberHistory(histories: Map<ByteString, Buffer>, key: Buffer, value: Buffer): void {
  if (value.length > VALUE_BYTES_MAX || endsWith(value, NO_HISTORY)) return;
  if (value.includes(HISTORY)) histories.set(fromBytes(key.subarray(1)), value);
}

function endsWith(value: Buffer, end: Buffer): boolean {
  return value.length >= end.length && value.compare(end, 0, end.length, value.length - end.length) === 0;
}

const NO_HISTORY = Buffer.from(" H ())");
const HISTORY = Buffer.from(" H (");
