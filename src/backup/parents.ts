/** What went before: the last backup of this server, and what an interrupted run of it has left. */
import { type CyrvaultError, isCyrvaultError } from "../base/errors.ts";
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

/** Told of a backup that is damaged, of whichever server. */
export type OnUnreadable = (backup: string, error: CyrvaultError) => void;

const NOT_BUILT_UPON: ReadonlySet<string> = new Set([
  "REPOSITORY_DAMAGED",
  "BACKUP_NOT_FOUND",
  "KEY_WRITE_ONLY",
]);
/** Of very many runs that were interrupted, those that got furthest. */
const CHECKPOINTS_MAX = 4;

export const NO_PARENTS: Parents = { backup: undefined, checkpoints: [], checkpointRuns: [] };

/**
 * Only what who may read has made: of others nothing is taken over unread. Who may only write builds upon what this machine
 * has made and remembers; nothing else opens.
 */
export async function findParents(
  repository: Repository,
  server: string,
  onUnreadable?: OnUnreadable,
): Promise<Parents> {
  if (!repository.remembers) return NO_PARENTS;
  const by = repository.mayRead ? "readers" : undefined;
  let backup: ManifestRoot | undefined;
  const names = (await repository.listBackups()).map(({ id }) => id).sort();
  for (const id of names.reverse()) {
    const root = await orNothing(
      async () => decodeRoot(await repository.readBackup(id, by)),
      (error) => onUnreadable?.(id, error),
    );
    if (root?.server !== server) continue;
    backup = root;
    break;
  }
  const checkpoints: { readonly run: string; readonly root: ManifestRoot }[] = [];
  for (const { run, bytes } of await repository.listCheckpoints(by)) {
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

/** undefined: it was forgotten between the listing and now, or cannot be opened: an older one serves as parent then. */
async function orNothing(
  read: () => Promise<ManifestRoot>,
  onDamaged?: (error: CyrvaultError) => void,
): Promise<ManifestRoot | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isCyrvaultError(error) || !NOT_BUILT_UPON.has(error.code)) throw error;
    if (error.code === "REPOSITORY_DAMAGED") onDamaged?.(error);
    return undefined;
  }
}
