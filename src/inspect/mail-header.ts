/** The few header fields that a list of messages shows, decoded for people. Whatever the bytes are, this answers. */
import { decodeWords } from "../chunker/encoded-words.ts";

export interface MailHeader {
  /** With its angle brackets, as it stands. */
  readonly messageId: string | null;
  readonly from: string | null;
  readonly subject: string | null;
}

/** A header longer than this is not looked at beyond it. */
export const HEADER_BYTES_MAX = 256 * 1024;
const VALUE_CHARS_MAX = 2000;

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
