/** Where everything that is needed begins: backups, forgotten ones that are still kept, checkpoints. */

import { isCyrvaultError } from "../../base/errors.ts";
import type { ManifestRoot } from "../../manifest/model.ts";
import { decodeRoot } from "../../manifest/root.ts";
import {
  BACKUPS_PREFIX,
  CHECKPOINTS_PREFIX,
  checkpointName,
  listBackups,
  readCheckpoint,
  timeOfId,
} from "../../store/backup-files.ts";
import { FORGOTTEN_PREFIX, listForgotten, readForgotten } from "../../store/forgotten.ts";
import type { Repository } from "../../store/repository.ts";
import type { RunRecord } from "../../store/run-record.ts";
import { unreadable } from "./needed-objects.ts";

export interface RootFiles {
  readonly backups: readonly string[];
  readonly forgotten: readonly string[];
  /** Ids of their runs. */
  readonly checkpoints: readonly string[];
}

/**
 * A backup moves between backups/ and forgotten/, in either direction, by being written in the one before it is removed
 * from the other. Two lists of each in turns, and what stands in any of them, miss one only if it moves three times meanwhile.
 */
export async function listRoots({ backend }: Pick<Repository, "backend">): Promise<RootFiles> {
  const checkpoints = new Set<string>();
  for await (const { name } of backend.list(CHECKPOINTS_PREFIX)) {
    const run = name.slice(CHECKPOINTS_PREFIX.length);
    if (timeOfId(run) !== undefined) checkpoints.add(run);
  }
  const backups = new Set<string>();
  const forgotten = new Set<string>();
  for (let round = 0; round < 2; round++) {
    for (const { id } of await listBackups(backend)) backups.add(id);
    for (const id of await listForgotten(backend)) forgotten.add(id);
  }
  return {
    backups: [...backups].sort(),
    forgotten: [...forgotten].sort(),
    checkpoints: [...checkpoints].sort(),
  };
}

/** Runs that build upon something that is not to be found: nobody knows what they need. */
export function runsWithoutParents(runs: readonly RunRecord[], roots: RootFiles): RunRecord[] {
  const backups = new Set([...roots.backups, ...roots.forgotten]);
  const checkpoints = new Set(roots.checkpoints);
  return runs.filter(
    ({ parent, checkpoints: built }) =>
      (parent !== undefined && !backups.has(parent)) || built.some((run) => !checkpoints.has(run)),
  );
}

export interface NamedRoot {
  /** Of its file. */
  readonly name: string;
  readonly root: ManifestRoot;
}

/**
 * One after the other, newest backups first: what they share with older ones is then known.
 * @param without - forgotten backups that don't count.
 * @throws {CyrvaultError} when one of them cannot be read.
 */
export async function* readRoots(
  repository: Repository,
  files: RootFiles,
  without: ReadonlySet<string>,
): AsyncGenerator<NamedRoot> {
  const { backend, sealer } = repository;
  const forgotten = new Set(files.forgotten.filter((id) => !without.has(id)));
  for (const id of [...new Set([...files.backups, ...forgotten])].sort().reverse()) {
    // Wherever it was, it may have moved to the other place.
    for (const read of [readStanding, readDropped, readStanding]) {
      const found = await read(repository, id);
      if (found === undefined) continue;
      yield found;
      break;
    }
  }
  for (const run of files.checkpoints) {
    const name = checkpointName(run);
    const checkpoint = await named(name, () => readCheckpoint(backend, sealer, run));
    if (checkpoint !== undefined)
      yield { name, root: await named(name, async () => decodeRoot(checkpoint.bytes)) };
  }
}

async function readStanding(repository: Repository, id: string): Promise<NamedRoot | undefined> {
  const name = BACKUPS_PREFIX + id;
  return await named(name, async () => {
    try {
      return { name, root: decodeRoot(await repository.readBackup(id)) };
    } catch (error) {
      if (isCyrvaultError(error, "BACKUP_NOT_FOUND")) return undefined;
      throw error;
    }
  });
}

async function readDropped(repository: Repository, id: string): Promise<NamedRoot | undefined> {
  const name = FORGOTTEN_PREFIX + id;
  return await named(name, async () => {
    const forgotten = await readForgotten(repository, id);
    return forgotten === undefined ? undefined : { name, root: decodeRoot(forgotten.bytes) };
  });
}

async function named<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "REPOSITORY_VERSION"))
      throw error;
    throw unreadable(name, "its root", error.message, error);
  }
}
