/** The packs of a repository as numbers, and what is known of each. A slot is given once and stays. */
import { toHex } from "../base/bytes.ts";
import type { PackId, PackKind } from "./pack-types.ts";

export interface PackSlot {
  readonly slot: number;
  readonly packId: PackId;
  readonly hex: string;
  packKind: PackKind | undefined;
  objects: number;
  /** Listed when the packs were last listed, or written since. */
  live: boolean;
  /** Marked for deletion: may be read, counts as absent for deduplication. */
  marked: boolean;
  /** Whether it may be deduplicated against as far as its writer goes; undefined: not known yet. */
  isVouched: boolean | undefined;
  /** Why its directory could not be read. */
  unreadable: Error | undefined;
}

export class LookupPacks {
  readonly #slots: PackSlot[] = [];
  readonly #byHex = new Map<string, PackSlot>();

  get(slot: number): PackSlot {
    const found = this.#slots[slot];
    if (found === undefined) throw new RangeError(`no pack slot ${slot}`);
    return found;
  }

  byHex(hex: string): PackSlot | undefined {
    return this.#byHex.get(hex);
  }

  take(packId: PackId): PackSlot {
    const hex = toHex(packId);
    const known = this.#byHex.get(hex);
    if (known !== undefined) return known;
    const slot: PackSlot = {
      slot: this.#slots.length,
      packId: Uint8Array.from(packId) as PackId,
      hex,
      packKind: undefined,
      objects: 0,
      live: false,
      marked: false,
      isVouched: undefined,
      unreadable: undefined,
    };
    this.#slots.push(slot);
    this.#byHex.set(hex, slot);
    return slot;
  }

  *live(): Generator<PackSlot> {
    for (const slot of this.#slots) if (slot.live) yield slot;
  }

  /**
   * Takes over a list of packs.
   * @param slotsBefore - `count` when the listing began: packs taken up since are newer than the list.
   */
  setLive(listed: ReadonlySet<PackSlot>, slotsBefore: number): void {
    for (const pack of this.#slots) if (pack.slot < slotsBefore) pack.live = listed.has(pack);
    for (const pack of listed) pack.live = true;
  }

  get count(): number {
    return this.#slots.length;
  }
}
