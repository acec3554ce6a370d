/**
 * Reads the records of mailboxes.db: which mailboxes there are, where, whose.
 *
 * Three styles of records: text (up to 2.4), dlist by name (2.5 to 3.4), and dlist by name and by uniqueid (3.6
 * and newer), where keys begin with the letter of their family. Format: docs/formats/cyrus-databases.md. From
 * cyrus-imapd, imap/mboxlist.c: mboxlist_parse_entry and parseentry_cb (3.6.1), mboxlist_entry_cstring (3.4.4).
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { type Dlist, parseWholeDlist } from "./dlist.ts";
import { nameFromDbname, nameProblem } from "./mailbox-name.ts";
import { normalizeType, typeFromNumber } from "./mailbox-type.ts";

export type MailboxListStyle = "text" | "dlist" | "dlist-by-id";

export interface AclEntry {
  readonly identifier: ByteString;
  readonly rights: ByteString;
}

/** A name that the mailbox had before, as the record by uniqueid keeps it (3.6 and newer). */
export interface FormerName {
  readonly name: ByteString;
  readonly mailboxType: ByteString;
  readonly partition?: ByteString;
  /** Seconds since the epoch: when it ceased to have that name. */
  readonly mtime?: number;
  readonly uidvalidity?: number;
  readonly createdModseq?: bigint;
  readonly folderModseq?: bigint;
}

export interface MailboxListEntry {
  readonly name: ByteString;
  /** As letters in the order of 3.6, whatever the style: `e`, `el`, `ed`, …. */
  readonly mailboxType: ByteString;
  readonly acl: readonly AclEntry[];
  /** The ACL as it stands in a text record, where `acl` does not give it back exactly. */
  readonly aclText?: ByteString;
  readonly uniqueid?: ByteString;
  readonly partition?: ByteString;
  readonly server?: ByteString;
  readonly uidvalidity?: number;
  readonly createdModseq?: bigint;
  readonly folderModseq?: bigint;
  /** Seconds since the epoch. */
  readonly mtime?: number;
  readonly legacySpecialUse?: ByteString;
  /** 3.13 and newer. */
  readonly jmapId?: ByteString;
  /** Its files lie by name, not by uniqueid. True for every mailbox up to 3.4. */
  readonly legacyDirectories: boolean;
  /** On another server of a Murder: no files here. */
  readonly remote: boolean;
  /** A name that was deleted or renamed away: no files under it. */
  readonly tombstone: boolean;
  /** A name that only has children. */
  readonly intermediate: boolean;
  /** Caught while being made: `ctl_cyrusdb -r` will delete it. */
  readonly reserved: boolean;
  /** Newest last; empty where there is none. */
  readonly history: readonly FormerName[];
}

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
  if (value.length > VALUE_BYTES_MAX) throw bad("it is too long");
  const name = fromBytes(key);
  return value[0] === 0x25 ? parseDlistEntry(name, value, true, []) : parseTextEntry(name, fromBytes(value));
}

