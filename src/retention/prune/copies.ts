/**
 * What lies in several packs, from two writers at once or from a repack that broke off: one copy is kept as the needed
 * one. Which, follows from what is there alone, so that two prunes come to the same.
 */
import { equalBytes } from "../../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../../base/errors.ts";
import { Cache } from "../../store/cache.ts";
import type { CopiedObject, CopyPlace } from "../../store/lookup-copies.ts";
import type { PackSlot } from "../../store/lookup-packs.ts";
import { type OpenedPack, openPack } from "../../store/pack-reader.ts";
import type { Repository } from "../../store/repository.ts";
import type { PlaceBits } from "./needed-objects.ts";

const DIRECTORY_BYTES = 24 * 1024 * 1024;
const ATTEMPTS_MAX = 5;

/**
 * Clears in `needed` all but one copy of each object, and sets in `spare` those that it has cleared.
 * @param counts - whether a pack may be relied on: not one that is marked.
 */
export async function settleCopies(
  repository: Repository,
  needed: PlaceBits,
  spare: PlaceBits,
  isMarked: (pack: PackSlot) => boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const directories = new PackDirectories(repository);
  let some = false;
  await eachCopied(repository, signal, async (places) => {
    if (!places.some(({ pack, ordinal }) => needed.has(pack, ordinal))) return;
    for (const copies of await directories.alike(places)) {
      if (!copies.some(({ pack, ordinal }) => needed.has(pack, ordinal))) continue;
      for (const { pack, ordinal } of copies) needed.set(pack, ordinal);
      some = true;
    }
  });
  if (!some) return;
  // Every copy counts now: the more of a pack is needed, the longer it stays.
  const shares = new Map<PackSlot, number>();
  const shareOf = (pack: PackSlot): number => {
    let share = shares.get(pack);
    if (share === undefined) {
      share = needed.count(pack) / Math.max(1, pack.objects);
      shares.set(pack, share);
    }
    return share;
  };
  const order = (a: CopyPlace, b: CopyPlace): number =>
    Number(isMarked(a.pack)) - Number(isMarked(b.pack)) ||
    shareOf(b.pack) - shareOf(a.pack) ||
    (a.pack.hex < b.pack.hex ? -1 : a.pack.hex > b.pack.hex ? 1 : a.ordinal - b.ordinal);
  await eachCopied(repository, signal, async (places) => {
    for (const copies of await directories.alike(places)) {
      if (copies.length < 2 || !copies.every(({ pack, ordinal }) => needed.has(pack, ordinal))) continue;
      // Before anything is cleared, so that no decision depends on an earlier one.
      for (const { pack } of copies) shareOf(pack);
      for (const { pack, ordinal } of [...copies].sort(order).slice(1)) {
        needed.clear(pack, ordinal);
        spare.set(pack, ordinal);
      }
    }
  });
}

/** Goes through them again, perhaps, when somebody merges segments meanwhile: `use` may be given the same twice. */
async function eachCopied(
  { lookup }: Repository,
  signal: AbortSignal | undefined,
  use: (places: CopiedObject) => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      for await (const places of lookup.copies()) {
        signal?.throwIfAborted();
        await use(places);
      }
      return;
    } catch (error) {
      if (!isCyrvaultError(error, "OBJECT_MISSING") || attempt >= ATTEMPTS_MAX) throw error;
      await lookup.refresh();
    }
  }
}

/**
 * Whether every object that a pack has to spare can really be read from where it is kept.
 * @returns what is wrong with the first that cannot.
 */
export async function verifySpare(
  repository: Repository,
  pack: PackSlot,
  needed: PlaceBits,
  spare: PlaceBits,
  verify: (copy: OpenedPack, ordinal: number) => Promise<void>,
): Promise<CyrvaultError | undefined> {
  if (spare.count(pack) === 0) return undefined;
  const directories = new PackDirectories(repository);
  try {
    const own = await directories.open(pack);
    if (own === undefined) return undefined;
    for (let ordinal = 0; ordinal < own.directory.objectCount; ordinal++) {
      if (!spare.has(pack, ordinal)) continue;
      const id = own.directory.idAt(ordinal);
      let isFound = false;
      for await (const place of repository.lookup.candidates(id)) {
        if (place.pack === pack || !needed.has(place.pack, place.ordinal)) continue;
        const copy = await directories.open(place.pack);
        if (copy === undefined || !equalBytes(copy.directory.idAt(place.ordinal), id)) continue;
        await verify(copy, place.ordinal);
        isFound = true;
        break;
      }
      if (!isFound) return new CyrvaultError("OBJECT_MISSING", `${pack.hex}: an object has no other copy`);
    }
    return undefined;
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED") || isCyrvaultError(error, "OBJECT_MISSING"))
      return error;
    throw error;
  }
}

class PackDirectories {
  readonly #repository: Repository;
  readonly #opened = new Cache<string, OpenedPack | undefined>(
    DIRECTORY_BYTES,
    (pack) => pack?.directory.memoryBytes ?? 64,
  );

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  open(pack: PackSlot): Promise<OpenedPack | undefined> {
    const { backend, seal } = this.#repository;
    return this.#opened.get(pack.hex, () => openPack(backend, pack.packId, seal));
  }

  /** Those of the places whose packs really have one and the same object there, by object. */
  async alike(places: readonly CopyPlace[]): Promise<CopyPlace[][]> {
    const groups: { readonly id: Uint8Array; readonly kind: string; readonly copies: CopyPlace[] }[] = [];
    for (const place of places) {
      const directory = await this.#directory(place.pack);
      if (directory === undefined || place.ordinal >= directory.objectCount) continue;
      const id = directory.idAt(place.ordinal);
      const kind = directory.kindAt(place.ordinal);
      const group = groups.find((other) => other.kind === kind && equalBytes(other.id, id));
      if (group === undefined) groups.push({ id, kind, copies: [place] });
      else group.copies.push(place);
    }
    return groups.map(({ copies }) => copies);
  }

  async #directory(pack: PackSlot): Promise<OpenedPack["directory"] | undefined> {
    try {
      return (await this.open(pack))?.directory;
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      return undefined;
    }
  }
}
