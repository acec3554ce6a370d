/** How much of what was opened was needed: the figure that says whether objects are read in a good order. */

/** Bytes are those of blocks before compression. */
export interface BlockBytes {
  /** Of every block opened, counted as often as it was opened. */
  readonly opened: number;
  /** Of every object asked for, counted once: what blocks that hold nothing else would have. */
  readonly needed: number;
}

export class BlockUsage {
  /** A bit for each object of a pack. */
  readonly #seen = new Map<string, Uint8Array>();
  #opened = 0;
  #needed = 0;

  get bytes(): BlockBytes {
    return { opened: this.#opened, needed: this.#needed };
  }

  addOpened(bytes: number): void {
    this.#opened += bytes;
  }

  /** @param objects - how many the pack has. */
  addNeeded(pack: string, objects: number, ordinal: number, bytes: number): void {
    let seen = this.#seen.get(pack);
    if (seen === undefined) {
      seen = new Uint8Array((objects + 7) >>> 3);
      this.#seen.set(pack, seen);
    }
    const at = ordinal >>> 3;
    const bit = 1 << (ordinal & 7);
    const byte = seen[at] as number;
    if ((byte & bit) !== 0) return;
    seen[at] = byte | bit;
    this.#needed += bytes;
  }
}
