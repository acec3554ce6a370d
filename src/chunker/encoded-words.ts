/** Words of mail headers in other charsets, decoded for people. Whatever the bytes are, this answers. */

/** RFC 2047: charset, optional language (RFC 2231), encoding, text. */
const ENCODED_WORD = /=\?([^?*\s]{1,64})(?:\*[^?\s]{0,32})?\?([bq])\?([^?\s]{0,4096})\?=/gi;

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

/** Bytes that say nothing of their charset: UTF-8 where it is that (RFC 6532), else Latin-1. */
export function decodeRaw(raw: string): string {
  if (!/[\x80-\xff]/.test(raw)) return raw;
  const bytes = Buffer.from(raw, "latin1");
  const utf8 = bytes.toString("utf8");
  return utf8.includes("\ufffd") ? raw : utf8;
}

/** An unknown charset counts as none. */
export function decodeBytes(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return decodeRaw(bytes.toString("latin1"));
  }
}
