/** Processes of this machine: which one a number means, and whether it is still at work. */
import { readFileSync, readlinkSync } from "node:fs";
import { systemCode } from "./errors.ts";

/**
 * @param mark - which process it was (`processMark`); undefined: only the number is known.
 * @returns true also for one of another container of this machine: its number means nothing here.
 */
export function isProcessAlive(pid: number, mark?: string): boolean {
  if (mark !== undefined && isElsewhere(mark)) return true;
  if (!isNumberTaken(pid)) return false;
  const found = markOf(pid);
  // A zombie has ended: only its parent has not yet asked for the result.
  if (found?.state === "Z" || found?.state === "X") return false;
  return mark === undefined || found === undefined || found.mark === mark;
}

/** Containers have their own numbers. */
const NAMESPACE = "/proc/self/ns/pid";

let ownMark: string | undefined;

/** Tells this process from an earlier or later one of the same number: when the machine and the process were started. */
export function processMark(): string | undefined {
  ownMark ??= markOf(process.pid)?.mark;
  return ownMark;
}

/** Of the same start of this machine, in which numbers of processes are given out twice. */
function isElsewhere(mark: string): boolean {
  const [boot, namespace] = mark.split(" ");
  const [ownBoot, ownNamespace] = processMark()?.split(" ") ?? [];
  return boot === ownBoot && namespace !== ownNamespace;
}

function isNumberTaken(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== "ESRCH";
  }
}

/** From Linux's /proc; undefined elsewhere. The fields count from behind the name, which may have blanks and brackets. */
function markOf(pid: number): { readonly state: string; readonly mark: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    const [state, startedTicks] = [fields[0], fields[19]];
    if (state === undefined || startedTicks === undefined) return undefined;
    return { state, mark: `${boot} ${readlinkSync(NAMESPACE)} ${startedTicks}` };
  } catch {
    return undefined;
  }
}
