/** What the benchmark asks of a backup tool: which commands do what. */
import type { Command } from "../measure/command.ts";

export type ToolName = "cyrvault" | "restic" | "borg" | "bup";

/** One thing to do; more than one command where the tool wants it so. */
export type Operation = readonly Command[];

export interface Sources {
  readonly imapdConf: string;
  /** As `--root` of cyrvault. */
  readonly root: string;
  /** Directories and files of the server, as the other tools are told: none lies in another. */
  readonly paths: readonly string[];
}

export interface Place {
  /** The repository, with all that belongs to it. Not made yet. */
  readonly repository: string;
  /** For what the tool keeps elsewhere: caches, local state. There already. */
  readonly cache: string;
  readonly passwordFile: string;
}

export interface Tool {
  readonly name: ToolName;
  /** Prints its version on the first line of standard output. */
  readonly version: Command;
  /** Exit codes of a finished run. */
  readonly goodExits: readonly number[];
  init(place: Place): Operation;
  /** @param number - of the backup in its repository, from 1. */
  backup(place: Place, sources: Sources, number: number): Operation;
  /** The last backup, whole; the source's absolute paths come below `target`, which is there. @param number - as above. */
  restore(place: Place, target: string, number: number): Operation;
}
