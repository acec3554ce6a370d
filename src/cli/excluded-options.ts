/** What a restore or an export makes of what the backup was told to leave out. */
import type { Command } from "commander";
import { CyrvaultError } from "../base/errors.ts";
import type { RestoreOptions } from "../restore/options.ts";

export interface ExcludedGiven {
  readonly excluded?: string;
  readonly rawIndex?: boolean;
}

export function addExcludedOptions(command: Command): Command {
  return command
    .option("--excluded <rule>", "mailboxes excluded from the backup: empty, or absent (default: empty)")
    .option("--raw-index", "each cyrus.index as it was, though it names messages that were left out");
}

/** @throws {CyrvaultError} `USAGE`. */
export function excludedOptions({
  excluded,
  rawIndex,
}: ExcludedGiven): Pick<RestoreOptions, "excluded" | "rawIndex"> {
  if (excluded !== undefined && excluded !== "empty" && excluded !== "absent")
    throw new CyrvaultError("USAGE", `--excluded ${excluded}: it is empty or absent`);
  return { excluded, rawIndex: rawIndex === true };
}
