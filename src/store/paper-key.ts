/**
 * A key set as text that can be printed, kept in a safe and typed in again: it opens its repository also when `keys/`
 * is lost. Format: docs/formats/keys.md.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../base/bytes.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { decodeKeySet, encodeKeySet, type KeySet, mayRead } from "./key-set.ts";

const TITLE = "cyrvault paper key 1";
const LINE_BYTES = 20;
const GROUP_LETTERS = 4;
const LINES_MAX = 2000;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** @param repository - its id, in hex. @returns lines without line ends. */
export function encodePaperKey(repository: string, keySet: KeySet): string[] {
  const id = Buffer.from(repository, "hex");
  assert(id.length === 16, "a repository id has 16 bytes");
  const content = Buffer.concat([id, encodeKeySet(keySet)]);
  const lines = [TITLE, `repository ${repository}`];
  for (let start = 0, number = 1; start < content.length; start += LINE_BYTES, number++) {
    const bytes = content.subarray(start, start + LINE_BYTES);
    const groups = toBase32(bytes).match(/.{1,4}/g) ?? [];
    lines.push(`${String(number).padStart(2)}: ${[...groups, lineCheck(number, bytes)].join(" ")}`);
  }
  lines.push(`end ${wholeCheck(content)}`);
  return lines;
}

/** Whether it begins as one does. */
export function isPaperKey(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 256)).toString("utf8").trimStart().toLowerCase().startsWith(TITLE);
}

/**
 * Upper and lower case are one, spaces do not count, a 0 that was typed is an O, a 1 an I, an 8 a B.
 * @throws {CyrvaultError} `USAGE`, naming the line with the mistake and never what stands in it.
 */
export function decodePaperKey(
  bytes: Uint8Array,
  what: string,
): { readonly repository: string; readonly keySet: KeySet } {
  const lines = Buffer.from(bytes)
    .toString("utf8")
    .toLowerCase()
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (lines.shift() !== TITLE || lines.length > LINES_MAX) throw mistake(what, "it is no paper key");
  const repository = /^repository ([0-9a-f]{32})$/.exec(lines.shift() ?? "")?.[1];
  if (repository === undefined)
    throw mistake(what, "the line with the repository's id is not as it was printed");
  const end = /^end ([0-9a-z ]+)$/.exec(lines.pop() ?? "")?.[1];
  if (end === undefined) throw mistake(what, "its last line, that begins with 'end', is lacking");
  const parts = lines.map((line, i) => decodeLine(line, i + 1, i + 1 === lines.length, what));
  const content = Buffer.concat(parts);
  if (letters(end) !== wholeCheck(content))
    throw mistake(what, "a line is lacking, or the last one is not as it was printed");
  if (!equalBytes(content.subarray(0, 16), Buffer.from(repository, "hex")))
    throw mistake(what, "the line with the repository's id is not as it was printed");
  try {
    const keySet = decodeKeySet(content.subarray(16));
    if (mayRead(keySet)) return { repository, keySet };
  } catch (cause) {
    if (!isCyrvaultError(cause, "REPOSITORY_DAMAGED")) throw cause;
    throw mistake(what, "it holds no key", cause);
  }
  throw mistake(what, "it holds a key that may only write");
}

function decodeLine(line: string, number: number, isLast: boolean, what: string): Buffer {
  const match = /^(\d{1,4}):([0-9a-z ]+)$/.exec(line);
  const text = letters(match?.[2] ?? "");
  const body = text.slice(0, -GROUP_LETTERS);
  const bytes = fromBase32(body);
  const isWhole = isLast ? bytes.length <= LINE_BYTES && bytes.length > 0 : bytes.length === LINE_BYTES;
  const isRight =
    Number(match?.[1]) === number &&
    isWhole &&
    toBase32(bytes) === body &&
    lineCheck(number, bytes) === text.slice(-GROUP_LETTERS);
  if (!isRight) throw mistake(what, `line ${number} is not as it was printed`);
  return bytes;
}

function lineCheck(number: number, bytes: Uint8Array): string {
  const hash = createHash("sha256").update(Buffer.of(number >> 8, number & 255));
  return toBase32(hash.update(bytes).digest()).slice(0, GROUP_LETTERS);
}

function wholeCheck(content: Uint8Array): string {
  return toBase32(createHash("sha256").update(content).digest()).slice(0, 2 * GROUP_LETTERS);
}

function letters(text: string): string {
  return text
    .replaceAll(" ", "")
    .replaceAll("0", "o")
    .replaceAll("1", "i")
    .replaceAll("8", "b")
    .toUpperCase();
}

/** RFC 4648 without padding. */
function toBase32(bytes: Uint8Array): string {
  let text = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31];
  }
  return bits === 0 ? text : text + ALPHABET[(held << (5 - bits)) & 31];
}

/** What is no letter of it ends it: whoever calls compares. */
function fromBase32(text: string): Buffer {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const letter of text) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) break;
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 255);
  }
  return Buffer.from(bytes);
}

function mistake(what: string, why: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("USAGE", `${what}: ${why}`, { cause, hint: "compare it with the paper" });
}
