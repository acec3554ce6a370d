/** How a running Cyrus is stopped and started: by its systemd unit, or as the administrator says. */
import { CyrvaultError } from "../base/errors.ts";
import { serviceOfCgroup } from "../source/host/service-of-cgroup.ts";
import type { SnapshotHost } from "./host.ts";

export interface StopCommands {
  readonly stop: readonly string[];
  /** Must do no harm if it runs already. */
  readonly start: readonly string[];
}

/** @throws {CyrvaultError} `USAGE` where nothing says how. */
export async function stopCommandsOf(host: Pick<SnapshotHost, "run">, pid: number): Promise<StopCommands> {
  const unit = await serviceOf(host, String(pid));
  if (unit === undefined) {
    throw new CyrvaultError(
      "USAGE",
      `cannot tell how Cyrus (process ${pid}) is stopped: no service of systemd runs it`,
      {
        hint: "say how: --stop-command /path/of/it --start-command /path/of/it",
      },
    );
  }
  if (unit === (await serviceOf(host, "self"))) {
    throw new CyrvaultError(
      "USAGE",
      `Cyrus runs in the unit of this backup, ${unit}: stopping it would end both`,
      {
        hint: "run the backup in a unit of its own, or give --stop-command and --start-command",
      },
    );
  }
  return { stop: ["systemctl", "stop", unit], start: ["systemctl", "start", unit] };
}

/** A child of ours is where we are. */
async function serviceOf(host: Pick<SnapshotHost, "run">, process: string): Promise<string | undefined> {
  const { exitCode, stdout } = await host.run(["cat", `/proc/${process}/cgroup`]);
  return exitCode === 0 ? serviceOfCgroup(stdout) : undefined;
}

/**
 * A daemon that a command starts keeps that command's environment, so it gets none of what commands of ours are told:
 * they set LC_ALL, and a mark by which orphans of a dead run are found.
 */
export function unmarked(argv: readonly string[]): string[] {
  return ["env", "-u", "CYRVAULT_HOLDS", "-u", "LC_ALL", "-u", "LVM_SUPPRESS_FD_WARNINGS", ...argv];
}

/** For a person: a command as it was given. */
export function asTyped(argv: readonly string[]): string {
  const first = argv.findIndex((word, at) => word !== "env" && word !== "-u" && argv[at - 1] !== "-u");
  const own = argv.slice(Math.max(first, 0));
  return own[0] === "/bin/sh" && own[1] === "-c" ? own.slice(2).join(" ") : own.join(" ");
}
