/** Who else is at work in a repository. */
import type { Clock } from "../../base/clock.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { readRuns } from "../../store/backup-files.ts";
import type { Repository } from "../../store/repository.ts";
import type { RunRecord } from "../../store/run-record.ts";
import { type Here, staleReason } from "../../store/stale-run.ts";

export interface StaleRun {
  readonly record: RunRecord;
  /** For people. */
  readonly reason: string;
}

export interface Runs {
  /** Oldest first. */
  readonly live: readonly RunRecord[];
  readonly stale: readonly StaleRun[];
}

export type RunPlace = Pick<Repository, "backend" | "sealer">;

/**
 * @param own - a run that is not counted.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: a run's file cannot be read, so nobody knows what it needs.
 */
export async function sortRuns(place: RunPlace, clock: Clock, here: Here, own?: string): Promise<Runs> {
  const live: RunRecord[] = [];
  const stale: StaleRun[] = [];
  for (const record of await readRuns(place.backend, place.sealer, refuse)) {
    if (record.run === own) continue;
    const reason = staleReason(record, clock.nowMs(), here);
    if (reason === undefined) live.push(record);
    else stale.push({ record, reason });
  }
  return { live, stale };
}

function refuse(cause: CyrvaultError): never {
  throw new CyrvaultError("REPOSITORY_DAMAGED", `a run cannot be told: ${cause.message}`, {
    hint: "`cyrvault unlock --force` removes it when nobody is at work",
    cause,
  });
}

/** `a backup of mail on host-a, process 4711`. */
export function describeRun({ kind, server, host, pid }: RunRecord): string {
  const of = server === "" ? "" : ` of ${server}`;
  return `${kind === "undelete" ? "an undelete" : `a ${kind}`}${of} on ${host}, process ${pid}`;
}

export function lockedBy(record: RunRecord): CyrvaultError {
  return new CyrvaultError(
    "LOCKED",
    `${describeRun(record)}, is at work since ${new Date(record.startedMs).toISOString()}`,
    {
      hint: "wait for it with --lock-wait 1h; `cyrvault unlock` removes what a command that died has left",
      context: { run: record.run },
    },
  );
}
