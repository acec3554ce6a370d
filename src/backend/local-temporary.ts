/** Names of unfinished files in a local repository's `tmp/`, and what becomes of those that nobody finished. */
import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import { removeLeftover } from "../base/durable.ts";
import { systemCode } from "../base/errors.ts";
import type { FileSystem } from "../base/file-system.ts";

/** A process id means something only on its own machine. */
const HOST = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
const KEEP_MS = 24 * 60 * 60 * 1000;
const NAME = /^(?:([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{16}|claim-[0-9a-f]{32})$/;

/** `<host>-<process id>-<random>` */
export function temporaryName(): string {
  return `${HOST}-${process.pid}-${randomBytes(8).toString("hex")}`;
}

/**
 * Removes unfinished files that have not been written to for a day, except those of living processes of this
 * machine. Best effort: a leftover that stays costs space and nothing else.
 *
 * @param nowMs - by the clock that stamps files in `directory`.
 */
export async function removeOldTemporaries(fs: FileSystem, directory: string, nowMs: number): Promise<void> {
  const entries: string[] = [];
  try {
    for await (const { name } of fs.entries(directory)) entries.push(name);
  } catch {
    return;
  }
  for (const entry of entries) {
    const match = NAME.exec(entry);
    if (match === null || (match[1] === HOST && isAlive(Number(match[2])))) continue;
    const path = join(directory, entry);
    const stats = await fs.lstat(path).catch(() => undefined);
    if (stats !== undefined && nowMs - stats.mtimeMs > KEEP_MS) await removeLeftover(fs, path);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
