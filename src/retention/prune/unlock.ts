/** Takes away what commands that died have left in runs/: a plan first, then its execution. */
import type { Clock } from "../../base/clock.ts";
import { isCyrvaultError } from "../../base/errors.ts";
import { timeOfId } from "../../store/backup-files.ts";
import { fenceRuns, readGcState } from "../../store/gc-record.ts";
import type { Repository } from "../../store/repository.ts";
import { RUNS_PREFIX, type RunRecord, readRun } from "../../store/run-record.ts";
import { type Here, staleReason } from "../../store/stale-run.ts";

export interface FoundRun {
  readonly run: string;
  /** undefined: its file cannot be read. */
  readonly record: RunRecord | undefined;
  /** Why it counts as stopped; undefined: it does not. */
  readonly stale: string | undefined;
}

export interface UnlockPlan {
  readonly going: readonly FoundRun[];
  readonly staying: readonly FoundRun[];
}

/** @param force - all runs go: those that are alive fail, and what they have stored is reused. */
export async function planUnlock(
  { backend, sealer }: Pick<Repository, "backend" | "sealer">,
  clock: Clock,
  here: Here,
  force: boolean,
): Promise<UnlockPlan> {
  const found: FoundRun[] = [];
  for await (const { name } of backend.list(RUNS_PREFIX)) {
    const run = name.slice(RUNS_PREFIX.length);
    if (timeOfId(run) === undefined) continue;
    try {
      const record = await readRun(backend, sealer, run);
      if (record !== undefined) found.push({ run, record, stale: staleReason(record, clock.nowMs(), here) });
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      found.push({ run, record: undefined, stale: undefined });
    }
  }
  found.sort((a, b) => (a.run < b.run ? -1 : 1));
  const goes = ({ stale }: FoundRun) => force || stale !== undefined;
  return { going: found.filter(goes), staying: found.filter((one) => !goes(one)) };
}

/** After this none of them can commit. */
export async function runUnlock(repository: Repository, clock: Clock, { going }: UnlockPlan): Promise<void> {
  if (going.length === 0) return;
  repository.requireWritable();
  const { newest } = await readGcState(repository.backend, repository.sealer);
  await fenceRuns(
    repository,
    newest,
    going.map(({ run, record }) => ({ run, backup: record?.backup })),
    clock.nowMs(),
  );
}
