/** A repository on this machine's disk, looked into by the test itself while no command is at work. */
import { join } from "node:path";
import { openBackend } from "../../src/backend/open-backend.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { assembleMessage } from "../../src/chunker/assemble.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { openRepository, type Repository } from "../../src/store/repository.ts";
import { comparable, restoreOptions } from "../unit/restore/restore-fixture.ts";
import { tempDir } from "./temp-dir.ts";
import { compareTrees, readTree, type Tree } from "./tree-compare.ts";

async function withRepository<T>(path: string, use: (repository: Repository) => Promise<T>): Promise<T> {
  const backend = await openBackend(path);
  try {
    const repository = await openRepository(backend, { assemble: assembleMessage });
    try {
      return await use(repository);
    } finally {
      await repository.close();
    }
  } finally {
    await backend.close();
  }
}

/**
 * Differences between what the backup was made of and what comes back.
 * @param server - the directory that `tree` was read from.
 */
export async function restoreDifferences(
  path: string,
  backup: string,
  tree: Tree,
  server: string,
): Promise<string[]> {
  using target = tempDir();
  const incomplete = await withRepository(path, async (repository) => {
    const root = decodeRoot(await repository.readBackup(backup));
    const prepared = await planRestore(restoreOptions(target.path), root, repository.objects);
    const context = { source: repository.objects, clock: systemClock, progress: new Progress() };
    return (await runRestore({ ...prepared }, context)).incomplete;
  });
  const differences = compareTrees(tree, readTree(join(target.path, server)), comparable);
  return incomplete ? ["the restore is incomplete", ...differences] : differences;
}

export async function checkErrors(path: string, readDataPercent = 0): Promise<readonly unknown[]> {
  return await withRepository(path, async (repository) => {
    const context = { repository, assemble: assembleMessage, clock: systemClock, progress: new Progress() };
    return (await runCheck({ readDataPercent }, context)).errors;
  });
}
