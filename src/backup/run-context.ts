/** What a run is given besides its options, and what it makes. */
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { Repository } from "../store/repository.ts";
import type { Here } from "../store/stale-run.ts";
import type { LiveSource } from "./live-rounds.ts";
import type { MailboxTasks } from "./mailbox-tasks.ts";
import type { BackupResult } from "./options.ts";
import type { OnUnreadable } from "./parents.ts";
import type { SourceCut } from "./source-cut.ts";

export interface BackupContext {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly progress: Progress;
  /** Rules of `findings --accept`. */
  readonly acceptRules: readonly string[];
  /** For the temporary file of very many findings. */
  readonly temporary?: string;
  /** This machine. Given, only one backup of a server is at work at a time. */
  readonly here?: Here;
  /** Free bytes where the repository lies, for `limits.freeBytes`. */
  readonly freeBytes?: () => number | undefined;
  /** Of a view that somebody takes for this run. */
  readonly cut?: SourceCut;
  /** Of a server that runs meanwhile. */
  readonly live?: LiveSource;
  /** Called once the backup is made. Must not throw. */
  readonly onCommitted?: (root: ManifestRoot) => Promise<void>;
  /** Told of backups that may be of this server and are damaged: an older one is built upon. */
  readonly onUnreadable?: OnUnreadable;
  /** Nothing is built upon. */
  readonly isFirst?: boolean;
  /** The tree is in use: only a mailbox that proves to be of one moment is fit to be taken over from this run. */
  readonly mustProve?: boolean;
  /** Stops the run at the next good place; what was stored so far serves the next one. */
  readonly signal?: AbortSignal;
}

/** A manifest that is written but for its root, and how it came about. */
export interface MadeBackup {
  readonly root: ManifestRoot;
  readonly tasks: MailboxTasks;
  /** By position of the task, see `Processed`. */
  readonly takenOver: Uint8Array;
  readonly renamed: number;
  readonly directories: BackupResult["directories"];
}
