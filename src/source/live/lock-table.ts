/** /proc/locks: who locks what, and by which of the two kinds that know nothing of one another. */
import { readFileSync } from "node:fs";

export interface HeldLock {
  readonly kind: "POSIX" | "FLOCK" | "other";
  /** -1 for locks of an open file description. */
  readonly pid: number;
  readonly inode: bigint;
}

/** Locks that are held, not those that are waited for. Lines of another form are left out. */
export function parseLockTable(text: string): HeldLock[] {
  return text.split("\n").flatMap((line): HeldLock[] => {
    const [, kind, pid, inode] =
      /^\d+: (\w+) +\w+ +\w+ +(-?\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line) ?? [];
    if (kind === undefined || pid === undefined || inode === undefined) return [];
    return [
      { kind: kind === "POSIX" || kind === "FLOCK" ? kind : "other", pid: Number(pid), inode: BigInt(inode) },
    ];
  });
}

/** undefined where the system does not tell. */
export function readLockTable(): HeldLock[] | undefined {
  try {
    return parseLockTable(readFileSync("/proc/locks", "latin1"));
  } catch {
    return undefined;
  }
}
