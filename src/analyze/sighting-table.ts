/**
 * How often each part was met in a sample, by group. Open addressing, 26 bytes a slot, 7 MB at most: when it is
 * full, only those whose hash begins with a further zero bit stay, and each of them stands for twice as many.
 */
import { SIGHTINGS_MAX } from "./estimate-distinct.ts";
import { GROUPS } from "./sampling.ts";

const SLOTS_FIRST = 1 << 12;
export const SIGHTING_SLOTS_MAX = 1 << 18;
const LOAD = 0.85;

/** [j]: those met j times, the last one: that often or more. */
export interface Frequencies {
  readonly counts: Float64Array;
  readonly bytes: Float64Array;
}

export class SightingTable {
  readonly #slotsMax: number;
  #high!: Uint32Array;
  #low!: Uint32Array;
  /** 0: a free slot. */
  #bytes!: Float64Array;
  #groups!: Uint8Array;
  #count = 0;
  #level = 0;

  constructor(slotsMax: number = SIGHTING_SLOTS_MAX) {
    this.#slotsMax = slotsMax;
    this.#allocate(Math.min(SLOTS_FIRST, slotsMax));
  }

  /** @param hash - at least 8 bytes, evenly distributed. @param bytes - of the part; at least 1. */
  add(hash: Buffer, bytes: number, group: number): void {
    const high = hash.readUInt32BE(0);
    if (!this.#stays(high)) return;
    let slot = this.#find(high, hash.readUInt32BE(4));
    if (this.#bytes[slot] === 0) {
      if (this.#count >= this.#bytes.length * LOAD) {
        this.#makeRoom();
        if (!this.#stays(high)) return;
        slot = this.#find(high, hash.readUInt32BE(4));
      }
      this.#high[slot] = high;
      this.#low[slot] = hash.readUInt32BE(4);
      this.#bytes[slot] = bytes;
      this.#count++;
    }
    const at = slot * GROUPS + group;
    this.#groups[at] = Math.min(255, (this.#groups[at] as number) + 1);
  }

  /** @param without - what was met in this group does not count; −1: everything does. */
  frequencies(without = -1): Frequencies {
    const counts = new Float64Array(SIGHTINGS_MAX + 1);
    const bytes = new Float64Array(SIGHTINGS_MAX + 1);
    const weight = 2 ** this.#level;
    for (let slot = 0; slot < this.#bytes.length; slot++) {
      const size = this.#bytes[slot] as number;
      if (size === 0) continue;
      let met = 0;
      for (let group = 0; group < GROUPS; group++)
        if (group !== without) met += this.#groups[slot * GROUPS + group] as number;
      if (met === 0) continue;
      const j = Math.min(met, SIGHTINGS_MAX);
      counts[j] = (counts[j] as number) + weight;
      bytes[j] = (bytes[j] as number) + size * weight;
    }
    return { counts, bytes };
  }

  #stays(high: number): boolean {
    return this.#level === 0 || high >>> (32 - this.#level) === 0;
  }

  #makeRoom(): void {
    const [high, low, bytes, groups] = [this.#high, this.#low, this.#bytes, this.#groups];
    if (bytes.length < this.#slotsMax) this.#allocate(bytes.length * 2);
    else {
      this.#level++;
      this.#allocate(bytes.length);
    }
    for (let old = 0; old < bytes.length; old++) {
      if (bytes[old] === 0 || !this.#stays(high[old] as number)) continue;
      const slot = this.#find(high[old] as number, low[old] as number);
      this.#high[slot] = high[old] as number;
      this.#low[slot] = low[old] as number;
      this.#bytes[slot] = bytes[old] as number;
      this.#groups.set(groups.subarray(old * GROUPS, (old + 1) * GROUPS), slot * GROUPS);
      this.#count++;
    }
  }

  #find(high: number, low: number): number {
    const mask = this.#bytes.length - 1;
    let slot = (low & mask) >>> 0;
    while (this.#bytes[slot] !== 0 && (this.#high[slot] !== high || this.#low[slot] !== low))
      slot = (slot + 1) & mask;
    return slot;
  }

  #allocate(slots: number): void {
    this.#high = new Uint32Array(slots);
    this.#low = new Uint32Array(slots);
    this.#bytes = new Float64Array(slots);
    this.#groups = new Uint8Array(slots * GROUPS);
    this.#count = 0;
  }
}
