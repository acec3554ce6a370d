/** What a repair is told and what it answers. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Progress } from "../base/progress.ts";
import type { SourceView } from "../source/view.ts";
import type { Repository } from "../store/repository.ts";

export interface RepairOptions {
  /** Files of the repository that a check found not to be as they were written. */
  readonly damagedFiles: readonly string[];
  /** Nothing is written. */
  readonly dryRun: boolean;
}

export interface RepairContext {
  readonly repository: Repository;
  /** Another repository with some of the same mail; opened for reading. */
  readonly other: Repository | undefined;
  /** Where the server's files lie: what is still there is taken again. */
  readonly spool: SourceView | undefined;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

export interface LostThing {
  readonly backup: string;
  readonly path: string;
  readonly mailbox?: string;
  readonly uid?: number;
  readonly message: string;
}

export interface RepairedBackup {
  readonly backup: string;
  /** The backup that stands in its place, from which what is lost has been cut; undefined in a plan, or where none could be made. */
  readonly became: string | undefined;
  /** Things that are lost for good. */
  readonly lost: number;
  /** Messages whose entries were lost and were made again from cyrus.index. */
  readonly messagesRebuilt: number;
}

export interface RecordMended {
  readonly name: string;
  readonly what: string;
}

export interface RepairResult {
  readonly dryRun: boolean;
  /** Objects in damaged packs that could still be read, and lie in other packs now. */
  readonly saved: { readonly objects: number; readonly bytes: number };
  /** Objects that could not be read any more and were found elsewhere. */
  readonly taken: { readonly fromRepository: number; readonly fromSpool: number };
  readonly backups: readonly RepairedBackup[];
  /** The first 1000. */
  readonly lost: readonly LostThing[];
  readonly lostTotal: number;
  /** Packs whose needed objects all lie elsewhere: their files are below `damaged/` now. */
  readonly setAside: readonly string[];
  /** Packs that must stay, and why. */
  readonly kept: readonly RecordMended[];
  /** Segments and the object index were made anew. */
  readonly rebuilt: boolean;
  readonly records: readonly RecordMended[];
  readonly seconds: number;
}
