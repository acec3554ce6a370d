/**
 * Objects are asked for much in the order in which they were stored: the next one is mostly the next in a pack
 * that was read just now. Guessing so, and comparing the whole id, saves the look-up.
 */
import type { ObjectId } from "./object.ts";
import type { OpenedPack } from "./pack-reader.ts";

const PACKS = 6;
const AHEAD = 4;

export class RecentPlaces {
  /** The last one used first. */
  #places: { readonly hex: string; ordinal: number }[] = [];

  note(hex: string, ordinal: number): void {
    const known = this.#places.findIndex((place) => place.hex === hex);
    if (known < 0) {
      this.#places.unshift({ hex, ordinal });
      if (this.#places.length > PACKS) this.#places.pop();
      return;
    }
    const [place] = this.#places.splice(known, 1);
    if (place === undefined) return;
    place.ordinal = ordinal;
    this.#places.unshift(place);
  }

  /** @param opened - the pack if its directory is in memory. */
  guess(
    id: ObjectId,
    opened: (hex: string) => OpenedPack | undefined,
  ): { readonly pack: OpenedPack; readonly hex: string; readonly ordinal: number } | undefined {
    for (const { hex, ordinal: last } of this.#places) {
      const pack = opened(hex);
      if (pack === undefined) continue;
      const end = Math.min(last + 1 + AHEAD, pack.directory.objectCount);
      for (let ordinal = last; ordinal < end; ordinal++) {
        const candidate = pack.directory.idAt(ordinal);
        if (candidate[0] !== id[0] || Buffer.compare(candidate, id) !== 0) continue;
        this.note(hex, ordinal);
        return { pack, hex, ordinal };
      }
    }
    return undefined;
  }
}
