/** Whether some process has files open below a directory: a running Cyrus must not have its data changed under it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { isWithin } from "../source/view.ts";

export interface Holder {
  readonly pid: number;
  readonly command: string;
  readonly path: string;
}

/** The first process found, as far as this user may see them; undefined where there is none, or no /proc. */
export function findHolder(directories: readonly ByteString[], proc = "/proc"): Holder | undefined {
  for (const name of list(proc)) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    for (const fd of list(`${proc}/${name}/fd`)) {
      const path = link(`${proc}/${name}/fd/${fd}`);
      if (path?.startsWith("/") && directories.some((directory) => isWithin(fromText(path), directory))) {
        return { pid: Number(name), command: commandOf(`${proc}/${name}/comm`), path };
      }
    }
  }
  return undefined;
}

/** Processes end while we look: what has gone, and what we may not see, is passed over. */
function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function commandOf(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "?";
  }
}
