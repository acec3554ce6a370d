/**
 * A table in memory from the first 20 bytes of ObjectIds to two small numbers: open addressing over typed arrays,
 * 28 bytes a slot, at most 7 of 8 slots in use. The same id may be added several times.
 */
import { PREFIX_BYTES } from "./segment-format.ts";

const FREE = 0;
const REMOVED = 0xffff_ffff;
const SLOTS_MIN = 1024;
/** Of the bytes of a prefix: those that segments do not sort by, so that all bits of the slot vary. */
const HASH_OFFSET = 16;

export class LookupTable {
  #keys: Buffer = Buffer.alloc(0);
  /** FREE, REMOVED, or the first number plus 1. */
  #first: Uint32Array = new Uint32Array(0);
  #second: Uint32Array = new Uint32Array(0);
  #slots = 0;
  #size = 0;
  #removed = 0;

  constructor() {
    this.clear();
  }

  get size(): number {
    return this.#size;
  }

  get memoryBytes(): number {
    return this.#slots * (PREFIX_BYTES + 8);
  }

  /** @param first - 0 to 2^32 - 3. @param second - 0 to 2^32 - 1. */
  add(id: Uint8Array, first: number, second: number): void {
    if ((this.#size + this.#removed + 1) * 8 > this.#slots * 7) this.#rehash();
    this.#insert(id, 0, first + 1, second);
    this.#size++;
  }

  /** The position of an entry of this id, -1 for none. Positions are good until the next `add` or `clear`. */
  find(id: Uint8Array): number {
    return this.#search(id, hashOf(id, 0) & (this.#slots - 1));
  }

  /** The next entry of the same id behind `position`, -1 for none. */
  findNext(id: Uint8Array, position: number): number {
    return this.#search(id, (position + 1) & (this.#slots - 1));
  }

  firstAt(position: number): number {
    return (this.#first[position] as number) - 1;
  }

  secondAt(position: number): number {
    return this.#second[position] as number;
  }

  setFirst(position: number, first: number): void {
    this.#first[position] = first + 1;
  }

  removeAt(position: number): void {
    this.#first[position] = REMOVED;
    this.#size--;
    this.#removed++;
  }

  clear(): void {
    this.#size = 0;
    this.#removed = 0;
    this.#allocate(SLOTS_MIN);
  }

  /** Entries in ascending order of their prefixes; `bytes` at `offset` is the prefix, good until the next change. */
  *sorted(): Generator<{ bytes: Buffer; offset: number; first: number; second: number }> {
    const positions = this.#sortedPositions();
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number;
      yield {
        bytes: this.#keys,
        offset: position * PREFIX_BYTES,
        first: this.firstAt(position),
        second: this.secondAt(position),
      };
    }
  }

  /**
   * Leading bits of the prefix and the position go into one exact float: sorting floats is native, sorting with a
   * comparison function is ten times slower. What the leading bits leave equal is put in order afterwards.
   */
  #sortedPositions(): Float64Array {
    const leadingBits = Math.min(32, 53 - Math.log2(this.#slots));
    const drop = 2 ** (32 - leadingBits);
    const sorted = new Float64Array(this.#size);
    let count = 0;
    for (let position = 0; position < this.#slots; position++) {
      const state = this.#first[position];
      if (state === FREE || state === REMOVED) continue;
      const leading = Math.floor(this.#keys.readUInt32BE(position * PREFIX_BYTES) / drop);
      sorted[count++] = leading * this.#slots + position;
    }
    sorted.sort();
    let previousLeading = -1;
    for (let i = 0; i < count; i++) {
      const leading = Math.floor((sorted[i] as number) / this.#slots);
      const position = (sorted[i] as number) % this.#slots;
      let at = i;
      if (leading === previousLeading)
        while (at > 0 && this.#compare(sorted[at - 1] as number, position) > 0) {
          sorted[at] = sorted[at - 1] as number;
          at--;
        }
      sorted[at] = position;
      previousLeading = leading;
    }
    return sorted;
  }

  #compare(a: number, b: number): number {
    const keys = this.#keys;
    const offset = b * PREFIX_BYTES;
    const order = keys.compare(keys, offset, offset + PREFIX_BYTES, a * PREFIX_BYTES, (a + 1) * PREFIX_BYTES);
    return order !== 0 ? order : this.firstAt(a) - this.firstAt(b) || this.secondAt(a) - this.secondAt(b);
  }

  #search(id: Uint8Array, start: number): number {
    const mask = this.#slots - 1;
    const keys = this.#keys;
    for (let position = start; ; position = (position + 1) & mask) {
      const state = this.#first[position];
      if (state === FREE) return -1;
      if (state === REMOVED) continue;
      const offset = position * PREFIX_BYTES;
      let i = PREFIX_BYTES - 1;
      while (i >= 0 && keys[offset + i] === id[i]) i--;
      if (i < 0) return position;
    }
  }

  #insert(id: Uint8Array, idOffset: number, state: number, second: number): void {
    const mask = this.#slots - 1;
    let position = hashOf(id, idOffset) & mask;
    while (this.#first[position] !== FREE) position = (position + 1) & mask;
    for (let i = 0; i < PREFIX_BYTES; i++)
      this.#keys[position * PREFIX_BYTES + i] = id[idOffset + i] as number;
    this.#first[position] = state;
    this.#second[position] = second;
  }

  #rehash(): void {
    const { length } = this.#first;
    const keys = this.#keys;
    const first = this.#first;
    const second = this.#second;
    // Mostly removed entries: the same size again, without them.
    this.#allocate(this.#size * 8 > length * 3 ? length * 2 : length);
    this.#removed = 0;
    for (let position = 0; position < length; position++) {
      const state = first[position] as number;
      if (state === FREE || state === REMOVED) continue;
      this.#insert(keys, position * PREFIX_BYTES, state, second[position] as number);
    }
  }

  #allocate(slots: number): void {
    this.#slots = slots;
    this.#keys = Buffer.alloc(slots * PREFIX_BYTES);
    this.#first = new Uint32Array(slots);
    this.#second = new Uint32Array(slots);
  }
}

function hashOf(id: Uint8Array, offset: number): number {
  const at = offset + HASH_OFFSET;
  return (
    (((id[at] as number) << 24) |
      ((id[at + 1] as number) << 16) |
      ((id[at + 2] as number) << 8) |
      (id[at + 3] as number)) >>>
    0
  );
}