function parseById(key: Buffer, value: Buffer, histories: ReadonlyMap<ByteString, Buffer>): MailboxListEntry {
  if (value.length > VALUE_BYTES_MAX) throw bad("it is too long");
  const name = nameFromDbname(fromBytes(key.subarray(1)));
  const entry = parseDlistEntry(name, value, false, []);
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

function parseHistory(value: Buffer): FormerName[] {
  const list = parseWholeDlist(value, { what: "the record by uniqueid" });
  const history = list.kind === "pairs" ? list.entries.find(({ key }) => key === "H")?.value : undefined;
  if (history?.kind !== "list") return [];
  return history.items.map((item) => {
    const fields = new Fields(item);
    const dbname = fields.text("N");
    if (dbname === undefined) throw bad("a former name is missing");
    return withoutUndefined({
      name: nameFromDbname(dbname),
      mailboxType: fields.type(),
      partition: fields.text("P"),
      ...fields.numbers(),
    });
  });
}

function parseDlistEntry(
  name: ByteString,
  value: Buffer,
  alwaysLegacy: boolean,
  history: readonly FormerName[],
): MailboxListEntry {
  const usual = parseUsualRecord(name, value, alwaysLegacy, history);
  if (usual !== undefined) return usual;
  const fields = new Fields(parseWholeDlist(value, { what: "the record" }));
  const mailboxType = fields.type();
  const server = fields.text("S");
  return withoutUndefined({
    name,
    mailboxType,
    acl: fields.acl(),
    uniqueid: fields.text("I"),
    partition: fields.text("P"),
    server,
    ...fields.numbers(),
    jmapId: fields.text("J"),
    ...stateOf(mailboxType, server, alwaysLegacy),
    history,
  });
}

/**
 * What nearly every record of 3.6 looks like: nothing quoted, no server. Read in one go, several times as fast as by way
 * of its list; whatever is not exactly so is left to that way.
 */
function parseUsualRecord(
  name: ByteString,
  value: Buffer,
  alwaysLegacy: boolean,
  history: readonly FormerName[],
): MailboxListEntry | undefined {
  const match = USUAL_RECORD.exec(value.toString("latin1"));
  if (match === null || match[0].includes("NIL")) return undefined;
  const [, letters = "", uniqueid = "", partition = "", uidvalidity, created, folder, mtime, rights] = match;
  const mailboxType = normalizeType(letters);
  if (mailboxType === undefined) return undefined;
  const acl = usualAcl(rights ?? "");
  const idStart = "%(T ".length + letters.length + " I ".length;
  return {
    name,
    mailboxType,
    acl,
    // Kept for long, and not to keep the whole record with it.
    uniqueid: value.toString("latin1", idStart, idStart + uniqueid.length) as ByteString,
    partition: partition as ByteString,
    uidvalidity: Number(uidvalidity),
    createdModseq: BigInt(created as string),
    folderModseq: BigInt(folder as string),
    mtime: Number(mtime),
    legacyDirectories: alwaysLegacy || mailboxType.includes("l"),
    remote: mailboxType.includes("r"),
    tombstone: mailboxType.includes("d"),
    intermediate: mailboxType.includes("i"),
    reserved: mailboxType.includes("z"),
    history,
  };
}

let lastAcl: { readonly text: string; readonly acl: readonly AclEntry[] } = { text: "", acl: [] };

/** Neighbours are mostly one user's mailboxes, with one ACL. */
function usualAcl(text: string): readonly AclEntry[] {
  if (text === lastAcl.text) return lastAcl.acl;
  const words = text === "" ? [] : (text.split(" ") as ByteString[]);
  const acl: AclEntry[] = [];
  for (let i = 0; i < words.length; i += 2)
    acl.push({ identifier: words[i] as ByteString, rights: words[i + 1] as ByteString });
  lastAcl = { text, acl };
  return acl;
}

/** Atoms of characters that mean nothing in any place; numbers that are exact as a double. */
const ATOM = "[!#$&'+,\\-./0-9:;<=>?@A-Z[\\]^_`a-z|}~]+";
const NUMBER = "(\\d{1,15})";
const USUAL_RECORD = new RegExp(
  `^%\\(T ([a-z]{1,15}) I (${ATOM}) P (${ATOM}) V ${NUMBER} C ${NUMBER} F ${NUMBER} M ${NUMBER}(?: A %\\(((?:${ATOM} ${ATOM}(?: ${ATOM} ${ATOM})*)?)\\))?\\)$`,
);

/** `0 default fred TAB lrs TAB`, with `server!` before the partition, or `(uniqueid … specialuse …) ` before it all. */
function parseTextEntry(name: ByteString, text: ByteString): MailboxListEntry {
  const match = /^(?:\(([^()]*)\) ?)?(\d{1,9}) (?:([^ !]*)!)?([^ ]*) (.*)$/s.exec(text);
  if (match === null) throw bad("it is neither a list nor `type partition acl`");
  const [, extended = "", number = "", server, partition = "", aclText = ""] = match;
  const mailboxType = typeFromNumber(Number(number));
  if (mailboxType === undefined) throw bad(`its type ${number} is not known`);
  const words = extended.split(" ");
  const extra = (key: string): ByteString | undefined => {
    const at = words.findIndex((word, index) => index % 2 === 0 && word === key);
    return at < 0 ? undefined : (words[at + 1] as ByteString | undefined);
  };
  const acl = splitAcl(aclText as ByteString);
  return withoutUndefined({
    name,
    mailboxType,
    acl,
    aclText: joinAcl(acl) === aclText ? undefined : (aclText as ByteString),
    uniqueid: extra("uniqueid"),
    partition: partition as ByteString,
    server: server as ByteString | undefined,
    legacySpecialUse: extra("specialuse"),
    ...stateOf(mailboxType, server as ByteString | undefined, true),
    history: [],
  });
}

function stateOf(type: ByteString, server: ByteString | undefined, alwaysLegacy: boolean) {
  return {
    legacyDirectories: alwaysLegacy || type.includes("l"),
    remote: server !== undefined || type.includes("r"),
    tombstone: type.includes("d"),
    intermediate: type.includes("i"),
    reserved: type.includes("z"),
  };
}

/** `id TAB rights TAB id TAB rights TAB`. A last identifier without rights is left out. */
export function splitAcl(text: ByteString): AclEntry[] {
  const words = text.split("\t") as ByteString[];
  const acl: AclEntry[] = [];
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [identifier, rights] = [words[i] as ByteString, words[i + 1] as ByteString];
    if (identifier !== "" || rights !== "") acl.push({ identifier, rights });
  }
  return acl;
}

