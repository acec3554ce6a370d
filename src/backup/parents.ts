/** What went before: the last backup of this server, and what an interrupted run of it has left. */
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import type { Repository } from "../store/repository.ts";

export interface Parents {
  readonly backup: ManifestRoot | undefined;
  /** Newer than `backup`: holds what the interrupted run had finished. */
  readonly checkpoint: ManifestRoot | undefined;
}

export async function findParents(repository: Repository, server: string): Promise<Parents> {
  let backup: ManifestRoot | undefined;
  const names = (await repository.listBackups()).map(({ id }) => id).sort();
  for (const id of names.reverse()) {
    const root = await readRoot(repository, id);
    if (root?.server !== server) continue;
    backup = root;
    break;
  }
  let checkpoint: ManifestRoot | undefined;
  for (const bytes of await repository.readCheckpoints()) {
    const root = decodeRoot(bytes);
    if (root.server !== server || (backup !== undefined && root.startedMs < backup.startedMs)) continue;
    if (checkpoint === undefined || root.completedMs > checkpoint.completedMs) checkpoint = root;
  }
  return { backup, checkpoint };
}

/** undefined: it was forgotten between the listing and now, or cannot be read: an older one serves as parent then. */
async function readRoot(repository: Repository, id: string): Promise<ManifestRoot | undefined> {
  try {
    return decodeRoot(await repository.readBackup(id));
  } catch (error) {
    if (isCyrvaultError(error, "REPOSITORY_DAMAGED") || isCyrvaultError(error, "BACKUP_NOT_FOUND"))
      return undefined;
    throw error;
  }
}
