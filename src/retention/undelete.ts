/** Brings a forgotten backup back. */
import { decodeRoot } from "../manifest/root.ts";
import { notForgotten, readForgotten, undeleteBackup } from "../store/forgotten.ts";
import type { Repository } from "../store/repository.ts";

/**
 * As a run, so that a prune at the same time knows of it: either it comes too late, or it finds the backup whole.
 * @param host - this machine.
 * @throws {CyrvaultError} `BACKUP_NOT_FOUND`: it was not forgotten, or has been pruned. `REPOSITORY_DAMAGED`, `RUN_FENCED`.
 */
export async function undelete(repository: Repository, id: string, host: string): Promise<void> {
  const forgotten = await readForgotten(repository, id);
  if (forgotten === undefined) throw notForgotten(id);
  const { server } = decodeRoot(forgotten.bytes);
  const run = await repository.startRun({ kind: "undelete", server, host, parent: id });
  try {
    await undeleteBackup(repository, id, () => run.requireStanding());
  } finally {
    await run.abort();
  }
}
