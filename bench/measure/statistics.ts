/** What several rounds come to. */

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** Undefined for no values. */
export function summarise(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] as number;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), rounds: sorted.length };
}

export function median(values: readonly number[]): number | undefined {
  return summarise(values)?.median;
}

/** Every other round runs the other way round, so that none always comes first. @param round - from 0. */
export function inTurn<T>(things: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? things : things.toReversed();
}
