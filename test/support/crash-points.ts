/**
 * A command is run once, and then the power is cut after each of its changes to the disk, in several ways: whatever is
 * left must be a sound repository in which the same command can be run again.
 */
import type { FileSystem } from "../../src/base/file-system.ts";
import type { CrashSite } from "./crash-site.ts";
import { PLACE } from "./crash-site.ts";
import { randomOf, type Survival } from "./power-cut.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

export interface CrashCommand {
  readonly name: string;
  /** Brings the site to where the command starts: makes the repository, completes backups. */
  prepare(site: CrashSite): Promise<void>;
  /** The command, and the same command when it is run again. */
  run(site: CrashSite, disk: FileSystem): Promise<void>;
  /** What is missing of the command's effect once it has said that it is done. */
  missing(site: CrashSite, disk: FileSystem): Promise<readonly string[]>;
  /** The repository may be absent until the command has made it. Default false. */
  readonly makesRepository?: boolean;
  readonly isEncryptedOnly?: boolean;
  /** What a check may say until the command has been run: it is there to mend that. */
  readonly mends?: RegExp;
  /** What it writes is a note for later: where it cannot, it warns, and does all else. */
  readonly onlyNotes?: boolean;
}

export interface CrashCount {
  /** Changes after which the power was cut, the moment before the first included. */
  readonly points: number;
  /** Ways to lose what was not synced, over all points. */
  readonly cuts: number;
  /** Different disks among what was left: each was looked at. */
  readonly states: number;
}

const HOUR_MS = 3_600_000;
/** After so many power cuts it goes once more while the command is run again. */
const AGAIN_EVERY = 2;
/** Of so many disks one is restored from; of all of them everything is read. */
const RESTORE_EVERY = 16;

/** Unfinished files: nobody reads them. */
const isUnread = (path: string) => path.startsWith(`${PLACE}/tmp/`);

/**
 * @param seeds - so many random survivals at each point, beside «nothing» and «everything».
 * @throws at the first state that is not as it must be, saying which.
 */
export async function crashEverywhere(
  site: CrashSite,
  command: CrashCommand,
  seeds: number,
): Promise<CrashCount> {
  const disk = site.disk.copy();
  await command.run(site, disk);
  site.keepIndex();
  await requireNothing(await command.missing(site, disk));
  const { changes } = disk;
  const seen = new Set<string>();
  let cuts = 0;
  for (let n = 0; n <= changes.length; n++) {
    const survivals: Survival[] = ["nothing", "everything"];
    for (let i = 0; i < seeds; i++) survivals.push(n * 1000 + i);
    for (const survival of survivals) {
      cuts++;
      const { disk: left, signature } = disk.cutAfter(n, survival, isUnread);
      const isDone = n === changes.length;
      const state = isDone ? `done: ${signature}` : signature;
      if (seen.has(state)) continue;
      seen.add(state);
      try {
        await examine(site, command, left, isDone);
        if (seen.size % AGAIN_EVERY === 0) await cutAgain(site, command, left, seen.size);
        if (seen.size % RESTORE_EVERY === 0) await requireNothing(await site.restoreDifferences(left));
      } catch (cause) {
        const change = changes[n - 1];
        const when = change === undefined ? "before its first change" : `after ${change.kind} ${change.path}`;
        throw new Error(`${command.name}, cut at ${n} of ${changes.length} (${when}), left: ${survival}`, {
          cause,
        });
      }
    }
  }
  return { points: changes.length + 1, cuts, states: seen.size };
}

async function examine(
  site: CrashSite,
  command: CrashCommand,
  left: SimulatedDisk,
  isDone: boolean,
): Promise<void> {
  site.bringIndexBack();
  // Whoever was at work then is known to be dead.
  site.clock.advance(2 * HOUR_MS);
  if (command.makesRepository !== true || (await site.isThere(left))) {
    const problems = await site.problems(left);
    await requireNothing(problems.filter((problem) => command.mends?.test(problem) !== true));
  }
  if (isDone) await requireNothing(await command.missing(site, left));
  await command.run(site, left);
  await requireNothing(await command.missing(site, left));
  await requireNothing(await site.problems(left));
}

/** @param disk - on which the command was run again. @param seed - for when, and for what is left. */
async function cutAgain(
  site: CrashSite,
  command: CrashCommand,
  disk: SimulatedDisk,
  seed: number,
): Promise<void> {
  const cut = Math.floor(randomOf(seed)() * disk.changes.length);
  const { disk: left } = disk.cutAfter(cut, seed);
  try {
    await examine(site, command, left, false);
  } catch (cause) {
    throw new Error(`run again and cut again, at ${cut} of ${disk.changes.length}`, { cause });
  }
}

async function requireNothing(problems: readonly string[]): Promise<void> {
  if (problems.length > 0) throw new Error(problems.join("\n"));
}
