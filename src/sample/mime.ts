/**
 * Puts a message together from headers and parts and keeps where everything lies: `cyrus.cache` wants to know.
 * Lines end in CRLF.
 */
import { createHash } from "node:crypto";

export type Encoding = "7BIT" | "QUOTED-PRINTABLE" | "BASE64";
export type Parameters = readonly (readonly [attribute: string, value: string])[];

export interface Leaf {
  readonly kind: "leaf";
  readonly type: string;
  readonly subtype: string;
  readonly parameters: Parameters;
  readonly encoding: Encoding;
  readonly fileName?: string;
  /** Encoded. */
  readonly body: Buffer;
  readonly decodedBytes: number;
  readonly decodedSha1: Buffer;
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
  readonly children: readonly PlacedPart[];
}

export interface Assembled {
  readonly bytes: Buffer;
  readonly root: PlacedPart;
}

/** A header field as written, without its line end; folded lines hold CRLF and a blank. */
export type HeaderLines = readonly string[];

export function textPart(subtype: string, text: string): Leaf {
  const decoded = Buffer.from(text, "utf8");
  const ascii = decoded.length === text.length;
  const body = ascii ? decoded : Buffer.from(quotedPrintable(decoded), "latin1");
  return {
    kind: "leaf",
    type: "TEXT",
    subtype,
    parameters: [["CHARSET", ascii ? "us-ascii" : "utf-8"]],
    encoding: ascii ? "7BIT" : "QUOTED-PRINTABLE",
    body,
    decodedBytes: decoded.length,
    decodedSha1: sha1(decoded),
  };
}

/** @param header - the message's own fields, before those that describe its content. */
export function assemble(header: HeaderLines, root: Part): Assembled {
  const chunks: Buffer[] = [];
  const writer = new ChunkWriter(chunks);
  const placed = place(writer, root, [...header, "MIME-Version: 1.0"]);
  return { bytes: Buffer.concat(chunks, writer.offset), root: placed };
}

class ChunkWriter {
  offset = 0;
  lines = 0;
  readonly #chunks: Buffer[];

  constructor(chunks: Buffer[]) {
    this.#chunks = chunks;
  }

  text(text: string): void {
    this.bytes(Buffer.from(text, "latin1"));
  }

  bytes(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.offset += bytes.length;
    this.lines += countLines(bytes);
  }
}

function place(writer: ChunkWriter, part: Part, header: HeaderLines): PlacedPart {
  const headerOffset = writer.offset;
  writer.text(`${[...header, ...describe(part)].join("\r\n")}\r\n\r\n`);
  const contentOffset = writer.offset;
  const children: PlacedPart[] = [];
  const linesBefore = writer.lines;
  if (part.kind === "leaf") {
    writer.bytes(part.body);
  } else {
    for (const child of part.parts) {
      writer.text(`--${part.boundary}\r\n`);
      const placed = place(writer, child, []);
      children.push(placed);
      writer.text("\r\n");
    }
    writer.text(`--${part.boundary}--\r\n`);
  }
  return {
    part,
    headerOffset,
    headerBytes: contentOffset - headerOffset,
    contentOffset,
    contentBytes: writer.offset - contentOffset,
    contentLines: writer.lines - linesBefore,
    children,
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
  if (part.fileName !== undefined)
    lines.push(`Content-Disposition: attachment;\r\n filename="${part.fileName}"`);
  return lines;
}

function countLines(body: Buffer): number {
  let lines = 0;
  for (let at = body.indexOf(0x0a); at >= 0; at = body.indexOf(0x0a, at + 1)) lines++;
  return lines;
}

const QP_LINE = 74;

function quotedPrintable(bytes: Buffer): string {
  let out = "";
  let column = 0;
  for (const [i, byte] of bytes.entries()) {
    if (byte === 0x0d) continue;
    if (byte === 0x0a) {
      out += "\r\n";
      column = 0;
      continue;
    }
    const endsLine = byte === 0x20 && bytes[i + 1] === 0x0d;
    const plain = byte < 0x7f && byte >= 0x20 && byte !== 0x3d && !endsLine;
    const encoded = plain ? String.fromCharCode(byte) : `=${hexByte(byte)}`;
    if (column + encoded.length > QP_LINE) {
      out += "=\r\n";
      column = 0;
    }
    out += encoded;
    column += encoded.length;
  }
  return out;
}

function hexByte(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}

function sha1(bytes: Uint8Array): Buffer {
  return createHash("sha1").update(bytes).digest();
}
