import type { FileStat } from "../manifest/model.ts";

/** Timestamps this close to the cut may hide a later change of the same tick. */
const RACY_NS = 2_000_000_000n;

/** Which files may have changed once more at the cut without its showing: their entries are not taken over by the next run. */
export function racyAt(cutMs: number): (stat: FileStat) => boolean {
  const racyFromNs = BigInt(cutMs) * 1_000_000n - RACY_NS;
  return ({ mtimeNs, ctimeNs }) => mtimeNs >= racyFromNs || ctimeNs >= racyFromNs;
}
