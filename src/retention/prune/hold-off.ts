/** Holding pruning off, for as long as somebody copies the repository. */
import type { Clock } from "../../base/clock.ts";
import type { Repository } from "../../store/repository.ts";
import type { Here } from "../../store/stale-run.ts";
import { type Hold, removeHold, writeHold } from "./holds.ts";
import { lockedBy, sortRuns } from "./runs.ts";

/**
 * From when it resolves until the hold ends, nothing is marked or swept.
 * @throws {CyrvaultError} `LOCKED`: a prune is at work; nothing is held off then.
 */
export async function holdOff(
  {
    repository,
    clock,
    here,
  }: { readonly repository: Repository; readonly clock: Clock; readonly here: Here },
  { forMs, reason }: { readonly forMs: number; readonly reason: string },
): Promise<Hold> {
  repository.requireWritable();
  const requireNoPrune = async (): Promise<void> => {
    const { live, stale } = await sortRuns(repository, clock, here);
    // One that seems to be dead may still be removing what it has swept.
    const prune = [...live, ...stale.map(({ record }) => record)].find(({ kind }) => kind === "prune");
    if (prune !== undefined) throw lockedBy(prune);
  };
  await requireNoPrune();
  const hold = await writeHold(repository, { nowMs: clock.nowMs(), forMs, reason });
  try {
    // A prune writes its run before it looks for holds: one of us sees the other.
    await requireNoPrune();
  } catch (error) {
    await removeHold(repository, hold.id);
    throw error;
  }
  return hold;
}
