/** The few header fields that a list of messages shows, decoded for people. Whatever the bytes are, this answers. */

export interface MailHeader {
  /** With its angle brackets, as it stands. */
  readonly messageId: string | null;
  readonly from: string | null;
  readonly subject: string | null;
}

/** A header longer than this is not looked at beyond it. */
export const HEADER_BYTES_MAX = 256 * 1024;
const VALUE_CHARS_MAX = 2000;
/** RFC 2047: charset, optional language (RFC 2231), encoding, text. */
const ENCODED_WORD = /=\?([^?*\s]{1,64})(?:\*[^?\s]{0,32})?\?([bq])\?([^?\s]{0,4096})\?=/gi;

/** @param bytes - the beginning of a message, the header's end in it or not. */
export function readMailHeader(bytes: Uint8Array): MailHeader {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEADER_BYTES_MAX)).toString(
    "latin1",
  );
  const found: Record<string, string> = {};
  let name = "";
  for (const line of text.split("\n")) {
    const content = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (content === "") break;
    if (/^[ \t]/.test(content)) {
      if (name !== "" && (found[name] as string).length < VALUE_CHARS_MAX) found[name] += content;
      continue;
    }
    const colon = content.indexOf(":");
    name = colon < 1 ? "" : content.slice(0, colon).trimEnd().toLowerCase();
    if (!WANTED.has(name) || found[name] !== undefined) name = "";
    else found[name] = content.slice(colon + 1);
  }
  return {
    messageId: shown(found["message-id"], (raw) => raw),
    from: shown(found["from"], decodeWords),
    subject: shown(found["subject"], decodeWords),
  };
}

/** Whether the end of the header is in these bytes, or no more of it is wanted. */
export function hasWholeHeader(bytes: Buffer): boolean {
  return bytes.length >= HEADER_BYTES_MAX || /(?:^|\n)\r?\n/.test(bytes.toString("latin1"));
}

const WANTED = new Set(["message-id", "from", "subject"]);

function shown(raw: string | undefined, decode: (raw: string) => string): string | null {
  if (raw === undefined) return null;
  return decode(
    raw
      .slice(0, VALUE_CHARS_MAX)
      .trim()
      .replace(/[\t ]+/g, " "),
  );
}

/** @param raw - one character is one byte. */
export function decodeWords(raw: string): string {
  // Blanks between two encoded words belong to neither (RFC 2047, section 6.2).
  const joined = raw.replace(/(\?=)[ \t]+(?==\?)/g, "$1");
  let text = "";
  let at = 0;
  /** Bytes of neighbouring words of one charset: a character may be cut between them, against the rules. */
  let pending: { charset: string; bytes: Buffer } | undefined;
  const flush = () => {
    if (pending !== undefined) text += decodeBytes(pending.bytes, pending.charset);
    pending = undefined;
  };
  for (const match of joined.matchAll(ENCODED_WORD)) {
    const [word, charset, encoding, body] = match as unknown as [string, string, string, string];
    if (match.index > at) {
      flush();
      text += decodeRaw(joined.slice(at, match.index));
    }
    at = match.index + word.length;
    const bytes = encoding.toLowerCase() === "b" ? Buffer.from(body, "base64") : decodeQ(body);
    if (pending !== undefined && pending.charset !== charset.toLowerCase()) flush();
    pending = {
      charset: charset.toLowerCase(),
      bytes: pending === undefined ? bytes : Buffer.concat([pending.bytes, bytes]),
    };
  }
  flush();
  return text + decodeRaw(joined.slice(at));
}

function decodeQ(body: string): Buffer {
  const text = body
    .replaceAll("_", " ")
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(text, "latin1");
}

/** Bytes outside of encoded words: UTF-8 where it is that (RFC 6532), else Latin-1. */
function decodeRaw(raw: string): string {
  if (!/[\x80-\xff]/.test(raw)) return raw;
  const bytes = Buffer.from(raw, "latin1");
  const utf8 = bytes.toString("utf8");
  return utf8.includes("\ufffd") ? raw : utf8;
}

function decodeBytes(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return decodeRaw(bytes.toString("latin1"));
  }
}
