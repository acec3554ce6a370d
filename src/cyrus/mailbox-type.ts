/**
 * Types of mailboxes. 3.6 and newer write them as letters: the kind first, then flags in a fixed order
 * (imap/mboxlist.c, mboxlist_mbtype_to_string). Before that the mailbox list has a number up to 2.4, and the same letters
 * without `e` from 2.5 to 3.4; the numbers are those of imap/mboxlist.h of 2.4 to 3.4, which 3.6 renumbered.
 */
import type { ByteString } from "../base/byte-string.ts";

/** Letter, and its bit up to 3.4 (undefined: newer). In the order in which 3.6 writes them. */
const LETTERS: readonly (readonly [letter: string, oldBit: number | undefined])[] = [
  // kinds
  ["e", 0],
  ["n", 1 << 2],
  ["b", 1 << 7],
  ["c", 1 << 5],
  ["a", 1 << 6],
  ["s", 1 << 9],
  ["p", 1 << 10],
  ["f", undefined],
  ["j", undefined],
  // flags
  ["d", 1 << 4],
  ["m", 1 << 3],
  ["r", 1 << 0],
  ["z", 1 << 1],
  ["i", 1 << 8],
  ["l", undefined],
];
const KINDS = "enbcaspfj";

/** Letters in the order of 3.6, with `e` where there is no other kind. Undefined where a letter is not known. */
export function normalizeType(letters: string): ByteString | undefined {
  let type = normalized.get(letters);
  if (type === undefined) {
    type = normalize(letters);
    if (type !== undefined && normalized.size < NORMALIZED_MAX) normalized.set(letters, type);
  }
  return type;
}

/** A server has a handful of types, each a hundred thousand times. */
const NORMALIZED_MAX = 100;
const normalized = new Map<string, ByteString>();

function normalize(letters: string): ByteString | undefined {
  for (const letter of letters) if (!LETTERS.some(([known]) => known === letter)) return undefined;
  const sorted = LETTERS.filter(([letter]) => letters.includes(letter)).map(([letter]) => letter);
  if (sorted.some((letter) => letter !== "e" && KINDS.includes(letter)))
    return sorted.filter((letter) => letter !== "e").join("") as ByteString;
  return (sorted[0] === "e" ? sorted.join("") : `e${sorted.join("")}`) as ByteString;
}

/** Undefined where a bit is not known. */
export function typeFromNumber(number: number): ByteString | undefined {
  let rest = number;
  let letters = "";
  for (const [letter, bit] of LETTERS) {
    if (bit === undefined || bit === 0 || (rest & bit) === 0) continue;
    letters += letter;
    rest &= ~bit;
  }
  return rest === 0 ? normalizeType(letters) : undefined;
}

/** The number that versions up to 3.4 print. Letters that those do not know count nothing. */
export function typeNumber(type: string): number {
  return LETTERS.reduce((sum, [letter, bit]) => sum + (type.includes(letter) ? (bit ?? 0) : 0), 0);
}
