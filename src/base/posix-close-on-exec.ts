/** LevelDB opens its files without O_CLOEXEC: a daemon that we start would hold them open for as long as it serves. */
import { readdirSync, readlinkSync } from "node:fs";
import { nativeLibc } from "./posix-native.ts";

const F_SETFD = 2;
const FD_CLOEXEC = 1;
const STANDARD_FDS = 3;

/** From now on no file that is open in this process reaches a program it starts; standard input and output do. Never fails. */
export function keepFilesFromChildren(): void {
  const { libc } = nativeLibc();
  if (libc === undefined) return;
  const setFlag = libc.fcntl as unknown as (fd: number, command: number, type: "int", flag: number) => number;
  for (const fd of namesIn("/proc/self/fd").map(Number)) {
    if (fd >= STANDARD_FDS && isFile(fd)) setFlag(fd, F_SETFD, "int", FD_CLOEXEC);
  }
}

function isFile(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith("/");
  } catch {
    return false;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
