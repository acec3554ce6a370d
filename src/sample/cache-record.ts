/**
 * One message's record in `cyrus.cache`: ten items, each a 32-bit length, its bytes, and zeros up to a multiple of 4.
 * Facts: cyrus-imapd 3.6.1, imap/message.c, message_write_cache(), message_write_body(), message_write_section();
 * imap/mailbox_header_cache.gperf for the headers that are not kept.
 */
import { dispositionOf, type HeaderLines, type Parameters, type PlacedPart } from "./mime.ts";
import { addressOf, type Person } from "./people.ts";

/** The version of this layout that 3.6 notes in each index record. */
export const CACHE_VERSION = 11;

export interface Envelope {
  readonly date: string;
  /** As in the header. */
  readonly subject: string;
  /** Without encoded words. */
  readonly decodedSubject: string;
  readonly from: readonly Person[];
  readonly to: readonly Person[];
  readonly cc: readonly Person[];
  readonly inReplyTo: string | undefined;
  readonly messageId: string;
}

const NOT_KEPT = new Set(
  "bcc cc date from in-reply-to mime-version received return-path subject to dkim-signature message-id".split(
    " ",
  ),
);
const KEPT_X_HEADERS = new Set(["x-cyrus-session-id", "x-mailer", "x-priority", "x-spam-score"]);
const ENCODINGS = { "7BIT": 0, "QUOTED-PRINTABLE": 1, BASE64: 2 } as const;
const NO_GUID = Buffer.alloc(20);

