/** A control group (version 2) with a limit of memory, for one command after another. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "./command.ts";

export interface LimitedMemory {
  /** The same command, below the limit. */
  inside(command: Command): Command;
  /** Since it was made. */
  readonly oomKills: number;
  /** Since it was made, page cache included; undefined where the kernel does not count it. */
  readonly peakBytes: number | undefined;
  remove(): void;
}

/** @param mounts - /proc/self/mounts. @returns why not, as text, where none can be made here. */
export function limitMemory(
  bytes: number,
  mounts: string = readFileSync("/proc/self/mounts", "latin1"),
): LimitedMemory | string {
  const mount = cgroupMount(mounts);
  if (mount === undefined) return "cgroup version 2 is not mounted";
  const controllers = readFileSync(join(mount, "cgroup.controllers"), "latin1").trim();
  if (!controllers.split(" ").includes("memory"))
    return `cgroup version 2 does not control memory here (${controllers === "" ? "nothing" : `only ${controllers}`})`;
  const directory = join(mount, `cyrvault-bench-${process.pid}`);
  try {
    writeFileSync(join(mount, "cgroup.subtree_control"), "+memory");
    mkdirSync(directory);
  } catch (error) {
    return `no control group can be made in ${mount}: ${(error as Error).message}`;
  }
  try {
    writeFileSync(join(directory, "memory.max"), String(bytes));
    writeIfThere(join(directory, "memory.swap.max"), "0");
  } catch (error) {
    rmdirSync(directory);
    return `memory.max cannot be set: ${(error as Error).message}`;
  }
  return {
    inside: (command) => ({
      ...command,
      argv: ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(directory, "cgroup.procs"), ...command.argv],
    }),
    get oomKills() {
      return Number(
        /^oom_kill (\d+)$/m.exec(readFileSync(join(directory, "memory.events"), "latin1"))?.[1] ?? 0,
      );
    },
    get peakBytes() {
      try {
        return Number(readFileSync(join(directory, "memory.peak"), "latin1"));
      } catch {
        return undefined;
      }
    },
    remove: () => rmdirSync(directory),
  };
}

/** Where version 2 is mounted. */
function cgroupMount(mounts: string): string | undefined {
  return /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
}

/** Kernels without swap have no such file. */
function writeIfThere(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    if (
      (error as NodeJS.ErrnoException).code !== "ENOENT" &&
      (error as NodeJS.ErrnoException).code !== "EACCES"
    )
      throw error;
  }
}
