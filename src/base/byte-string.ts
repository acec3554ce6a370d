/**
 * File names and Cyrus's names are bytes, not text: an old spool holds Latin-1 names, UTF-8 names and worse.
 * A ByteString keeps them exactly: a JavaScript string in which every character is one byte (U+0000–U+00FF).
 * It compares and sorts as the bytes do. Turn it into text only to show it to a person.
 */

export type ByteString = string & { readonly [byteString]: true };
declare const byteString: unique symbol;

/** Any character beyond one byte is a bug of the caller. */
export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

/** UTF-8 text (a command-line argument, a literal) as bytes. */
export function fromText(text: string): ByteString {
  return (isAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1")) as ByteString;
}

export function toBytes(value: ByteString): Buffer {
  return Buffer.from(value, "latin1");
}

/** For people: UTF-8 where it is valid, otherwise each odd byte as \xNN. Control characters stay: escape before a terminal. */
export function toText(value: ByteString): string {
  if (isAscii(value)) return value;
  const bytes = toBytes(value);
  const text = bytes.toString("utf8");
  if (Buffer.from(text, "utf8").equals(bytes)) return text;
  return value.replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/**
 * Text from which `fromExactText` makes the same bytes again: as `toText`, and a backslash is `\x5c`. For what is stored
 * as text.
 */
export function toExactText(value: ByteString): string {
  return toText(value.replaceAll("\\", "\\x5c") as ByteString);
}

/** Each `\xNN` is that byte, the rest UTF-8. */
export function fromExactText(text: string): ByteString {
  const parts = text.split(/\\x([0-9a-f]{2})/);
  return parts
    .map((part, i) => (i % 2 === 0 ? fromText(part) : String.fromCharCode(Number.parseInt(part, 16))))
    .join("") as ByteString;
}

/** What node:fs takes: a plain string where that is exact, else the bytes. */
export function toFsPath(value: ByteString): string | Buffer {
  return isAscii(value) ? value : toBytes(value);
}

/** `a/b`; an empty left side gives the right side alone. */
export function joinPath(left: ByteString, right: ByteString): ByteString {
  if (left === "") return right;
  if (right === "") return left;
  return (left.endsWith("/") ? left + right : `${left}/${right}`) as ByteString;
}

/** Paths compared by this key come in the order of a walk: a directory, all that lies in it, then its next sibling. */
export function pathKey(path: ByteString): ByteString {
  return path.replaceAll("/", "\0") as ByteString;
}

export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isAscii(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0x7f) return false;
  return true;
}
