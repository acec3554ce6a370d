/**
 * A backup, from the frozen tree to the manifest. Reads like this: where everything lies → which backup went
 * before → what is there (survey) → which mailboxes there are (join) → what of them has changed → read, cut, store
 * → the manifest, whose appearance in the repository makes the backup.
 */

import { isCyrvaultError } from "../base/errors.ts";
import { encodeRoot } from "../manifest/root.ts";
import { BackupRun } from "./backup-run.ts";
import { composeResult } from "./compose-result.ts";
import { type LookAgain, makeInRounds } from "./live-rounds.ts";
import type { BackupOptions, BackupResult } from "./options.ts";
import type { BackupContext, MadeBackup } from "./run-context.ts";
import { type StartedBackup, startBackup } from "./start-backup.ts";

export async function runBackup(options: BackupOptions, context: BackupContext): Promise<BackupResult> {
  try {
    return await runOnce(options, context);
  } catch (error) {
    // Prune has put what this machine remembers into packs of a reader's, which it cannot open.
    if (!isCyrvaultError(error, "KEY_WRITE_ONLY")) throw error;
    return await runOnce(options, { ...context, isFirst: true });
  }
}

async function runOnce(options: BackupOptions, context: BackupContext): Promise<BackupResult> {
  const started = await startBackup(options, context);
  try {
    const began = context.clock.monotonicMs();
    const makeOne = (given: StartedBackup, mustLookAgain?: LookAgain) =>
      new BackupRun(options, context, given, mustLookAgain).make();
    const { root, renamed, directories } =
      context.live === undefined
        ? await makeOne(started)
        : await makeInRounds(context.live, started, makeOne);
    const { run, backup } = started;
    const rootBytes = encodeRoot(root);
    const sealedBytes = await run.commit(backup, rootBytes);
    await context.onCommitted?.(root);
    const { storedBytes, segmentBytes } = run.writer.stats;
    return await composeResult(root, context.repository.objects, {
      directories,
      renamed,
      storedBytes: storedBytes + segmentBytes + sealedBytes,
      seconds: (context.clock.monotonicMs() - began) / 1000,
    });
  } catch (error) {
    await started.run.abort();
    throw error;
  }
}

/** Everything but the commit. */
export async function makeBackup(
  options: BackupOptions,
  context: BackupContext,
  started: StartedBackup,
): Promise<MadeBackup> {
  return await new BackupRun(options, context, started).make();
}
