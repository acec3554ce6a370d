/** Commands, and what is said of one that failed. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { CommandOptions, CommandResult, SnapshotHost } from "./host.ts";

const SHOWN_CHARS = 500;
const WRITE_OUT_MS_MAX = 300_000;

/** A path for a command line, which Node gives as text. @throws {CyrvaultError} `SNAPSHOT_FAILED` for a name that is no text. */
export function asArgument(path: ByteString): string {
  const text = toText(path);
  if (fromText(text) === path) return text;
  throw new CyrvaultError("SNAPSHOT_FAILED", `${text} is not UTF-8: it cannot be given to a command`);
}

/** @returns what it printed. @throws {CyrvaultError} `SNAPSHOT_FAILED` unless it ended with 0. */
export async function runOrThrow(
  host: Pick<SnapshotHost, "run">,
  what: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  const result = await host.run(argv, options);
  if (result.exitCode === 0) return result.stdout;
  throw commandFailed(what, argv, result);
}

/** A snapshot below the filesystem has nothing of what the kernel still keeps in memory. @throws {CyrvaultError} `SNAPSHOT_FAILED`. */
export async function writeOut(
  host: Pick<SnapshotHost, "run">,
  points: readonly ByteString[],
  signal?: AbortSignal,
): Promise<void> {
  for (const point of points) {
    await runOrThrow(host, `cannot sync ${toText(point)}`, ["sync", "-f", asArgument(point)], {
      timeoutMs: WRITE_OUT_MS_MAX,
    });
    signal?.throwIfAborted();
  }
}

export function commandFailed(what: string, argv: readonly string[], result: CommandResult): CyrvaultError {
  return new CyrvaultError("SNAPSHOT_FAILED", `${what}: ${complaint(argv, result)}`, {
    context: { command: argv.join(" ").slice(0, SHOWN_CHARS), exitCode: result.exitCode },
  });
}

/** `lvcreate: Insufficient free space`. */
export function complaint(argv: readonly string[], { exitCode, stderr, reason }: CommandResult): string {
  const said = shortened(toText(stderr.trim() as ByteString).replace(/\s*\n\s*/g, "; "));
  const how = reason ?? `exit code ${exitCode}`;
  return `${argv[0]}: ${said === "" ? how : exitCode === undefined ? `${how}; ${said}` : said}`;
}

/** Some say first what is wrong and then how they are used (zfs), others the other way round. */
function shortened(text: string): string {
  if (text.length <= SHOWN_CHARS) return text;
  return `${text.slice(0, SHOWN_CHARS / 2)} … ${text.slice(-SHOWN_CHARS / 2)}`;
}
