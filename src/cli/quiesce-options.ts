/** `--quiesce`: what holds Cyrus still while the view is taken, or while it is read. */
import type { Command } from "commander";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { PACKAGE_ROOT } from "../base/package-files.ts";
import { parseSpan } from "../retention/parse-rules.ts";
import type { SnapshotHost } from "../snapshot/host.ts";
import { markedEnvironment } from "../snapshot/live-snapshot-host.ts";
import type { Provider, Quiesce } from "../snapshot/method.ts";
import { FreezeQuiesce } from "../snapshot/quiesce-freeze.ts";
import { JobsQuiesce } from "../snapshot/quiesce-jobs.ts";
import { quiesceNone } from "../snapshot/quiesce-none.ts";
import { StopQuiesce } from "../snapshot/quiesce-stop.ts";
import type { StopCommands } from "../snapshot/quiesce-unit.ts";
import { type StartWatchdog, startWatchdog } from "../snapshot/quiesce-watchdog.ts";
import { startLockChild, WithlockQuiesce } from "../snapshot/quiesce-withlock.ts";

export interface QuiesceGiven {
  readonly quiesce?: string;
  readonly stopCommand?: string;
  readonly startCommand?: string;
  readonly wait?: string;
  readonly maxDowntime?: string;
}

export interface QuiesceParts {
  readonly host: SnapshotHost;
  /** What tells its commands from others'. */
  readonly mark: string;
  /** The server's imapd.conf. */
  readonly config: ByteString;
  readonly provider: Provider;
  /** Where it is written down what is held. */
  readonly stateDirectory: string | undefined;
  readonly log: Logger;
}

export const QUIESCE_NAMES = ["none", "stop", "withlock", "freeze"] as const;

const WAIT_MS = 30 * 60_000;
const MAX_DOWNTIME_MS = 5 * 60_000;

export function addQuiesceOptions(command: Command): Command {
  return command
    .option(
      "--quiesce <how>",
      `what holds Cyrus still while the view is taken: ${QUIESCE_NAMES.join(", ")}`,
      "none",
    )
    .option("--stop-command <command>", "stops Cyrus (default: the systemd unit in which it runs)")
    .option("--start-command <command>", "starts it again; must do no harm if it runs")
    .option("--wait <time>", "for a cyr_expire, squatter or ipurge that is at work (default: 30m)")
    .option(
      "--max-downtime <time>",
      "start Cyrus again then, whatever has been read; what is missing is named, exit code 3 (default: 5m)",
    );
}

/** @throws {CyrvaultError} `USAGE`. */
export function quiesceOf(given: QuiesceGiven, parts: QuiesceParts): Quiesce {
  const { host, mark, config, provider, log, stateDirectory } = parts;
  const watchdog: StartWatchdog = (task) => startWatchdog({ ...task, environment: markedEnvironment(mark) });
  const name = parseQuiesce(given.quiesce);
  const commands = stopCommands(given);
  if (name !== "stop" && commands !== undefined)
    throw new CyrvaultError("USAGE", "--stop-command and --start-command go with --quiesce stop");
  const waitMs = given.wait === undefined ? WAIT_MS : parseSpan("--wait", given.wait);
  const maxDowntimeMs =
    given.maxDowntime === undefined ? MAX_DOWNTIME_MS : parseSpan("--max-downtime", given.maxDowntime);
  if (maxDowntimeMs <= 0)
    throw new CyrvaultError(
      "USAGE",
      `--max-downtime ${given.maxDowntime}: Cyrus could not be stopped at all`,
    );
  switch (name) {
    case "none": {
      const isOneByOne = provider.name === "lvm" || provider.name === "btrfs";
      return isOneByOne ? new JobsQuiesce({ host, waitMs, log }) : quiesceNone;
    }
    case "stop":
      return new StopQuiesce({ host, config, commands, waitMs, maxDowntimeMs, watchdog, log });
    case "withlock":
      return new WithlockQuiesce({
        host,
        config,
        provider,
        maxHeldMs: maxDowntimeMs,
        start: startLockChild,
      });
    case "freeze": {
      const ownPaths = [stateDirectory, process.execPath, PACKAGE_ROOT].flatMap((path) =>
        path === undefined ? [] : [fromText(path)],
      );
      return new FreezeQuiesce({ host, provider: provider.name, ownPaths, watchdog });
    }
  }
}

function parseQuiesce(text = "none"): (typeof QUIESCE_NAMES)[number] {
  const name = QUIESCE_NAMES.find((known) => known === text);
  if (name !== undefined) return name;
  throw new CyrvaultError("USAGE", `--quiesce ${text}: it is ${QUIESCE_NAMES.join(", ")}`);
}

function stopCommands({ stopCommand, startCommand }: QuiesceGiven): StopCommands | undefined {
  if (stopCommand === undefined && startCommand === undefined) return undefined;
  if (stopCommand === undefined || startCommand === undefined)
    throw new CyrvaultError("USAGE", "--stop-command and --start-command go together");
  return { stop: ["/bin/sh", "-c", stopCommand], start: ["/bin/sh", "-c", startCommand] };
}
