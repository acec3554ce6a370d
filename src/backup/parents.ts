/** What went before: the last backup of this server, and what an interrupted run of it has left. */
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import type { Repository } from "../store/repository.ts";

export interface Parents {
  readonly backup: ManifestRoot | undefined;
  /**
   * Newer than `backup`, newest first: each holds what an interrupted run had finished. One that was interrupted soon
   * after it began has less than the one before it.
   */
  readonly checkpoints: readonly ManifestRoot[];
  /** The runs that left them. */
  readonly checkpointRuns: readonly string[];
}

/** Of very many runs that were interrupted, those that got furthest. */
const CHECKPOINTS_MAX = 4;

/** Only what who may read has made: of others nothing is taken over unread. Who may only write builds upon nothing. */
export async function findParents(repository: Repository, server: string): Promise<Parents> {
  if (!repository.mayRead) return { backup: undefined, checkpoints: [], checkpointRuns: [] };
  let backup: ManifestRoot | undefined;
  const names = (await repository.listBackups()).map(({ id }) => id).sort();
  for (const id of names.reverse()) {
    const root = await orNothing(async () => decodeRoot(await repository.readBackup(id, "readers")));
    if (root?.server !== server) continue;
    backup = root;
    break;
  }
  const checkpoints: { readonly run: string; readonly root: ManifestRoot }[] = [];
  for (const { run, bytes } of await repository.listCheckpoints("readers")) {
    const root = await orNothing(async () => decodeRoot(bytes));
    if (root?.server !== server || (backup !== undefined && root.startedMs < backup.startedMs)) continue;
    checkpoints.push({ run, root });
  }
  const furthest = checkpoints
    .sort((a, b) => b.root.counts.messages - a.root.counts.messages)
    .slice(0, CHECKPOINTS_MAX)
    .sort((a, b) => b.root.completedMs - a.root.completedMs);
  return {
    backup,
    checkpoints: furthest.map(({ root }) => root),
    checkpointRuns: furthest.map(({ run }) => run),
  };
}

/** undefined: it was forgotten between the listing and now, or cannot be read: an older one serves as parent then. */
async function orNothing(read: () => Promise<ManifestRoot>): Promise<ManifestRoot | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED") || isCyrvaultError(error, "BACKUP_NOT_FOUND"))
      return undefined;
    throw error;
  }
}
