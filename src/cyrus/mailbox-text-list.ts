/**
 * Prints a mailbox list as `ctl_mboxlist -d` of a version prints it, so that the `ctl_mboxlist -u` of that version takes it.
 *
 * From cyrus-imapd, imap/ctl_mboxlist.c, dump_cb: 2.1.18, 2.2.13, 2.3.16, 2.4.17, 2.5.0, 3.0.0, 3.4.4, 3.6.1, 1f3a129.
 * The form of 3.6 was compared byte for byte with the output of 3.6.1.
 */
import { isUtf8 } from "node:buffer";
import { type ByteString, toBytes } from "../base/byte-string.ts";
import { joinAcl, type MailboxListEntry, type MailboxListStyle } from "./mailbox-list-entry.ts";
import { typeNumber } from "./mailbox-type.ts";

/**
 * Named for the last version of each family.
 * `2.2` name, partition, ACL · `2.4` with the type, server as in the record · `2.5` server only of remote ones
 * · `3.4` server wherever there is one · `3.6` JSON (to 3.12) · `3.13` JSON with jmapId
 */
export type TextListFamily = "2.2" | "2.4" | "2.5" | "3.4" | "3.6" | "3.13";

export interface TextListOptions {
  /** `-y`: names that only have children. Default false. */
  readonly intermediate?: boolean;
}

const CHUNK_CHARS = 64 * 1024;

/** Whether an entry has what only the newer one of the two families with records of this style writes. */
export function isOfNewerFamily(style: MailboxListStyle, entry: MailboxListEntry): boolean {
  if (style === "text") return false;
  return style === "dlist" ? entry.createdModseq !== undefined : entry.jmapId !== undefined;
}

/**
 * The family whose records these are, as far as records tell; an installed Cyrus that says its version knows better.
 * @param newer - `isOfNewerFamily` of some entry.
 */
export function familyOf(style: MailboxListStyle, newer: boolean): TextListFamily {
  if (style === "text") return "2.4";
  const [before, since] = style === "dlist" ? (["2.5", "3.4"] as const) : (["3.6", "3.13"] as const);
  return newer ? since : before;
}

/** @param version - `3.6.1`, `2.4.17-fastmail`. Undefined for what is no version of Cyrus with a mailbox list. */
export function versionFamily(version: string): TextListFamily | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})/.exec(version);
  if (match === null) return undefined;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major === 2) return minor <= 2 ? "2.2" : minor <= 4 ? "2.4" : "2.5";
  if (major !== 3) return undefined;
  return minor <= 4 ? "3.4" : minor < 13 ? "3.6" : "3.13";
}

/** The list in pieces of about 64 KiB, in the order of `entries`. */
export function* printTextList(
  entries: Iterable<MailboxListEntry>,
  family: TextListFamily,
  options: TextListOptions = {},
): Generator<Buffer> {
  const json = family === "3.6" || family === "3.13";
  let pending = json ? "{\n" : "";
  let separator = "";
  for (const entry of entries) {
    if (entry.intermediate && options.intermediate !== true) continue;
    if (json) {
      pending += separator + jsonLine(entry, family === "3.13");
      separator = ",\n";
    } else pending += `${textLine(entry, family)}\n`;
    if (pending.length < CHUNK_CHARS) continue;
    yield Buffer.from(pending, "latin1");
    pending = "";
  }
  if (json) pending += "\n}\n";
  if (pending !== "") yield Buffer.from(pending, "latin1");
}

function textLine(entry: MailboxListEntry, family: TextListFamily): string {
  const acl = entry.aclText ?? joinAcl(entry.acl);
  // What the C library prints for a partition that is not there: tombstones have none.
  const partition = entry.partition ?? "(null)";
  const showsServer = family === "2.5" ? entry.mailboxType.includes("r") : true;
  const place = entry.server !== undefined && showsServer ? `${entry.server}!${partition}` : partition;
  return family === "2.2"
    ? `${entry.name}\t${place}\t${acl}`
    : `${entry.name}\t${typeNumber(entry.mailboxType)} ${place} ${acl}`;
}

/**
 * One line `"name": {…}`. A string that is not UTF-8 is left out with its key, as the JSON library of Cyrus does; a
 * mailbox whose name is not UTF-8 is an empty line. The history is always empty: the dump walks records by name.
 */
function jsonLine(entry: MailboxListEntry, withJmapId: boolean): string {
  const key = jsonString(entry.name);
  if (key === undefined) return "";
  const fields = [
    ["name", key],
    ["mtime", quoted(entry.mtime)],
    ["uidvalidity", quoted(entry.uidvalidity)],
    ["createdmodseq", quoted(entry.createdModseq)],
    ["foldermodseq", quoted(entry.folderModseq)],
    ["mbtype", jsonString(entry.mailboxType)],
    ["partition", jsonString(entry.partition)],
    ["server", jsonString(entry.server)],
    ["acl", jsonAcl(entry)],
    ["uniqueid", jsonString(entry.uniqueid)],
    ["jmapId", withJmapId ? jsonString(entry.jmapId) : undefined],
    ["legacy_specialuse", jsonString(entry.legacySpecialUse)],
    ["name_history", "[]"],
  ];
  const present = fields.filter(([, value]) => value !== undefined);
  return `${key}: {${present.map(([name, value]) => `"${name}": ${value}`).join(", ")}}`;
}

/** A repeated identifier keeps its place and takes the last rights. */
function jsonAcl(entry: MailboxListEntry): string {
  const byIdentifier = new Map<string, string>();
  for (const { identifier, rights } of entry.acl) {
    const [key, value] = [jsonString(identifier), jsonString(rights)];
    if (key !== undefined && value !== undefined) byIdentifier.set(key, value);
  }
  return `{${[...byIdentifier].map(([key, value]) => `${key}: ${value}`).join(", ")}}`;
}

function quoted(value: number | bigint | undefined): string {
  return `"${value ?? 0}"`;
}

/** Bytes beyond ASCII stay as they are: the result is bytes too. */
function jsonString(value: ByteString | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (/^[\x20\x21\x23-\x5b\x5d-\x7f]*$/.test(value)) return `"${value}"`;
  if (!isUtf8(toBytes(value))) return undefined;
  return `"${value.replace(/["\\\x00-\x1f]/g, escapeJson)}"`;
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function escapeJson(char: string): string {
  const code = char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return SHORT_ESCAPES[char] ?? `\\u${code}`;
}
