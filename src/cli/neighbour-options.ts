/** How much of a machine a backup takes that serves mail at the same time. */
import { statfsSync } from "node:fs";
import type { Command } from "commander";
import { limited } from "../backend/limited.ts";
import type { BackupLimits, BackupOptions } from "../backup/options.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { lowerPriority } from "../base/posix-priority.ts";
import { RateLimit } from "../base/rate-limit.ts";
import { parseSpan } from "../retention/parse-rules.ts";
import type { WrapBackend } from "./compose.ts";
import { parseBytes } from "./parse-size.ts";
import type { Session } from "./session.ts";
import { neighbourThreads, parseThreads, threadsBeside } from "./threads.ts";

export interface NeighbourGiven {
  readonly threads?: string;
  readonly priority?: string;
  readonly readLimit?: string;
  readonly uploadLimit?: string;
  readonly maxDuration?: string;
  readonly minFree?: string;
}

export function addNeighbourOptions(command: Command): Command {
  return command
    .option(
      "--threads <n>",
      "worker threads (default: half of the cores, two at least, three at most, one on a server of very many mailboxes)",
    )
    .option("--priority <priority>", "low: others are served first; normal", "low")
    .option("--read-limit <size>", "read at most so much of the server's files in a second: 50M")
    .option("--upload-limit <size>", "write at most so much into the repository in a second: 10M")
    .option(
      "--max-duration <time>",
      "after so long read no further message: 6h. What is there is a backup, the rest is named (exit code 3)",
    )
    .option("--min-free <size>", "stop before less than this is free where the repository lies: 10G");
}

/** @throws {CyrvaultError} `USAGE`. */
export function neighbourOptions(
  given: NeighbourGiven,
  clock: Clock,
): {
  readonly threads: BackupOptions["threads"];
  readonly limits: BackupLimits;
} {
  return {
    threads:
      given.threads === undefined
        ? (mailboxes) => threadsBeside(mailboxes, neighbourThreads())
        : parseThreads(given.threads),
    limits: {
      readRate: optional(given.readLimit, (text) => parseBytes(text, "--read-limit")),
      untilMs: optional(given.maxDuration, (text) => clock.monotonicMs() + parseSpan("--max-duration", text)),
      freeBytes: optional(given.minFree, (text) => parseBytes(text, "--min-free")),
    },
  };
}

/** @throws {CyrvaultError} `USAGE`. */
export function requirePriority({ priority }: NeighbourGiven): void {
  if (priority === undefined || priority === "low" || priority === "normal") return;
  throw new CyrvaultError("USAGE", `--priority ${priority}: it is low or normal`);
}

/** @throws {CyrvaultError} `USAGE`. */
export function applyPriority(given: NeighbourGiven, log: Logger): void {
  requirePriority(given);
  if (given.priority === "normal") return;
  const { processor, disk } = lowerPriority();
  if (!processor || !disk) log.debug("priority is not lowered everywhere", { processor, disk });
}

/** undefined: no limit was given. @throws {CyrvaultError} `USAGE`. */
export function uploadLimit(
  { uploadLimit: given }: NeighbourGiven,
  { clock, signal }: Pick<Session, "clock" | "signal">,
): WrapBackend | undefined {
  if (given === undefined) return undefined;
  const limit = new RateLimit(parseBytes(given, "--upload-limit"), clock, signal);
  return (backend) => limited(backend, limit);
}

/** Free bytes of the filesystem of a directory. undefined: it cannot be told, or there is no such directory here. */
export function freeBytesAt(directory: string | undefined): number | undefined {
  if (directory === undefined) return undefined;
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function optional<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}
