/** A control group with a limit of memory, for one command after another. */
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

interface Version {
  /** In the group's directory. */
  readonly files: { readonly limit: string; readonly events: string; readonly peak: string };
  /** With what else is to be set, each if it is there. */
  readonly further: readonly (readonly [file: string, text: string])[];
}

const VERSION_2: Version = {
  files: { limit: "memory.max", events: "memory.events", peak: "memory.peak" },
  further: [["memory.swap.max", "0"]],
};
const VERSION_1: Version = {
  files: {
    limit: "memory.limit_in_bytes",
    events: "memory.oom_control",
    peak: "memory.max_usage_in_bytes",
  },
  further: [["memory.swappiness", "0"]],
};

/** Made by this process so far: several commands may run at once. */
let groups = 0;

/** @param mounts - /proc/self/mounts. @returns why not, as text, where none can be made here. */
export function limitMemory(
  bytes: number,
  mounts: string = readFileSync("/proc/self/mounts", "latin1"),
): LimitedMemory | string {
  const place = placeOfGroups(mounts);
  if (typeof place === "string") return place;
  const { mount, version } = place;
  const { files, further } = version;
  const directory = join(mount, `cyrvault-bench-${process.pid}-${++groups}`);
  try {
    if (version === VERSION_2) writeFileSync(join(mount, "cgroup.subtree_control"), "+memory");
    mkdirSync(directory);
  } catch (error) {
    return `no control group can be made in ${mount}: ${(error as Error).message}`;
  }
  try {
    writeFileSync(join(directory, files.limit), String(bytes));
    for (const [file, text] of further) writeIfThere(join(directory, file), text);
  } catch (error) {
    rmdirSync(directory);
    return `${files.limit} cannot be set: ${(error as Error).message}`;
  }
  return {
    inside: (command) => ({
      ...command,
      argv: ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(directory, "cgroup.procs"), ...command.argv],
    }),
    get oomKills() {
      return Number(
        /^oom_kill (\d+)$/m.exec(readFileSync(join(directory, files.events), "latin1"))?.[1] ?? 0,
      );
    },
    get peakBytes() {
      try {
        return Number(readFileSync(join(directory, files.peak), "latin1"));
      } catch {
        return undefined;
      }
    },
    remove: () => rmdirSync(directory),
  };
}

/** Version 2 where it controls memory, else version 1. @returns why not. */
function placeOfGroups(mounts: string): { mount: string; version: Version } | string {
  const second = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
  const controllers =
    second === undefined ? "" : readFileSync(join(second, "cgroup.controllers"), "latin1").trim();
  if (second !== undefined && controllers.split(" ").includes("memory"))
    return { mount: second, version: VERSION_2 };
  const first = /^\S+ (\S+) cgroup \S*\bmemory\b/m.exec(mounts)?.[1];
  if (first !== undefined) return { mount: first, version: VERSION_1 };
  if (second === undefined) return "control groups are not mounted";
  return `cgroup version 2 does not control memory here (${controllers === "" ? "nothing" : `only ${controllers}`}), and there is no version 1`;
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
