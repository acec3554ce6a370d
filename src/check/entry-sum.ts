import { PREFIX_BYTES } from "../store/segment-format.ts";

const WORDS = PREFIX_BYTES / 4;

/**
 * Stands for a set of entries (beginning of an id, ordinal), in whatever order they come: 64 bits that differ
 * where the sets do. Against accidents, not against somebody who makes sets to fit: seals are for that.
 */
export class EntrySum {
  #low = 0;
  #high = 0;
  #count = 0;

  /** @param offset - where in `bytes` the id begins. */
  add(bytes: Buffer, offset: number, ordinal: number): void {
    let low = Math.imul(ordinal ^ 0x9e37_79b1, 0x85eb_ca6b);
    let high = Math.imul(ordinal ^ 0x27d4_eb2f, 0xc2b2_ae35);
    for (let word = 0; word < WORDS; word++) {
      const value = bytes.readUInt32BE(offset + word * 4);
      low = Math.imul(low ^ value ^ (low >>> 15), 0x2c1b_3c6d);
      high = Math.imul((high + value) ^ (high >>> 13), 0x297a_2d39);
    }
    this.#low = (this.#low + low) | 0;
    this.#high = (this.#high + high) | 0;
    this.#count++;
  }

  equals(other: EntrySum): boolean {
    return this.#low === other.#low && this.#high === other.#high && this.#count === other.#count;
  }
}
