/**
 * Who is in the sample: decided by the content's own hash, so that equal messages are in it together or not at
 * all, in whichever mailboxes they lie. The sample falls into ten groups in the same way: how far the estimates
 * without one of them lie apart says how sure they are.
 */
export const GROUPS = 10;

/** A message or another thing in the sample. */
export interface Draw {
  readonly chosen: boolean;
  /** 0 to `GROUPS` − 1. */
  readonly group: number;
}

/** @param hash - at least 14 bytes; the first 8 are left to tables. @param share - above 0, at most 1. */
export function draw(hash: Buffer, share: number): Draw {
  return {
    chosen: share >= 1 || hash.readUInt32BE(8) < share * 2 ** 32,
    group: hash.readUInt16BE(12) % GROUPS,
  };
}

/** A sum for each group. */
export class GroupSums {
  readonly #sums = new Float64Array(GROUPS);

  add(group: number, amount: number): void {
    this.#sums[group] = (this.#sums[group] as number) + amount;
  }

  /** @param without - this group left out; −1: none. */
  total(without = -1): number {
    return this.#sums.reduce((sum, amount, group) => (group === without ? sum : sum + amount), 0);
  }
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Student's t, 9 degrees of freedom, 95 % two-sided. */
const T_QUANTILE = 2.262;

/**
 * The jackknife with one group left out at a time. Nominally 95 %; it knows nothing of what no group has met, so
 * where few large things decide it is too narrow (docs/analyze.md has figures).
 * @param partial - the same estimate, of the sample without each group in turn.
 */
export function jackknife(value: number, partial: readonly number[]): Interval {
  const mean = partial.reduce((sum, one) => sum + one, 0) / partial.length;
  const squares = partial.reduce((sum, one) => sum + (one - mean) ** 2, 0);
  const halfWidth = T_QUANTILE * Math.sqrt((squares * (partial.length - 1)) / partial.length);
  return { low: Math.max(0, value - halfWidth), high: value + halfWidth };
}
