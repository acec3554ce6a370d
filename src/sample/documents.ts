/**
 * The documents that circulate as attachments. A document is a number: its content follows from it and the server's
 * seed, so that a million attachments take no memory.
 */
import { createHash } from "node:crypto";
import { COMPRESSIBLE_SHARE, DOCUMENT_SIZES, LOGO_BYTES, PICTURE_BYTES } from "./calibration.ts";
import { isLogo, isPicture } from "./circulating.ts";
import { Random } from "./random.ts";
import { makePhrase, pickWord } from "./words.ts";

export interface SampleDocument {
  readonly fileName: string;
  readonly type: string;
  readonly subtype: string;
  readonly content: Buffer;
  readonly sha1: Buffer;
}

const CACHE_BYTES = 48 << 20;
const BASE64_LINE = 76;

const CLOSED_KINDS = [
  ["application", "pdf", "pdf", "%PDF-1.7\n"],
  ["image", "jpeg", "jpg", "\xff\xd8\xff\xe0"],
  ["application", "zip", "zip", "PK\x03\x04"],
  ["application", "vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", "PK\x03\x04"],
] as const;
const OPEN_KINDS = [
  ["text", "csv", "csv"],
  ["application", "msword", "doc"],
  ["application", "xml", "xml"],
] as const;

const SIZE_TOTAL = DOCUMENT_SIZES.reduce((sum, [, count]) => sum + count, 0);

/** Mean bytes of a document, decoded, before `scale`. */
export const DOCUMENT_BYTES_MEAN =
  DOCUMENT_SIZES.reduce((sum, [bytes, count]) => sum + (bytes / Math.LN2) * count, 0) / SIZE_TOTAL;

export class DocumentPool {
  readonly #seed: number;
  readonly #scale: number;
  readonly #recent = new Map<number, SampleDocument>();
  #recentBytes = 0;

  /** @param scale - makes every document so many times as large. */
  constructor(seed: number, scale: number) {
    this.#seed = seed;
    this.#scale = scale;
  }

  get(number: number): SampleDocument {
    const known = this.#recent.get(number);
    if (known !== undefined) return known;
    const random = new Random(this.#seed, 0xd0c, number);
    const document = isPicture(number)
      ? makePicture(random, isLogo(number), this.#scale)
      : makeDocument(random, this.#scale);
    this.#recent.set(number, document);
    this.#recentBytes += document.content.length;
    for (const [oldest, { content }] of this.#recent) {
      if (this.#recentBytes <= CACHE_BYTES || oldest === number) break;
      this.#recent.delete(oldest);
      this.#recentBytes -= content.length;
    }
    return document;
  }
}

/** Lines of `lineCharacters` that end in CRLF, all but the last one. */
export function wrappedBase64(content: Uint8Array, lineCharacters = BASE64_LINE): Buffer {
  const flat = Buffer.from(
    Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("base64"),
    "latin1",
  );
  const lines = Math.max(1, Math.ceil(flat.length / lineCharacters));
  const out = Buffer.alloc(flat.length + (lines - 1) * 2);
  let at = 0;
  for (let start = 0; start < flat.length; start += lineCharacters) {
    if (start > 0) {
      out[at++] = 0x0d;
      out[at++] = 0x0a;
    }
    at += flat.copy(out, at, start, start + lineCharacters);
  }
  return out;
}

function makeDocument(random: Random, scale: number): SampleDocument {
  const bytes = Math.max(64, Math.round(documentBytes(random) * scale));
  const name = makePhrase(random, 1 + random.below(3)).replaceAll(" ", "_");
  if (random.chance(COMPRESSIBLE_SHARE)) {
    const [type, subtype, extension] = random.pick(OPEN_KINDS);
    const content = tableContent(random, bytes);
    return { fileName: `${name}.${extension}`, type, subtype, content, sha1: sha1(content) };
  }
  const [type, subtype, extension, start] = random.pick(CLOSED_KINDS);
  const content = random.bytes(bytes);
  content.write(start, 0, "latin1");
  return { fileName: `${name}.${extension}`, type, subtype, content, sha1: sha1(content) };
}

function makePicture(random: Random, logo: boolean, scale: number): SampleDocument {
  const [least, most] = logo ? LOGO_BYTES : PICTURE_BYTES;
  const content = random.bytes(Math.max(64, Math.round(least * (most / least) ** random.unit() * scale)));
  content.write(logo ? "\x89PNG\r\n\x1a\n" : "\xff\xd8\xff\xe0", 0, "latin1");
  const [subtype, extension] = logo ? (["png", "png"] as const) : (["jpeg", "jpg"] as const);
  const fileName = `${logo ? "logo" : "picture"}_${random.token(6)}.${extension}`;
  return { fileName, type: "image", subtype, content, sha1: sha1(content) };
}

function documentBytes(random: Random): number {
  let left = random.below(SIZE_TOTAL);
  for (const [bytes, count] of DOCUMENT_SIZES) {
    if (left < count) return bytes * 2 ** random.unit();
    left -= count;
  }
  throw new RangeError("the sizes of documents do not add up");
}

function tableContent(random: Random, bytes: number): Buffer {
  const content = Buffer.alloc(bytes, 0x20);
  for (let at = 0; at < bytes; ) {
    const bits = random.u32();
    const row = `${bits % 100_000};${pickWord(random)} ${pickWord(random)};${(bits >>> 8) % 10_000}.${bits % 100};open\n`;
    at += content.write(row, at, "latin1");
  }
  return content;
}

function sha1(content: Uint8Array): Buffer {
  return createHash("sha1").update(content).digest();
}