export function joinAcl(acl: readonly AclEntry[]): ByteString {
  return acl.map(({ identifier, rights }) => `${identifier}\t${rights}\t`).join("") as ByteString;
}

/** The fields of a dlist record, each checked when it is asked for. */
class Fields {
  readonly #values = new Map<string, Dlist>();

  constructor(list: Dlist) {
    if (list.kind !== "pairs") throw bad("it is not a list of keys and values");
    for (const { key, value } of list.entries) this.#values.set(key, value);
  }

  text(key: string): ByteString | undefined {
    const value = this.#values.get(key);
    if (value === undefined || value.kind === "nil") return undefined;
    if (value.kind !== "string") throw bad(`its field ${key} is not text`);
    return value.value;
  }

  type(): ByteString {
    const letters = this.text("T") ?? "";
    const type = normalizeType(letters);
    if (type === undefined) throw bad(`its type ${letters} is not known`);
    return type;
  }

  numbers() {
    return {
      uidvalidity: this.#small("V"),
      createdModseq: this.#big("C"),
      folderModseq: this.#big("F"),
      mtime: this.#small("M"),
    };
  }

  acl(): AclEntry[] {
    const value = this.#values.get("A");
    if (value === undefined || value.kind === "nil") return [];
    if (value.kind === "list" && value.items.length === 0) return [];
    if (value.kind !== "pairs") throw bad("its ACL is not a list of keys and values");
    return value.entries.map(({ key, value: rights }) => {
      if (rights.kind !== "string") throw bad("its ACL has rights that are no text");
      return { identifier: key, rights: rights.value };
    });
  }

  #big(key: string): bigint | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    if (!/^\d{1,20}$/.test(text)) throw bad(`its field ${key} is not a number`);
    return BigInt(text);
  }

  #small(key: string): number | undefined {
    const value = this.#big(key);
    if (value !== undefined && value > BigInt(Number.MAX_SAFE_INTEGER))
      throw bad(`its field ${key} is too large`);
    return value === undefined ? undefined : Number(value);
  }
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function withoutUndefined<T extends object>(value: T): Defined<T> {
  const defined: Partial<T> = {};
  for (const key of Object.keys(value) as (keyof T)[])
    if (value[key] !== undefined) defined[key] = value[key];
  return defined as unknown as Defined<T>;
}

function bad(why: string): CyrvaultError {
  return new CyrvaultError("CYRUS_BAD_FORMAT", why);
}