/** @param header - every field of the message's own header, the ones that describe its content included. */
export function encodeCacheRecord(envelope: Envelope, header: HeaderLines, root: PlacedPart): Buffer {
  const sections = new Scratch();
  writeSections(sections, root);
  const items: readonly (string | Buffer)[] = [
    envelopeText(envelope),
    structureText(root, true),
    structureText(root, false),
    sections.bytes,
    keptHeaders(header),
    searchAddresses(envelope.from),
    searchAddresses(envelope.to),
    searchAddresses(envelope.cc),
    "",
    nstring(envelope.decodedSubject),
  ];
  const out = Buffer.alloc(items.reduce((sum, { length }) => sum + 4 + padded(length), 0));
  let at = 0;
  for (const item of items) {
    out.writeUInt32BE(item.length, at);
    if (typeof item === "string") out.write(item, at + 4, "latin1");
    else item.copy(out, at + 4);
    at += 4 + padded(item.length);
  }
  return out;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function envelopeText(envelope: Envelope): string {
  const from = addressList(envelope.from);
  return `(${[
    nstring(envelope.date),
    nstring(envelope.subject),
    from,
    from,
    from,
    addressList(envelope.to),
    addressList(envelope.cc),
    "NIL",
    nstring(envelope.inReplyTo),
    nstring(envelope.messageId),
  ].join(" ")})`;
}

function addressList(people: readonly Person[]): string {
  if (people.length === 0) return "NIL";
  return `(${people.map(({ name, local, domain }) => `(${nstring(name)} NIL ${nstring(local)} ${nstring(domain)})`).join("")})`;
}

function searchAddresses(people: readonly Person[]): string {
  return people.map((person) => `${person.name} <${addressOf(person).toLowerCase()}>`).join(",");
}

function structureText(placed: PlacedPart, extended: boolean): string {
  const { part } = placed;
  if (part.kind === "multipart") {
    const children = placed.children.map((child) => structureText(child, extended)).join("");
    const extension = extended ? ` ${parameterList([["BOUNDARY", part.boundary]])} NIL NIL NIL` : "";
    return `(${children} ${nstring(part.subtype.toUpperCase())}${extension})`;
  }
  const fields = [
    nstring(part.type.toUpperCase()),
    nstring(part.subtype.toUpperCase()),
    parameterList(part.parameters),
    nstring(part.contentId),
    "NIL",
    nstring(part.encoding),
    String(placed.contentBytes),
  ];
  if (part.type === "TEXT") fields.push(String(placed.contentLines));
  if (extended) {
    const disposition =
      part.fileName === undefined
        ? "NIL"
        : `(${nstring(dispositionOf(part).toUpperCase())} ${parameterList([["FILENAME", part.fileName]])})`;
    fields.push("NIL", disposition, "NIL", "NIL");
  }
  return `(${fields.join(" ")})`;
}

function parameterList(parameters: Parameters): string {
  if (parameters.length === 0) return "NIL";
  return `(${parameters.map(([attribute, value]) => `${nstring(attribute)} ${nstring(value)}`).join(" ")})`;
}

function nstring(value: string | undefined): string {
  if (value === undefined) return "NIL";
  if (value.length < 1024 && /^[^\0\r\n"%\\\x80-\uffff]*$/.test(value)) return `"${value}"`;
  const bytes = Buffer.from(value, "utf8");
  return `{${bytes.length}}\r\n${bytes.toString("latin1")}`;
}

/** Bytes of fixed-size values, one after the other. */
class Scratch {
  #buffer = Buffer.alloc(512);
  #length = 0;

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  numbers(...values: readonly number[]): void {
    this.#room(values.length * 4);
    for (const value of values) this.#length = this.#buffer.writeUInt32BE(value, this.#length);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    this.#buffer = Buffer.concat([this.#buffer], (this.#length + bytes) * 2);
  }
}

/** Where the sections lie that a client may ask for, and the SHA-1 of each one's decoded content. */
function writeSections(out: Scratch, root: PlacedPart): void {
  if (root.children.length > 0) {
    out.numbers(root.children.length + 1);
    writePlace(out, root);
    writeWithoutCharset(out, root);
    writeChildren(out, root);
    return;
  }
  out.numbers(2);
  writePlace(out, root);
  writeWithoutCharset(out, root);
  writePlace(out, root);
  writeCharset(out, root);
  out.numbers(0);
}

function writeChildren(out: Scratch, placed: PlacedPart): void {
  for (const child of placed.children) {
    writePlace(out, child);
    writeCharset(out, child);
  }
  for (const child of placed.children) {
    if (child.children.length === 0) {
      out.numbers(0);
      continue;
    }
    out.numbers(child.children.length + 1, 0, 0xffff_ffff, 0, 0xffff_ffff);
    writeWithoutCharset(out, undefined);
    writeChildren(out, child);
  }
}

function writePlace(out: Scratch, placed: PlacedPart): void {
  out.numbers(placed.headerOffset, placed.headerBytes, placed.contentOffset, placed.contentBytes);
}

function writeWithoutCharset(out: Scratch, placed: PlacedPart | undefined): void {
  out.numbers(0xffff);
  writeContent(out, placed);
}

function writeCharset(out: Scratch, placed: PlacedPart): void {
  const { part } = placed;
  const encoding = part.kind === "leaf" ? ENCODINGS[part.encoding] : 0;
  if (part.kind !== "leaf" || part.type !== "TEXT") {
    out.numbers(encoding);
  } else {
    const charset = part.parameters.find(([attribute]) => attribute === "CHARSET")?.[1] ?? "us-ascii";
    const nameBytes = (Math.floor(charset.length / 4) + 1) * 4;
    out.numbers(((nameBytes << 16) | encoding) >>> 0);
    out.raw(Buffer.from(charset.padEnd(nameBytes, "\0"), "latin1"));
  }
  writeContent(out, placed);
}

function writeContent(out: Scratch, placed: PlacedPart | undefined): void {
  out.raw(placed?.decoded?.sha1 ?? NO_GUID);
  out.numbers(placed?.decoded?.bytes ?? 0, placed?.contentLines ?? 0);
}

function keptHeaders(header: HeaderLines): string {
  let kept = "";
  for (const field of header) {
    const name = field.slice(0, field.indexOf(":")).toLowerCase();
    const isKept = name.startsWith("x-") ? KEPT_X_HEADERS.has(name) : !NOT_KEPT.has(name);
    if (isKept) kept += `${field}\r\n`;
  }
  return kept;
}
