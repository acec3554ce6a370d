/** Which messages a backup leaves out by what the index says of them. The same rule when it is made and when it is restored. */
import type { ManifestRoot } from "./model.ts";

const SECOND_MS = 1000;

export interface FilteredRecord {
  readonly size: number;
  /** Seconds since the epoch; 0: the index has none. */
  readonly internalDate: number;
}

export type MessageFilter = (record: FilteredRecord) => boolean;

/**
 * @param startedMs - when the backup was begun: age counts from there.
 * @returns whether a message is left out; undefined: there is no such rule.
 */
export function messageFilter(
  { excludeLarger, excludeOlderMs }: Pick<ManifestRoot["selection"], "excludeLarger" | "excludeOlderMs">,
  startedMs: number,
): MessageFilter | undefined {
  if (excludeLarger === undefined && excludeOlderMs === undefined) return undefined;
  const sizeMax = excludeLarger ?? Number.POSITIVE_INFINITY;
  const from =
    excludeOlderMs === undefined ? Number.NEGATIVE_INFINITY : (startedMs - excludeOlderMs) / SECOND_MS;
  return ({ size, internalDate }) => size > sizeMax || (internalDate > 0 && internalDate < from);
}
