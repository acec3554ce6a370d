import type { Backend } from "../backend/backend.ts";
import type { Logger } from "../base/log.ts";
import { isListSeries } from "../manifest/list-series.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { refreshRecovery } from "../recovery/refresh.ts";
import { runbookForAnyBackup } from "../restore/runbook-for.ts";
import { version } from "./version.ts";

interface Place {
  readonly backend: Backend;
  readonly id: string;
  readonly encrypted: boolean;
}

/** What was done before stands, whatever happens here: a failure is a warning. @param root - of the backup just made. */
export async function refreshRecoveryFolder(
  { backend, id, encrypted }: Place,
  log: Logger,
  root?: ManifestRoot,
): Promise<void> {
  try {
    const server =
      root === undefined || isListSeries(root.server)
        ? undefined
        : { root, runbook: runbookForAnyBackup(root) };
    await refreshRecovery(backend, { id, encrypted, version: version() }, server);
  } catch (error) {
    log.warning("recovery/ in the repository is not up to date; nothing else suffers from it", {
      reason: error instanceof Error ? error.message : String(error),
    });
  }
}
