/** Which places count for deduplication: in packs that are not marked and, where some may only write, only what is vouched for. */
import type { LookupPacks, PackSlot } from "./lookup-packs.ts";
import type { PackSeal } from "./pack-seal.ts";
import type { Sealer } from "./sealer.ts";
import type { Vouching } from "./vouching.ts";

export class LookupTrust {
  readonly #packs: LookupPacks;
  readonly #sealer: Sealer;
  #vouching: Vouching | undefined;

  constructor(packs: LookupPacks, sealer: Sealer) {
    this.#packs = packs;
    this.#sealer = sealer;
  }

  /** @param marked - hex. */
  setMarked(marked: ReadonlySet<string>): void {
    for (const pack of this.#packs.live()) pack.marked = marked.has(pack.hex);
  }

  setVouching(vouching: Vouching): void {
    this.#vouching = vouching;
  }

  /** A pack of our own. */
  wrote(pack: PackSlot, isRemembered: boolean): void {
    pack.isVouched = true;
    this.#vouching?.wrote(pack, isRemembered);
  }

  opened(pack: PackSlot, seal: PackSeal): void {
    if (this.#vouching !== undefined) this.#vouching.opened(pack, seal);
    else if (this.#sealer.mayRead) pack.isVouched ??= !seal.isUnvouched;
  }

  /** Of a pack whose directory is in memory: no waiting. */
  countsLoose(pack: PackSlot): boolean {
    return !pack.marked && (this.#vouching === undefined || pack.isVouched === true);
  }

  async counts(
    { pack, ordinal }: { readonly pack: PackSlot; readonly ordinal: number },
    id: Uint8Array,
  ): Promise<boolean> {
    return !pack.marked && (this.#vouching === undefined || (await this.#vouching.counts(pack, ordinal, id)));
  }
}
