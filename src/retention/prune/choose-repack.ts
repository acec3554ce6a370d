/** Which packs are written anew: a pure choice. */
import type { PackSlot } from "../../store/lookup-packs.ts";

export interface PackUse {
  readonly pack: PackSlot;
  /** Of its file. */
  readonly bytes: number;
  /** Of those, what nobody needs. */
  readonly unusedBytes: number;
}

export interface RepackChoice {
  /** The deadest first. */
  readonly packs: readonly PackUse[];
  /** Of all that are needed, before. */
  readonly unusedBytes: number;
  /** What a next prune would go on with. */
  readonly left: number;
}

/** The deadest packs go until what is of no use in those that remain is within bounds. */
export function chooseRepack(
  uses: readonly PackUse[],
  { maxUnused, repackBytesMax }: { readonly maxUnused: number; readonly repackBytesMax: number },
): RepackChoice {
  let bytes = 0;
  let unused = 0;
  for (const use of uses) {
    bytes += use.bytes;
    unused += use.unusedBytes;
  }
  const unusedBytes = unused;
  const share = ({ bytes, unusedBytes }: PackUse) => unusedBytes / Math.max(1, bytes);
  const deadest = uses
    .filter((use) => use.unusedBytes > 0)
    .sort((a, b) => share(b) - share(a) || (a.pack.hex < b.pack.hex ? -1 : 1));
  const packs: PackUse[] = [];
  let repacked = 0;
  let left = 0;
  for (const use of deadest) {
    if (unused <= bytes * maxUnused) break;
    const live = use.bytes - use.unusedBytes;
    // One goes in any case: else a bound that is too small would be one for ever.
    if (left > 0 || (packs.length > 0 && repacked + live > repackBytesMax)) left++;
    else {
      packs.push(use);
      repacked += live;
    }
    bytes -= use.unusedBytes;
    unused -= use.unusedBytes;
  }
  return { packs, unusedBytes, left };
}
