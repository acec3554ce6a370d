/** Marks on objects by their place: one bit each, so that those of a whole repository fit in memory. */

export class ObjectMarks {
  readonly #bits = new Map<string, Uint8Array>();

  /** Hex; those of which something is marked. */
  get packs(): IterableIterator<string> {
    return this.#bits.keys();
  }

  /** @param pack - hex. @returns false: it was marked already. */
  mark(pack: string, ordinal: number): boolean {
    const index = ordinal >>> 3;
    let bits = this.#bits.get(pack);
    if (bits === undefined || index >= bits.length) {
      const grown = new Uint8Array(Math.max(64, index + 1, (bits?.length ?? 0) * 2));
      if (bits !== undefined) grown.set(bits);
      bits = grown;
      this.#bits.set(pack, bits);
    }
    const bit = 1 << (ordinal & 7);
    const before = bits[index] as number;
    if ((before & bit) !== 0) return false;
    bits[index] = before | bit;
    return true;
  }

  /** @param pack - hex. */
  has(pack: string, ordinal: number): boolean {
    const bits = this.#bits.get(pack)?.[ordinal >>> 3] ?? 0;
    return (bits & (1 << (ordinal & 7))) !== 0;
  }
}
