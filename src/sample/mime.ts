/**
 * Puts a message together from headers and parts and keeps where everything lies: `cyrus.cache` wants to know.
 * Lines end in CRLF.
 */
import { hash } from "node:crypto";

export type Encoding = "7BIT" | "QUOTED-PRINTABLE" | "BASE64";
export type Parameters = readonly (readonly [attribute: string, value: string])[];

export interface Leaf {
  readonly kind: "leaf";
  readonly type: string;
  readonly subtype: string;
  readonly parameters: Parameters;
  readonly encoding: Encoding;
  readonly fileName?: string;
  /** Of a picture that the text shows, with its angle brackets. */
  readonly contentId?: string;
  /** Encoded; a string has a byte in each character. */
  readonly body: Buffer | string;
  /** Undefined: not encoded, so that content and body are the same. */
  readonly decoded: DecodedContent | undefined;
}

export interface DecodedContent {
  readonly bytes: number;
  readonly sha1: Buffer;
}

export interface Multipart {
  readonly kind: "multipart";
  readonly subtype: string;
  readonly boundary: string;
  readonly parts: readonly Part[];
}

export type Part = Leaf | Multipart;

/** A part at its place in the message. Offsets from the message's first byte. */
export interface PlacedPart {
  readonly part: Part;
  readonly headerOffset: number;
  /** The empty line included. */
  readonly headerBytes: number;
  readonly contentOffset: number;
  readonly contentBytes: number;
  readonly contentLines: number;
  /** Of a leaf. */
  readonly decoded: DecodedContent | undefined;
  readonly children: readonly PlacedPart[];
}

export interface Assembled {
  readonly bytes: Buffer;
  readonly root: PlacedPart;
}

/** A header field as written, without its line end; folded lines hold CRLF and a blank. */
export type HeaderLines = readonly string[];

export function textPart(subtype: string, text: string): Leaf {
  const bytes = Buffer.byteLength(text);
  const isAscii = bytes === text.length;
  return {
    kind: "leaf",
    type: "TEXT",
    subtype,
    parameters: [["CHARSET", isAscii ? "us-ascii" : "utf-8"]],
    encoding: isAscii ? "7BIT" : "QUOTED-PRINTABLE",
    body: isAscii ? text : quotedPrintable(text),
    decoded: isAscii ? undefined : { bytes, sha1: hash("sha1", text, "buffer") },
  };
}

/** @param header - the message's own fields, before those that describe its content. */
export function assemble(header: HeaderLines, root: Part): Assembled {
  const writer = new MessageWriter();
  const placed = place(writer, root, [...header, "MIME-Version: 1.0"]);
  const bytes = writer.finish();
  return { bytes, root: looked(placed, bytes) };
}

/** Text is gathered and turned into bytes in few calls: they cost more than the copying. */
class MessageWriter {
  offset = 0;
  #text = "";
  readonly #chunks: Buffer[] = [];

  add(content: Buffer | string): void {
    this.offset += content.length;
    if (typeof content === "string") {
      this.#text += content;
      return;
    }
    this.#chunks.push(Buffer.from(this.#text, "latin1"), content);
    this.#text = "";
  }

  finish(): Buffer {
    const rest = Buffer.from(this.#text, "latin1");
    return this.#chunks.length === 0 ? rest : Buffer.concat([...this.#chunks, rest], this.offset);
  }
}

type Unlooked = Omit<PlacedPart, "contentLines" | "decoded" | "children"> & {
  readonly children: readonly Unlooked[];
};

function place(writer: MessageWriter, part: Part, header: HeaderLines): Unlooked {
  const headerOffset = writer.offset;
  writer.add(`${[...header, ...describe(part)].join("\r\n")}\r\n\r\n`);
  const contentOffset = writer.offset;
  const children: Unlooked[] = [];
  if (part.kind === "leaf") {
    writer.add(part.body);
  } else {
    for (const child of part.parts) {
      writer.add(`--${part.boundary}\r\n`);
      children.push(place(writer, child, []));
      writer.add("\r\n");
    }
    writer.add(`--${part.boundary}--\r\n`);
  }
  return {
    part,
    headerOffset,
    headerBytes: contentOffset - headerOffset,
    contentOffset,
    contentBytes: writer.offset - contentOffset,
    children,
  };
}

/** What only the finished bytes tell. */
function looked(placed: Unlooked, bytes: Buffer): PlacedPart {
  const { part, contentOffset, contentBytes } = placed;
  const content = bytes.subarray(contentOffset, contentOffset + contentBytes);
  const plain = () => ({ bytes: contentBytes, sha1: hash("sha1", content, "buffer") });
  return {
    ...placed,
    contentLines: countLines(content),
    decoded: part.kind === "leaf" ? (part.decoded ?? plain()) : undefined,
    children: placed.children.map((child) => looked(child, bytes)),
  };
}

function describe(part: Part): string[] {
  if (part.kind === "multipart")
    return [`Content-Type: multipart/${part.subtype.toLowerCase()};\r\n boundary="${part.boundary}"`];
  const type = `${part.type}/${part.subtype}`.toLowerCase();
  const parameters = part.parameters.map(
    ([attribute, value]) => `;\r\n ${attribute.toLowerCase()}="${value}"`,
  );
  const lines = [`Content-Type: ${type}${parameters.join("")}`];
  lines.push(`Content-Transfer-Encoding: ${part.encoding.toLowerCase()}`);
  if (part.contentId !== undefined) lines.push(`Content-ID: ${part.contentId}`);
  if (part.fileName !== undefined)
    lines.push(`Content-Disposition: ${dispositionOf(part)};\r\n filename="${part.fileName}"`);
  return lines;
}

export function dispositionOf({ contentId }: Leaf): "attachment" | "inline" {
  return contentId === undefined ? "attachment" : "inline";
}

function countLines(body: Buffer): number {
  let lines = 0;
  for (let at = body.indexOf(0x0a); at >= 0; at = body.indexOf(0x0a, at + 1)) lines++;
  return lines;
}

const QP_LINE = 74;

function quotedPrintable(text: string): string {
  return text
    .split("\r\n")
    .map((line) =>
      /^[ -<>-~]*$/.test(line) && line.length <= QP_LINE && !line.endsWith(" ") ? line : encodeLine(line),
    )
    .join("\r\n");
}

function encodeLine(line: string): string {
  const bytes = Buffer.from(line, "utf8");
  let out = "";
  let column = 0;
  for (const [i, byte] of bytes.entries()) {
    const isLastBlank = byte === 0x20 && i === bytes.length - 1;
    const isPlain = byte < 0x7f && byte >= 0x20 && byte !== 0x3d && !isLastBlank;
    const encoded = isPlain
      ? String.fromCharCode(byte)
      : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    if (column + encoded.length > QP_LINE) {
      out += "=\r\n";
      column = 0;
    }
    out += encoded;
    column += encoded.length;
  }
  return out;
}
