/**
 * Asks the kernel to serve others first: for whatever works beside a server that people wait for. By setpriority(2)
 * and ioprio_set(2), for every thread that there is; threads started later take over what their starter has.
 */
import { readdirSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { arch, platform } from "node:process";
import { nativeLibc } from "./posix-native.ts";

/** `ioprio_set` has no function in the C library. Its number: asm/unistd.h. */
const IOPRIO_SET: Readonly<Record<string, number>> = { x64: 251, arm64: 30 };
/** linux/ioprio.h. */
const IOPRIO_WHO_PROCESS = 1;
const CLASS_BEST_EFFORT = 2;
const CLASS_SHIFT = 13;
/** The last of eight. The class below it, «idle», could wait for ever on a disk that is never idle. */
const LEVEL_LAST = 7;

export interface Lowered {
  readonly processor: boolean;
  /** False also where the machine has no such call. */
  readonly disk: boolean;
}

/** Never fails: a machine that refuses is told of in the answer. Calling it again does no harm. */
export function lowerPriority(): Lowered {
  return changePriority(
    constants.priority.PRIORITY_BELOW_NORMAL,
    (CLASS_BEST_EFFORT << CLASS_SHIFT) | LEVEL_LAST,
  );
}

/** As a program has that nobody has lowered: for what is started from now on. Root alone may raise it again. */
export function normalPriority(): Lowered {
  return changePriority(constants.priority.PRIORITY_NORMAL, 0);
}

/** The same for a process just started, which may serve people for years. Root alone may raise it. */
export function normalPriorityOf(pid: number): void {
  niceThread(pid, constants.priority.PRIORITY_NORMAL);
  ioniceThread(pid, 0);
}

function changePriority(processor: number, disk: number): Lowered {
  const threads = threadsOfProcess();
  return {
    processor: threads.map((thread) => niceThread(thread, processor)).every(Boolean),
    disk: threads.map((thread) => ioniceThread(thread, disk)).every(Boolean),
  };
}

function niceThread(thread: number, priority: number): boolean {
  try {
    setPriority(thread, priority);
    return true;
  } catch {
    return false;
  }
}

function ioniceThread(thread: number, priority: number): boolean {
  const number = IOPRIO_SET[arch];
  const { libc } = nativeLibc();
  if (libc === undefined || number === undefined) return false;
  return libc.syscall(number, "int", IOPRIO_WHO_PROCESS, "int", thread, "int", priority) === 0;
}

/** On Linux a priority is a thread's, not the process's. */
function threadsOfProcess(): number[] {
  if (platform !== "linux") return [process.pid];
  try {
    return readdirSync("/proc/self/task").map(Number);
  } catch {
    return [process.pid];
  }
}
