/** The run of a backup: begun upon what went before, alone among those of its server. */
import { hostname } from "node:os";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { newBackupId } from "../manifest/backup-id.ts";
import { readRuns } from "../store/backup-files.ts";
import type { Repository } from "../store/repository.ts";
import type { Run } from "../store/run.ts";
import type { RunRecord } from "../store/run-record.ts";
import { type Here, isStaleRun } from "../store/stale-run.ts";
import { type BoundServer, bindServer } from "./bind-server.ts";
import type { BackupOptions } from "./options.ts";
import { NO_PARENTS, type OnUnreadable } from "./parents.ts";

const STARTS_MAX = 5;

export interface StartContext {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly here?: Here;
  readonly isFirst?: boolean;
  readonly onUnreadable?: OnUnreadable;
}

export interface StartedBackup extends BoundServer {
  readonly run: Run;
  /** Its id. */
  readonly backup: string;
  readonly startedMs: number;
}

/** What went before may be forgotten, pruned or tidied away between the look at it and the start of the run: then we look again. */
export async function startBackup(options: BackupOptions, context: StartContext): Promise<StartedBackup> {
  const { repository } = context;
  for (let attempt = 1; ; attempt++) {
    const found = await bindServer(options, repository, context.onUnreadable);
    const bound = context.isFirst === true ? { ...found, parents: NO_PARENTS } : found;
    const { name, parents } = bound;
    const startedMs = context.clock.nowMs();
    const backup = newBackupId(startedMs);
    try {
      const run = await repository.startRun({
        server: name,
        host: hostname(),
        parent: parents.backup?.backup,
        checkpoints: parents.checkpointRuns,
        backup,
        compression: options.compression,
      });
      try {
        await requireAlone(run, name, context);
      } catch (error) {
        await run.abort();
        throw error;
      }
      return { ...bound, run, backup, startedMs };
    } catch (error) {
      if (!isCyrvaultError(error, "RUN_FENCED") || attempt >= STARTS_MAX) throw error;
    }
  }
}

/** For whoever does something before the run that another run must not suffer from. @throws {CyrvaultError} `LOCKED`. */
export async function requireNoOtherBackup(
  server: string,
  { repository, clock, here }: StartContext & { readonly here: Here },
): Promise<void> {
  const runs = await readRuns(repository.backend, repository.sealer, () => undefined);
  const other = runs.find(
    (record) =>
      record.kind === "backup" && record.server === server && !isStaleRun(record, clock.nowMs(), here),
  );
  if (other !== undefined) throw atWork(server, other);
}

/** Two would do the same work twice, and each store what the other does. Of two that see each other the older goes on. */
async function requireAlone(
  run: Run,
  server: string,
  { repository, clock, here }: StartContext,
): Promise<void> {
  if (here === undefined) return;
  const runs = await readRuns(repository.backend, repository.sealer, () => undefined);
  const own = runs.find((record) => record.run === run.id);
  const isOlder = (record: RunRecord): boolean =>
    own === undefined ||
    record.startedMs < own.startedMs ||
    (record.startedMs === own.startedMs && record.run < own.run);
  const other = runs.find(
    (record) =>
      record.kind === "backup" &&
      record.server === server &&
      record.run !== run.id &&
      isOlder(record) &&
      !isStaleRun(record, clock.nowMs(), here),
  );
  if (other !== undefined) throw atWork(server, other);
}

function atWork(server: string, other: RunRecord): CyrvaultError {
  return new CyrvaultError(
    "LOCKED",
    `a backup of ${server} is at work on ${other.host}, process ${other.pid}, since ${new Date(other.startedMs).toISOString()}`,
    { hint: "wait for it with --lock-wait 2h; `cyrvault unlock` removes what a backup that died has left" },
  );
}
