/**
 * Asks the kernel to serve others first: for whatever works beside a server that people wait for. By setpriority(2)
 * and ioprio_set(2), for every thread that there is; threads started later take over what their starter has.
 */
import { readdirSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { arch, platform } from "node:process";
import { nativeLibc } from "./posix-native.ts";

/** Calls that have no function in the C library, or one that differs. Their numbers: asm/unistd.h. */
const IOPRIO_SET: Readonly<Record<string, number>> = { x64: 251, arm64: 30 };
const IOPRIO_GET: Readonly<Record<string, number>> = { x64: 252, arm64: 31 };
const SCHED_SETSCHEDULER: Readonly<Record<string, number>> = { x64: 144, arm64: 119 };
const SCHED_GETSCHEDULER: Readonly<Record<string, number>> = { x64: 145, arm64: 120 };
/** linux/sched.h. */
const SCHED_OTHER = 0;
/** To all of these calls: the thread that calls. */
const THIS_THREAD = 0;
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

/**
 * What this thread does from now on comes before what others do, as far as we may ask for that: for the moment in
 * which it keeps others waiting. Whatever lowered the thread before (nice, an idle class of systemd) counts again
 * when the answer is called. Never fails. Some 10 µs there and back.
 */
export function hurry(): () => void {
  const { libc } = nativeLibc();
  const call = (numbers: Readonly<Record<string, number>>, ...rest: (string | number | Buffer)[]): number => {
    const number = numbers[arch];
    return libc === undefined || number === undefined ? -1 : libc.syscall(number, ...rest);
  };
  const setPolicy = (policy: number) =>
    call(SCHED_SETSCHEDULER, "int", THIS_THREAD, "int", policy, "void *", Buffer.alloc(4));
  const policy = call(SCHED_GETSCHEDULER, "int", THIS_THREAD);
  const disk = call(IOPRIO_GET, "int", IOPRIO_WHO_PROCESS, "int", THIS_THREAD);
  const processor = getPriority(THIS_THREAD);
  if (policy > SCHED_OTHER) setPolicy(SCHED_OTHER);
  if (!niceThread(THIS_THREAD, constants.priority.PRIORITY_HIGH))
    niceThread(THIS_THREAD, constants.priority.PRIORITY_NORMAL);
  ioniceThread(THIS_THREAD, CLASS_BEST_EFFORT << CLASS_SHIFT);
  return () => {
    if (disk >= 0) ioniceThread(THIS_THREAD, disk);
    niceThread(THIS_THREAD, processor);
    if (policy > SCHED_OTHER) setPolicy(policy);
  };
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
