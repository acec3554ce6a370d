/**
 * What every database engine of Cyrus holds: keys with values, in key order.
 *
 * Reading is at the last committed state: nothing is recovered, nothing is written, and a file that Cyrus left
 * mid-transaction answers with what was committed before.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";

/** Views into the bytes of the file wherever the engine stores them unescaped: copy what outlives the file. */
export interface DatabaseRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Something in the file that could not be used. What is still given is whole, but may not be everything. */
export interface DatabaseDamage {
  readonly offset: number;
  readonly reason: string;
}

/** Records of one readable file. They can be iterated again and again; nothing is held between two iterations. */
export interface RecordSource {
  readonly records: Iterable<DatabaseRecord>;
  /** How many `records` gives. */
  readonly recordCount: number;
  /** At most `DAMAGE_MAX` entries: after that the file is not described further. */
  readonly damage: readonly DatabaseDamage[];
  /** True where the engine's own way to the records was broken and they were found by a scan of the whole file. */
  readonly recovered: boolean;
}

export const DAMAGE_MAX = 100;

/**
 * `mailbox`: a full stop sorts before everything else, so that children follow their parent at once. Cyrus up to
 * 3.4 keeps mailboxes.db so when `improved_mboxlist_sort` is on (lib/bsearch.c, bsearch_compare_mbox).
 */
export type KeyOrder = "bytes" | "mailbox";

/** A string that sorts as the key does in that order. One to one with the key. */
export function orderedKey(order: KeyOrder, key: Uint8Array): ByteString {
  const name = fromBytes(key);
  return order === "bytes" ? name : (name.replace(/[\0-.]/g, shiftBelowDot) as ByteString);
}

/** The full stop becomes 0 and what lies below it moves up by one. */
function shiftBelowDot(char: string): string {
  return char === "." ? "\0" : String.fromCharCode(char.charCodeAt(0) + 1);
}

/** Watches neighbouring keys go by and says which order they are in. */
export class OrderWitness {
  #bytesViolations = 0;
  #mailboxViolations = 0;

  see(before: Uint8Array, after: Uint8Array): void {
    let at = 0;
    while (at < before.length && before[at] === after[at]) at++;
    const [last, next] = [before[at] ?? -1, after[at] ?? -1];
    if (last >= next) this.#bytesViolations++;
    if (mailboxRank(last) >= mailboxRank(next)) this.#mailboxViolations++;
  }

  /** The order that fits better; bytes when both do. */
  get order(): KeyOrder {
    return this.#mailboxViolations < this.#bytesViolations ? "mailbox" : "bytes";
  }

  get violations(): number {
    return Math.min(this.#bytesViolations, this.#mailboxViolations);
  }
}

/** The end of a key (-1) comes first, then the full stop, then the rest. */
function mailboxRank(byte: number): number {
  return byte === 0x2e ? -0.5 : byte;
}

/** Collects damage up to the limit. */
export class DamageList {
  readonly entries: DatabaseDamage[] = [];

  add(offset: number, reason: string): void {
    if (this.entries.length < DAMAGE_MAX) this.entries.push({ offset, reason });
  }
}
