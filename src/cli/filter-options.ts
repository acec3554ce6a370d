/** What a backup leaves out besides whole mailboxes by name, and what it adds. */
import type { Command } from "commander";
import type { BackupFilter, BackupOptions } from "../backup/options.ts";
import { CyrvaultError } from "../base/errors.ts";
import { parseDuration } from "../retention/parse-rules.ts";
import { collect } from "./command.ts";
import { parseBytes } from "./parse-size.ts";

export interface FilterGiven {
  readonly excludeLarger?: string;
  readonly excludeOlder?: string;
  readonly excludeSpecialUse?: readonly string[];
  readonly textDumps?: boolean;
  readonly only?: string;
}

export function addFilterOptions(command: Command): Command {
  return command
    .option("--exclude-larger <size>", "leave out messages of more bytes: 50M")
    .option("--exclude-older <time>", "leave out messages whose internal date is longer ago: 5y, 90d")
    .option(
      "--exclude-special-use <uses>",
      "exclude mailboxes that their owners use as such: Junk,Trash; may be given several times",
      collect,
    )
    .option("--only <part>", "mailbox-list: a small backup of its own, to be made often")
    .option("--text-dumps", "annotations, seen state, subscriptions and quotas also as text files");
}

/** @throws {CyrvaultError} `USAGE`. */
export function filterOptions(given: FilterGiven): BackupFilter {
  const { excludeLarger, excludeOlder, excludeSpecialUse } = given;
  return {
    ...(excludeLarger === undefined ? {} : { excludeLarger: parseBytes(excludeLarger, "--exclude-larger") }),
    ...(excludeOlder === undefined ? {} : { excludeOlderMs: parseAge(excludeOlder) }),
    ...(excludeSpecialUse === undefined
      ? {}
      : { excludeSpecialUse: excludeSpecialUse.flatMap((uses) => uses.split(",").map(parseUse)) }),
  };
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseOnly({ only }: FilterGiven): BackupOptions["only"] {
  if (only === undefined || only === "mailbox-list") return only;
  throw new CyrvaultError("USAGE", `--only ${only}: it is mailbox-list`);
}

function parseAge(text: string): number {
  const ms = parseDuration("--exclude-older", text);
  if (ms > 0) return ms;
  throw new CyrvaultError("USAGE", `--exclude-older ${text}: that would be every message`);
}

/** RFC 6154: `\Junk`; the backslash may be left away. */
function parseUse(text: string): string {
  const use = /^\s*\\?([A-Za-z]{1,30})\s*$/.exec(text)?.[1];
  if (use !== undefined) return `\\${use}`;
  throw new CyrvaultError("USAGE", `--exclude-special-use ${text}: not a special use`, {
    hint: "write Junk, Trash, Sent, Drafts, Archive …, with a comma between two",
  });
}
