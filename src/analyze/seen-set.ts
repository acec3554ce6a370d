/**
 * Which contents have been met: 4 bytes a slot instead of the whole hash. A content is known by its slot and 32
 * further bits of its hash; that two different ones are taken for the same happens about once in 10^8 look-ups,
 * which an estimate does not notice.
 *
 * Grows by a further table of twice the size: with 4 bytes nothing could be put elsewhere.
 */
const SLOTS_FIRST = 1 << 12;
const LOAD = 0.85;

export class SeenSet {
  readonly #tables: { readonly slots: Uint32Array; count: number }[] = [];

  /** @param expected - how many there will be, where that is known: one table then does for all. */
  constructor(expected = 0) {
    this.#grow(2 ** Math.ceil(Math.log2(Math.max(SLOTS_FIRST, expected / LOAD))));
  }

  get size(): number {
    return this.#tables.reduce((sum, { count }) => sum + count, 0);
  }

  get memoryBytes(): number {
    return this.#tables.reduce((sum, { slots }) => sum + slots.byteLength, 0);
  }

  has(hash: Buffer): boolean {
    const print = printOf(hash);
    const at = hash.readUInt32BE(0);
    return this.#tables.some(({ slots }) => slots[findSlot(slots, at, print)] === print);
  }

  /** @param hash - at least 8 bytes, evenly distributed. @returns true when it was not there. */
  add(hash: Buffer): boolean {
    if (this.has(hash)) return false;
    let last = this.#tables.at(-1) as { slots: Uint32Array; count: number };
    if (last.count >= last.slots.length * LOAD) last = this.#grow(last.slots.length * 2);
    const print = printOf(hash);
    last.slots[findSlot(last.slots, hash.readUInt32BE(0), print)] = print;
    last.count++;
    return true;
  }

  #grow(slotCount: number): { readonly slots: Uint32Array; count: number } {
    const table = { slots: new Uint32Array(slotCount), count: 0 };
    this.#tables.push(table);
    return table;
  }
}

/** 0 is a free slot. */
function printOf(hash: Buffer): number {
  return hash.readUInt32BE(4) || 1;
}

/** Where it is, or the free slot where it would be. */
function findSlot(slots: Uint32Array, start: number, print: number): number {
  const mask = slots.length - 1;
  let slot = (start & mask) >>> 0;
  while (slots[slot] !== 0 && slots[slot] !== print) slot = (slot + 1) & mask;
  return slot;
}
