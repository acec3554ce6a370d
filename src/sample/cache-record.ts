/**
 * One message's record in `cyrus.cache`: ten items, each a 32-bit length, its bytes, and zeros up to a multiple of 4.
 * Facts: cyrus-imapd 3.6.1, imap/message.c, message_write_cache(), message_write_body(), message_write_section();
 * imap/mailbox_header_cache.gperf for the headers that are not kept.
 */
import type { HeaderLines, Parameters, PlacedPart } from "./mime.ts";
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
const KEPT_X_HEADERS = new Set(["x-mailer", "x-priority", "x-spam-score"]);
const ENCODINGS = { "7BIT": 0, "QUOTED-PRINTABLE": 1, BASE64: 2 } as const;
const NO_GUID = Buffer.alloc(20);

/** @param header - every field of the message's own header, the ones that describe its content included. */
export function encodeCacheRecord(envelope: Envelope, header: HeaderLines, root: PlacedPart): Buffer {
  return Buffer.concat([
    item(envelopeText(envelope)),
    item(structureText(root, true)),
    item(structureText(root, false)),
    item(sectionTable(root)),
    item(keptHeaders(header)),
    item(searchAddresses(envelope.from)),
    item(searchAddresses(envelope.to)),
    item(searchAddresses(envelope.cc)),
    item(""),
    item(nstring(envelope.decodedSubject)),
  ]);
}

function item(content: string | Buffer): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  const out = Buffer.alloc(4 + Math.ceil(bytes.length / 4) * 4);
  out.writeUInt32BE(bytes.length, 0);
  bytes.copy(out, 4);
  return out;
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
    "NIL",
    "NIL",
    nstring(part.encoding),
    String(placed.contentBytes),
  ];
  if (part.type === "TEXT") fields.push(String(placed.contentLines));
  if (extended) {
    const disposition =
      part.fileName === undefined ? "NIL" : `("ATTACHMENT" ${parameterList([["FILENAME", part.fileName]])})`;
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
  const bytes = Buffer.from(value, "utf8");
  if (bytes.length < 1024 && /^[^\0\r\n"%\\\x80-\uffff]*$/.test(value)) return `"${value}"`;
  return `{${bytes.length}}\r\n${bytes.toString("latin1")}`;
}

/** Where the sections lie that a client may ask for, and the SHA-1 of each one's decoded content. */
function sectionTable(root: PlacedPart): Buffer {
  const out: Buffer[] = [];
  if (root.children.length === 0) {
    out.push(numbers(2), placeOf(root), withoutCharset(root), placeOf(root), charsetOf(root), numbers(0));
    return Buffer.concat(out);
  }
  out.push(numbers(root.children.length + 1), placeOf(root), withoutCharset(root));
  for (const child of root.children) out.push(placeOf(child), charsetOf(child));
  for (const child of root.children) pushNested(out, child);
  return Buffer.concat(out);
}

function pushNested(out: Buffer[], placed: PlacedPart): void {
  if (placed.children.length === 0) {
    out.push(numbers(0));
    return;
  }
  out.push(numbers(placed.children.length + 1, 0, 0xffff_ffff, 0, 0xffff_ffff), withoutCharset(undefined));
  for (const child of placed.children) out.push(placeOf(child), charsetOf(child));
  for (const child of placed.children) pushNested(out, child);
}

function placeOf(placed: PlacedPart): Buffer {
  return numbers(placed.headerOffset, placed.headerBytes, placed.contentOffset, placed.contentBytes);
}

function withoutCharset(placed: PlacedPart | undefined): Buffer {
  return Buffer.concat([numbers(0xffff), contentGuid(placed)]);
}

function charsetOf(placed: PlacedPart): Buffer {
  const { part } = placed;
  const encoding = part.kind === "leaf" ? ENCODINGS[part.encoding] : 0;
  if (part.kind !== "leaf" || part.type !== "TEXT")
    return Buffer.concat([numbers(encoding), contentGuid(placed)]);
  const charset = part.parameters.find(([attribute]) => attribute === "CHARSET")?.[1] ?? "us-ascii";
  const name = Buffer.alloc((Math.floor(charset.length / 4) + 1) * 4);
  name.write(charset, "latin1");
  return Buffer.concat([numbers(((name.length << 16) | encoding) >>> 0), name, contentGuid(placed)]);
}

function contentGuid(placed: PlacedPart | undefined): Buffer {
  if (placed === undefined || placed.part.kind === "multipart")
    return Buffer.concat([NO_GUID, numbers(0, placed?.contentLines ?? 0)]);
  return Buffer.concat([placed.part.decodedSha1, numbers(placed.part.decodedBytes, placed.contentLines)]);
}

function numbers(...values: readonly number[]): Buffer {
  const out = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) out.writeUInt32BE(value, i * 4);
  return out;
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
