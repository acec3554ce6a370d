/**
 * A mailbox's `cyrus.header`: who may do what in it, its unique id, the names of its user flags, and since 3.6 its
 * name. Two forms: three lines (up to 3.4), or one dlist (3.6 on). A header can go from the one to the other at any
 * write by a newer Cyrus, so the first byte after the magic text decides, not the server's version.
 *
 * Pure. Facts: cyrus-imapd 1f3a129, imap/mailbox.c, mailbox_read_header(), _parse_header_data(),
 * mailbox_header_data_cstring(); imap/mailbox.h for the magic text.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError, type ErrorContext } from "../base/errors.ts";
import { type Dlist, type DlistEntry, pairText, pairValue, parseDlist, printDlist } from "./dlist.ts";
import { MAX_USER_FLAGS } from "./flags.ts";

export interface MailboxHeader {
  readonly form: "lines" | "dlist";
  /** Internal name. Only in the dlist form. */
  readonly name: ByteString | undefined;
  /** Absent only in very old files: Cyrus then makes one up at a reconstruct. */
  readonly uniqueId: ByteString | undefined;
  /** The letters of the mailbox type; `l` among them means name-based directories. Only in the dlist form. */
  readonly mailboxType: ByteString | undefined;
  /** Newer development versions only. */
  readonly jmapId: ByteString | undefined;
  /** `identifier TAB rights TAB …`, as in the three-line form and in old mailbox lists. Empty: no rights. */
  readonly acl: ByteString;
  readonly quotaRoot: ByteString | undefined;
  /** By slot, at most 128; undefined is a free slot. Ends with the last slot in use. */
  readonly flagNames: readonly (ByteString | undefined)[];
}

export type MailboxHeaderValues = Omit<MailboxHeader, "form">;

const MAGIC = Buffer.from(
  "\xa1\x02\x8b\x0dCyrus mailbox header\n" +
    '"The best thing about this system was that it had lots of goals."\n' +
    "\t--Jim Morris on Andrew\n",
  "latin1",
);

/** Ours, not Cyrus's: 128 names and a long ACL stay far below. */
const MAX_HEADER_FILE_BYTES = 16 * 1024 * 1024;

/** @throws CyrvaultError `CYRUS_BAD_FORMAT`. */
export function parseMailboxHeader(file: Uint8Array): MailboxHeader {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length > MAX_HEADER_FILE_BYTES) throw badFormat("too large", { length: bytes.length });
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw badFormat("does not begin as one");
  return bytes[MAGIC.length] === 0x25 ? parseDlistForm(bytes) : parseLines(bytes);
}

/** The form that 3.6 and later write. Name and unique id must be there. */
export function encodeMailboxHeader(header: MailboxHeaderValues): Buffer {
  const { name, uniqueId } = header;
  if (name === undefined || uniqueId === undefined) throw new RangeError("a name and a unique id are needed");
  const entries: DlistEntry[] = [
    entry("T", text(header.mailboxType ?? ("e" as ByteString))),
    entry("N", text(name)),
    entry("I", text(uniqueId)),
  ];
  if (header.jmapId !== undefined) entries.push(entry("J", text(header.jmapId)));
  if (header.quotaRoot !== undefined) entries.push(entry("Q", text(header.quotaRoot)));
  entries.push(
    entry("A", {
      kind: "pairs",
      entries: aclEntries(header.acl).map(({ identifier, rights }) => ({
        key: identifier,
        value: text(rights),
      })),
    }),
  );
  const flagNames = checkedFlagNames(header.flagNames);
  if (flagNames.length > 0) {
    entries.push(
      entry("U", {
        kind: "list",
        items: flagNames.map((flag) => (flag === undefined ? { kind: "nil" } : text(flag))),
      }),
    );
  }
  return Buffer.concat([MAGIC, printDlist({ kind: "pairs", entries }), Buffer.from("\n")]);
}

/**
 * The three lines that 3.4 and earlier write. A free slot is kept as an empty name between two blanks, as those
 * versions read it; their own writers leave it out, which moves the slots after it.
 */
export function encodeOldMailboxHeader(header: MailboxHeaderValues): Buffer {
  const flagNames = checkedFlagNames(header.flagNames);
  const lines = [
    header.uniqueId === undefined
      ? (header.quotaRoot ?? "")
      : `${header.quotaRoot ?? ""}\t${header.uniqueId}`,
    flagNames.map((flag) => `${flag ?? ""} `).join(""),
    header.acl,
  ];
  for (const line of lines) if (line.includes("\n")) throw new RangeError("a value holds a line end");
  if (lines[0]?.startsWith("%") === true) throw new RangeError("a quota root cannot begin with %");
  return Buffer.concat([MAGIC, Buffer.from(`${lines.join("\n")}\n`, "latin1")]);
}

