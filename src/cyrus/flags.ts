/**
 * Message flags as `cyrus.index` keeps them: one 32-bit word of system flags (low half) and internal flags (high
 * half), and 128 user flags whose names are in `cyrus.header` by slot.
 *
 * Bits: cyrus-imapd 1f3a129, imap/mailbox.h (FLAG_*, FLAG_INTERNAL_*, OPT_*).
 */
import type { ByteString } from "../base/byte-string.ts";

export const MAX_USER_FLAGS = 128;

export const FLAG_ANSWERED = 1 << 0;
export const FLAG_FLAGGED = 1 << 1;
export const FLAG_DELETED = 1 << 2;
export const FLAG_DRAFT = 1 << 3;
/** The owner's, or everybody's with OPTION_SHARED_SEEN. Never set below version 12: then it is in the seen database. */
export const FLAG_SEEN = 1 << 4;

/** The message file is below the archive partition. */
export const INTERNAL_ARCHIVED = 1 << 29;
/** The message file is gone, or will be at the next cleanup. */
export const INTERNAL_UNLINKED = 1 << 30;
/** Expunged; unless it is unlinked too, its file must be there and `unexpunge` can bring it back. */
export const INTERNAL_EXPUNGED = (1 << 31) >>> 0;

/** Of the header's `options`: records of unlinked messages go at the next close. */
export const OPTION_NEEDS_REPACK = 1 << 30;
/** Of the header's `options`: the mailbox is being removed, its files may go at any moment. */
export const OPTION_DELETED = (1 << 31) >>> 0;

type NamedBits = readonly (readonly [bit: number, name: string])[];

const SYSTEM_FLAGS: NamedBits = [
  [FLAG_ANSWERED, "\\Answered"],
  [FLAG_FLAGGED, "\\Flagged"],
  [FLAG_DELETED, "\\Deleted"],
  [FLAG_DRAFT, "\\Draft"],
  [FLAG_SEEN, "\\Seen"],
];

const INTERNAL_FLAGS: NamedBits = [
  [1 << 26, "snoozed"],
  [1 << 27, "split-conversation"],
  [1 << 28, "needs-cleanup"],
  [INTERNAL_ARCHIVED, "archived"],
  [INTERNAL_UNLINKED, "unlinked"],
  [INTERNAL_EXPUNGED, "expunged"],
];

const OPTIONS: NamedBits = [
  [1 << 0, "pop3-new-uidl"],
  [1 << 2, "shared-seen"],
  [1 << 3, "duplicate-delivery"],
  [1 << 4, "has-alarms"],
  [1 << 29, "needs-unlink"],
  [OPTION_NEEDS_REPACK, "needs-repack"],
  [OPTION_DELETED, "deleted"],
];

/** The IMAP names of the system flags set in a flag word, in bit order. */
export function systemFlagNames(flagWord: number): string[] {
  return namesOf(SYSTEM_FLAGS, flagWord);
}

/** Our names for the internal flags set in a flag word: no IMAP client sees them. */
export function internalFlagNames(flagWord: number): string[] {
  return namesOf(INTERNAL_FLAGS, flagWord);
}

/** Our names for the bits set in a header's `options`. */
export function mailboxOptionNames(options: number): string[] {
  return namesOf(OPTIONS, options);
}

/** The bit of a system flag's IMAP name (case does not matter), undefined for a user flag. */
export function systemFlagBit(name: string): number | undefined {
  const wanted = name.toLowerCase();
  return SYSTEM_FLAGS.find(([, known]) => known.toLowerCase() === wanted)?.[0];
}

/** @param words - the record's four words; bit n is in word n/32. */
export function hasUserFlag(words: readonly number[], slot: number): boolean {
  return (((words[slot >>> 5] ?? 0) >>> (slot & 31)) & 1) === 1;
}

/** Four words with these slots (0 to 127) set. */
export function userFlagWords(slots: Iterable<number>): [number, number, number, number] {
  const words: [number, number, number, number] = [0, 0, 0, 0];
  for (const slot of slots) {
    if (!(slot >= 0 && slot < MAX_USER_FLAGS)) throw new RangeError(`no such user flag slot: ${slot}`);
    const word = (slot >>> 5) as 0 | 1 | 2 | 3;
    words[word] = (words[word] | (1 << (slot & 31))) >>> 0;
  }
  return words;
}

/**
 * The names of the user flags set.
 * @param flagNames - by slot, from `cyrus.header`.
 * @returns `unnamedSlots`: set in the record, free in the header: header and index are of different moments, or
 *   the name was removed without a repack. Cyrus shows no flag for them.
 */
export function userFlagNames(
  words: readonly number[],
  flagNames: readonly (ByteString | undefined)[],
): { readonly names: ByteString[]; readonly unnamedSlots: number[] } {
  const names: ByteString[] = [];
  const unnamedSlots: number[] = [];
  if (words.every((word) => word === 0)) return { names, unnamedSlots };
  for (let slot = 0; slot < MAX_USER_FLAGS; slot++) {
    if (!hasUserFlag(words, slot)) continue;
    const name = flagNames[slot];
    if (name === undefined) unnamedSlots.push(slot);
    else names.push(name);
  }
  return { names, unnamedSlots };
}

function namesOf(table: NamedBits, word: number): string[] {
  return table.filter(([bit]) => (word & bit) !== 0).map(([, name]) => name);
}
