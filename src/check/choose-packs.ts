/** Of which packs the data is read again, and in which order. */
import { randomInt } from "node:crypto";
import type { PackId } from "../store/pack-types.ts";
import type { CheckedPack } from "./check-packs.ts";

export type DataShare =
  | { readonly percent: number }
  /** The packs of one of `of` parts, 1 to `of`: by their ids, so that all parts together are all packs. */
  | { readonly part: number; readonly of: number };

export interface ChoosePacksOptions {
  readonly share: DataShare;
  /** Only packs not verified within so many ms. */
  readonly olderThanMs: number | undefined;
  readonly nowMs: number;
  /** ms since the epoch; undefined: never. */
  readonly verifiedMs: (packId: PackId) => number | undefined;
}

/** Those not verified for the longest time first, in no order among those never verified. */
export function choosePacks(packs: Iterable<CheckedPack>, options: ChoosePacksOptions): CheckedPack[] {
  const { share, olderThanMs, nowMs, verifiedMs } = options;
  const all = shuffled([...packs]);
  const inShare = "part" in share ? all.filter(({ packId }) => partOf(packId, share.of) === share.part) : all;
  const wanted = inShare
    .map((pack) => ({ pack, verifiedMs: verifiedMs(pack.packId) ?? Number.NEGATIVE_INFINITY }))
    .filter((pack) => olderThanMs === undefined || pack.verifiedMs <= nowMs - olderThanMs)
    .sort((a, b) => (a.verifiedMs === b.verifiedMs ? 0 : a.verifiedMs - b.verifiedMs))
    .map(({ pack }) => pack);
  if (!("percent" in share)) return wanted;
  if (share.percent <= 0) return [];
  // At least one where any are wanted: a share of all packs, not of those that are due.
  return wanted.slice(0, Math.max(1, Math.ceil((all.length * share.percent) / 100)));
}

/** 1 to `of`. Pack ids are random: all parts are about as large. */
export function partOf(packId: PackId, of: number): number {
  return (Buffer.from(packId.buffer, packId.byteOffset, packId.byteLength).readUInt32BE() % of) + 1;
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = randomInt(i + 1);
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}