export interface AclEntry {
  readonly identifier: ByteString;
  readonly rights: ByteString;
}

/** Takes an ACL's text apart. An identifier without rights at the end is dropped, as Cyrus does. */
export function aclEntries(acl: ByteString): AclEntry[] {
  const parts = acl.split("\t") as ByteString[];
  const entries: AclEntry[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [identifier, rights] = [parts[i] as ByteString, parts[i + 1] as ByteString];
    if (identifier !== "") entries.push({ identifier, rights });
  }
  return entries;
}

interface Line {
  readonly bytes: Buffer;
  /** Offset after its line end. */
  readonly next: number;
}

function parseLines(file: Buffer): MailboxHeader {
  const first = lineAt(file, MAGIC.length, "first line");
  const [quotaRoot = "", uniqueId] = fromBytes(first.bytes).split("\t") as ByteString[];
  if (uniqueId === "") throw badFormat("the unique id is empty");
  const flagLine = lineAt(file, first.next, "line of user flags");
  const aclLine = lineAt(file, flagLine.next, "ACL");
  return {
    form: "lines",
    name: undefined,
    uniqueId,
    mailboxType: undefined,
    jmapId: undefined,
    acl: fromBytes(aclLine.bytes),
    quotaRoot: quotaRoot === "" ? undefined : (quotaRoot as ByteString),
    flagNames: trimmed(
      (fromBytes(flagLine.bytes).split(" ", MAX_USER_FLAGS) as ByteString[]).map((name) =>
        name === "" ? undefined : name,
      ),
    ),
  };
}

/** Not cut at the first line end, as Cyrus does: a name that is not ASCII is a literal, which holds one. */
function parseDlistForm(file: Buffer): MailboxHeader {
  const { value: list, end } = parseDlist(file, { what: "cyrus.header", offset: MAGIC.length });
  if (file[end] !== 0x0a) throw badFormat("its list does not end the line", { offset: end });
  if (list.kind !== "pairs") throw badFormat("its list has no keys");
  return {
    form: "dlist",
    name: pairText(list, "N"),
    uniqueId: pairText(list, "I"),
    mailboxType: pairText(list, "T"),
    jmapId: pairText(list, "J"),
    acl: aclText(pairValue(list, "A")),
    quotaRoot: pairText(list, "Q"),
    flagNames: flagSlots(pairValue(list, "U")),
  };
}

function aclText(value: Dlist | undefined): ByteString {
  if (value === undefined || value.kind === "nil") return "" as ByteString;
  if (value.kind !== "pairs") throw badFormat("the ACL is not a list with keys");
  return value.entries
    .map(({ key, value: rights }) => {
      if (rights.kind !== "string") throw badFormat("an ACL entry has no rights");
      return `${key}\t${rights.value}\t`;
    })
    .join("") as ByteString;
}

function flagSlots(value: Dlist | undefined): (ByteString | undefined)[] {
  if (value === undefined || value.kind === "nil") return [];
  if (value.kind !== "list") throw badFormat("the user flags are not a list");
  if (value.items.length > MAX_USER_FLAGS) throw badFormat("too many user flags");
  return trimmed(
    value.items.map((item) => {
      if (item.kind === "nil") return undefined;
      if (item.kind === "string" || item.kind === "flag") return item.value;
      throw badFormat("a user flag is not a name");
    }),
  );
}

function trimmed(names: (ByteString | undefined)[]): (ByteString | undefined)[] {
  let length = names.length;
  while (length > 0 && names[length - 1] === undefined) length--;
  return names.slice(0, length);
}

function checkedFlagNames(names: readonly (ByteString | undefined)[]): (ByteString | undefined)[] {
  const flagNames = trimmed([...names]);
  if (flagNames.length > MAX_USER_FLAGS) throw new RangeError("too many user flags");
  for (const name of flagNames) {
    if (name !== undefined && !/^[^\x00-\x20]+$/.test(name)) throw new RangeError("not a flag's name");
  }
  return flagNames;
}

function lineAt(bytes: Buffer, start: number, what: string): Line {
  const end = bytes.indexOf(0x0a, start);
  if (end < 0) throw badFormat(`cut short in its ${what}`, { length: bytes.length });
  return { bytes: bytes.subarray(start, end), next: end + 1 };
}

function entry(key: string, value: Dlist): DlistEntry {
  return { key: key as ByteString, value };
}

function text(value: ByteString): Dlist {
  return { kind: "string", value };
}

function badFormat(why: string, context: ErrorContext = {}): CyrvaultError {
  return new CyrvaultError("CYRUS_BAD_FORMAT", `cyrus.header: ${why}`, { context });
}
