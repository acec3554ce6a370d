/**
 * A command meets a failing disk at each of its calls: it says what is wrong by the right code or does without, loses
 * nothing, and can be run again once the disk works.
 */
import { isCyrvaultError } from "../../src/base/errors.ts";
import type { CrashCommand } from "./crash-points.ts";
import type { CrashSite } from "./crash-site.ts";
import type { Call, SimulatedDisk } from "./simulated-disk.ts";

/** What the system says, and what we make of it. */
const WRITE_FAULTS = [
  ["ENOSPC", "NO_SPACE"],
  ["EDQUOT", "NO_SPACE"],
  ["EIO", "IO"],
  ["EROFS", "IO"],
] as const;
/** So many calls fail before the disk works again. */
const DURATIONS = [1, 3, Number.POSITIVE_INFINITY];

/** Of a command that does more, two of the four failures at each change, and every third read fails. */
const LONG_CHANGES = 90;
const LONG_READS = 150;
/** After each so many failed reads everything is looked at. */
const READS_LOOKED_AT = 8;
const HOUR_MS = 3_600_000;

export interface FaultCount {
  /** Calls of an undisturbed run that could fail. */
  readonly calls: number;
  /** Runs with a fault. */
  readonly faults: number;
  /** Of these: the command failed, as it should or may. */
  readonly failed: number;
}

export interface FaultOptions {
  /** Everything is looked at after each fault, not after some. */
  readonly thorough: boolean;
}

/** A full disk, an exhausted quota, a failing one, one that has become read-only: at each call that would change something. */
export async function failEachChange(
  site: CrashSite,
  command: CrashCommand,
  { thorough }: FaultOptions,
): Promise<FaultCount> {
  const calls = await countCalls(site, command, ({ changes }) => changes);
  const count = { calls, faults: 0, failed: 0 };
  const isLong = !thorough && calls > LONG_CHANGES;
  for (let n = 1; n <= calls; n++)
    for (const [i, [system, code]] of WRITE_FAULTS.entries()) {
      if (isLong && (n + i) % 2 === 0) continue;
      const duration = DURATIONS[(n + i) % DURATIONS.length] as number;
      const disk = site.disk.copy();
      failFrom(disk, n, duration, system);
      await during(`${command.name}: ${system} at change ${n} of ${calls}, ${duration} calls`, async () => {
        count.faults++;
        if (await fails(site, command, disk, code)) count.failed++;
        disk.fault = () => undefined;
        if (thorough || n % WRITE_FAULTS.length === i) await recovers(site, command, disk, thorough);
      });
    }
  return count;
}

/** A bad sector, for one call or from there on: what cannot be read is never taken for absent. */
export async function failEachRead(
  site: CrashSite,
  command: CrashCommand,
  { thorough }: FaultOptions,
): Promise<FaultCount> {
  const isRead = ({ changes }: Call) => !changes;
  const calls = await countCalls(site, command, isRead);
  const count = { calls, faults: 0, failed: 0 };
  const step = !thorough && calls > LONG_READS ? 3 : 1;
  for (let n = 1; n <= calls; n += step) {
    const disk = site.disk.copy();
    const last = n % 2 === 0 ? n : Number.POSITIVE_INFINITY;
    let reads = 0;
    disk.fault = (call) => (isRead(call) && ++reads >= n && reads <= last ? "EIO" : undefined);
    await during(`${command.name}: EIO at read ${n} of ${calls}, up to ${last}`, async () => {
      count.faults++;
      if (await fails(site, command, disk, "IO")) count.failed++;
      disk.fault = () => undefined;
      if (thorough || n % READS_LOOKED_AT === 0) await recovers(site, command, disk, thorough);
    });
  }
  return count;
}

/**
 * A bad sector under each file in turn, and at each call that reads: whoever reads backups gets every byte or an error
 * that says so, and a check names what it could not read.
 */
export async function failReaders(site: CrashSite): Promise<FaultCount> {
  const isOfPath = (path: string) => (call: Call) => call.path === path && call.kind === "read";
  const faults: [what: string, isBad: () => (call: Call) => boolean][] = [];
  for (const path of site.disk.files().keys()) faults.push([path, () => isOfPath(path)]);
  const calls = await countReads(site);
  for (let n = 1; n <= calls; n++)
    faults.push([
      `read ${n} of ${calls}`,
      () => {
        let reads = 0;
        return ({ changes }) => !changes && ++reads === n;
      },
    ]);
  const count = { calls: faults.length, faults: 0, failed: 0 };
  for (const [what, isBad] of faults)
    await during(`EIO: ${what}`, async () => {
      count.faults++;
      if (await readingFails(site, isBad())) count.failed++;
    });
  return count;
}

async function countReads(site: CrashSite): Promise<number> {
  const disk = site.disk.copy();
  let calls = 0;
  disk.fault = ({ changes }) => {
    if (!changes) calls++;
    return undefined;
  };
  requireNothing(await site.lost(disk));
  return calls;
}

async function readingFails(site: CrashSite, isBad: (call: Call) => boolean): Promise<boolean> {
  const disk = site.disk.copy();
  disk.fault = (call) => (isBad(call) ? "EIO" : undefined);
  try {
    requireNothing(await site.lost(disk));
    return false;
  } catch (error) {
    if (!isCyrvaultError(error, "IO")) throw new Error("it should fail with IO", { cause: error });
    return true;
  }
}

async function countCalls(
  site: CrashSite,
  command: CrashCommand,
  counts: (call: Call) => boolean,
): Promise<number> {
  const disk = site.disk.copy();
  let calls = 0;
  disk.fault = (call) => {
    if (counts(call)) calls++;
    return undefined;
  };
  await command.run(site, disk);
  return calls;
}

function failFrom(disk: SimulatedDisk, first: number, duration: number, code: string): void {
  let changes = 0;
  disk.fault = ({ changes: isChange, kind }) => {
    if (!isChange) return undefined;
    changes++;
    if (changes < first || changes >= first + duration) return undefined;
    // A full disk lets go of what it has.
    const isReleased = kind === "unlink" && (code === "ENOSPC" || code === "EDQUOT");
    return isReleased && changes > first ? undefined : code;
  };
}

/** @returns whether it failed; if it did not, all of its effect is there. */
async function fails(
  site: CrashSite,
  command: CrashCommand,
  disk: SimulatedDisk,
  code: string,
): Promise<boolean> {
  try {
    await command.run(site, disk);
  } catch (error) {
    if (!isCyrvaultError(error) || error.code !== code)
      throw new Error(`it should fail with ${code}`, { cause: error });
    return true;
  }
  disk.fault = () => undefined;
  requireNothing(await command.missing(site, disk));
  return false;
}

async function recovers(
  site: CrashSite,
  command: CrashCommand,
  disk: SimulatedDisk,
  thorough: boolean,
): Promise<void> {
  site.clock.advance(2 * HOUR_MS);
  const isThere = command.makesRepository !== true || (await site.isThere(disk));
  if (isThere) {
    const problems = await site.problems(disk);
    requireNothing(problems.filter((problem) => command.mends?.test(problem) !== true));
  }
  await command.run(site, disk);
  requireNothing(await command.missing(site, disk));
  if (thorough) requireNothing(await site.problems(disk));
}

async function during(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new Error(what, { cause });
  }
}

function requireNothing(problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(problems.join("\n"));
}
