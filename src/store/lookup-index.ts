/** The object index joined to the live packs: its pack numbers resolved, what it lacks filled in. */
import { isCyrvaultError } from "../base/errors.ts";
import type { LookupPacks, PackSlot } from "./lookup-packs.ts";
import type { ObjectIndex } from "./object-index.ts";
import type { PackDirectory } from "./pack-directory.ts";
import type { PackId } from "./pack-types.ts";
import type { Segment } from "./segment.ts";

/** A segment is read through if at least this share of its entries is wanted; else the packs' directories are. */
const READ_THROUGH_SHARE = 1 / 8;

/** `absent`: the index has no entry. `undefined`: an entry that means nothing any more; the object may be elsewhere. */
export type IndexAnswer = { readonly pack: PackSlot; readonly ordinal: number } | "absent" | undefined;

export class LookupIndex {
  readonly #index: ObjectIndex;
  readonly #packs: LookupPacks;
  readonly #byNumber = new Map<number, PackSlot>();

  constructor(index: ObjectIndex, packs: LookupPacks) {
    this.#index = index;
    this.#packs = packs;
  }

  /** Packs that it answers for. */
  get packCount(): number {
    return this.#byNumber.size;
  }

  async find(ids: readonly Uint8Array[]): Promise<IndexAnswer[]> {
    const entries = await this.#index.findMany(ids);
    return entries.map((entry) => {
      if (entry === undefined) return "absent";
      const pack = this.#byNumber.get(entry.packNumber);
      return pack?.live === true ? { pack, ordinal: entry.ordinal } : undefined;
    });
  }

  async addPack(packId: PackId, directory: PackDirectory): Promise<void> {
    await this.#index.addPack(packId, directory);
    this.#resolve(this.#packs.take(packId));
  }

  /** Drops packs that are not live, adds live ones that the index lacks. */
  async catchUp(
    segments: readonly Segment[],
    openDirectory: (pack: PackSlot) => Promise<{ directory: PackDirectory } | undefined>,
    onProgress?: (objects: number) => void,
  ): Promise<void> {
    const gone = [...this.#index.packs.keys()].filter((hex) => this.#packs.byHex(hex)?.live !== true);
    await this.#index.removePacks(gone);
    for (const hex of this.#index.packs.keys()) this.#resolve(this.#packs.byHex(hex) as PackSlot);

    const lacking = new Set([...this.#packs.live()].filter(({ hex }) => !this.#index.packs.has(hex)));
    for (const segment of segments) {
      const wanted = segment.packs.map(({ packId }) => this.#packs.take(packId));
      const packs = wanted.filter((pack) => lacking.has(pack));
      const entries = packs.reduce((sum, { objects }) => sum + objects, 0);
      if (packs.length < 2 || entries < segment.entries * READ_THROUGH_SHARE) continue;
      try {
        await this.#fillFrom(segment, wanted, packs, onProgress);
      } catch (error) {
        if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "OBJECT_MISSING"))
          throw error;
        continue;
      }
      for (const pack of packs) lacking.delete(pack);
    }
    for (const pack of lacking) {
      const opened = await openDirectory(pack);
      if (opened === undefined) continue;
      await this.addPack(pack.packId, opened.directory);
      onProgress?.(opened.directory.objectCount);
    }
  }

  close(): Promise<void> {
    return this.#index.close();
  }

  /** @param all - the packs in the order of the segment's list. */
  async #fillFrom(
    segment: Segment,
    all: readonly PackSlot[],
    wanted: readonly PackSlot[],
    onProgress?: (objects: number) => void,
  ): Promise<void> {
    const filler = this.#index.fill(wanted.map(({ packId }) => packId));
    const isWanted = new Set(wanted);
    const numbers = all.map((pack) => (isWanted.has(pack) ? filler.numberOf(pack.packId) : -1));
    for (let number = 0; number < segment.pageCount; number++) {
      const page = await segment.readPage(number);
      for (let offset = 0; offset < page.length; offset += segment.entryBytes) {
        const packNumber = numbers[segment.packAt(page, offset)] as number;
        if (packNumber < 0) continue;
        const written = filler.add(page, offset, packNumber, segment.ordinalAt(page, offset));
        if (written !== undefined) await written;
      }
      onProgress?.(page.length / segment.entryBytes);
    }
    await filler.finish();
    for (const pack of wanted) this.#resolve(pack);
  }

  #resolve(pack: PackSlot): void {
    this.#byNumber.set(this.#index.packs.get(pack.hex) as number, pack);
  }
}
