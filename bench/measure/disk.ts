/** What lies on disk, and what of it is in memory. */

import { spawnSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readSync, statSync, writeFileSync } from "node:fs";

export interface Contents {
  /** A file under several names counts once. */
  readonly files: number;
  readonly bytes: number;
  /** Blocks taken from the file system. */
  readonly allocatedBytes: number;
}

const BUFFER = Buffer.allocUnsafe(1 << 20);

/** Directories are not followed out through links; a path may be a file. */
export function contentsOf(paths: readonly string[]): Contents {
  let [files, bytes, allocatedBytes] = [0, 0, 0];
  for (const { stat } of filesBelow(paths)) {
    files++;
    bytes += stat.size;
    allocatedBytes += stat.blocks * 512;
  }
  return { files, bytes, allocatedBytes };
}

/** Reads every file, so that whoever reads it next finds it in memory, as far as that goes. */
export function warmUp(paths: readonly string[]): void {
  for (const { path } of filesBelow(paths)) {
    const file = openSync(path, "r");
    try {
      while (readSync(file, BUFFER) > 0);
    } finally {
      closeSync(file);
    }
  }
}

/** @returns false where that is not allowed. */
export function dropCaches(): boolean {
  flush();
  try {
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    return true;
  } catch {
    return false;
  }
}

/** What one command wrote is not to be written while the next is timed. */
export function flush(): void {
  spawnSync("sync");
}

interface FileThere {
  readonly path: string;
  readonly stat: { readonly size: number; readonly blocks: number };
}

/** Regular files, each inode once. */
export function* filesBelow(paths: readonly string[]): Generator<FileThere> {
  const linked = new Set<string>();
  const stack = [...paths];
  for (let path = stack.pop(); path !== undefined; path = stack.pop()) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) {
      for (const entry of readdirSync(path, { withFileTypes: true }))
        if (entry.isDirectory() || entry.isFile()) stack.push(`${path}/${entry.name}`);
    } else if (stat?.isFile()) {
      if (stat.nlink > 1) {
        const inode = `${stat.dev}:${stat.ino}`;
        if (linked.has(inode)) continue;
        linked.add(inode);
      }
      yield { path, stat };
    }
  }
}
