/** What a prune would do, worked out without writing anything. */

import { toHex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { isCyrvaultError } from "../../base/errors.ts";
import type { Progress } from "../../base/progress.ts";
import { forgottenName, readForgotten } from "../../store/forgotten.ts";
import { type GcState, readGcState } from "../../store/gc-record.ts";
import type { PackSlot } from "../../store/lookup-packs.ts";
import { openPack } from "../../store/pack-reader.ts";
import { PACKS_PREFIX, parsePackName } from "../../store/pack-types.ts";
import type { Repository } from "../../store/repository.ts";
import type { RunRecord } from "../../store/run-record.ts";
import type { Here } from "../../store/stale-run.ts";
import { readTags } from "../backup-tags.ts";
import { chooseRepack, type PackUse, type RepackChoice } from "./choose-repack.ts";
import { settleCopies } from "./copies.ts";
import { markNeeded, PlaceBits, unreadable } from "./needed-objects.ts";
import { listRoots, type RootFiles, readRoots, runsWithoutParents } from "./roots.ts";
import { type Runs, sortRuns } from "./runs.ts";

export interface PruneOptions {
  /** How long forgotten backups can be brought back, and marked packs stay. */
  readonly graceMs: number;
  /** 0 to 1: what share of the bytes may be of no use to anyone before packs are written anew. */
  readonly maxUnused: number;
  /** Bytes of packs that are written anew in one prune, at most. */
  readonly repackBytesMax: number;
}

export interface PruneContext {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly here: Here;
  readonly signal?: AbortSignal;
}

export interface PackFile {
  readonly pack: PackSlot;
  readonly bytes: number;
}

export interface ForgottenStaying {
  /** They can be brought back until their time is over. */
  readonly inGrace: number;
  /** When the first of those is over; undefined: there are none. */
  readonly dueMs: number | undefined;
  /** Their grace time is over, but they have a hold, or a backup at work builds upon them. */
  readonly held: number;
}

export interface PrunePlan {
  /** Forgotten backups whose grace time is over. */
  readonly forgotten: readonly string[];
  /** Other forgotten backups: what they need stays. */
  readonly forgottenStaying: ForgottenStaying;
  /** Backups of fenced runs: they don't count, and go. */
  readonly voided: readonly string[];
  /** Nothing needs them. */
  readonly mark: readonly PackFile[];
  /** Marked or swept, and needed. */
  readonly unmark: readonly PackFile[];
  /** Marked long enough ago. */
  readonly sweep: readonly PackFile[];
  /** A sweep that broke off has left them. */
  readonly leftOver: readonly PackFile[];
  /** Marked; their time has not come. */
  readonly waiting: readonly PackFile[];
  /** When the time of the first of those comes; undefined: there are none. */
  readonly waitingDueMs: number | undefined;
  readonly repack: RepackChoice;
  /** What is marked now is swept in the same prune: there is no grace, and nobody to wait for. */
  readonly sweepsAtOnce: boolean;
  /** Runs that sweeping waits for. */
  readonly holding: readonly RunRecord[];
  readonly runs: Runs;
  /** What it goes by, `forgotten` included. */
  readonly roots: RootFiles;
  /** Hex: their directories cannot be read. They are left alone. */
  readonly unreadable: readonly string[];
  readonly total: { readonly packs: number; readonly bytes: number };
  readonly needed: PlaceBits;
  readonly spare: PlaceBits;
  readonly gc: GcState;
}

/**
 * In this order, each step of which matters: packs, runs, roots. A pack of a run that has ended since is then among the
 * packs only if its backup is among the roots.
 * @param own - the run of this prune.
 * @throws {CyrvaultError} when anything that is needed cannot be read.
 */
export async function planPrune(
  options: PruneOptions,
  context: PruneContext,
  own?: string,
): Promise<PrunePlan> {
  const { repository, clock, progress, signal } = context;
  const { backend, sealer, lookup } = repository;
  const nowMs = clock.nowMs();
  progress.beginPhase("looking", clock.monotonicMs());
  const gc = await readGcState(backend, sealer);
  await lookup.refresh(own === undefined ? {} : { mayWrite: true });
  const files = await listPacks(repository);
  const runs = await sortRuns(repository, clock, context.here, own);
  const listed = await listRoots(repository);
  const roots = { ...listed, backups: listed.backups.filter((id) => !gc.voided.has(id)) };
  const voided = listed.backups.filter((id) => gc.voided.has(id));
  const { expired: forgotten, ...forgottenStaying } = await sortForgotten(options, context, roots, runs.live);

  progress.beginPhase("marking", clock.monotonicMs(), undefined, "objects");
  const needed = new PlaceBits();
  const spare = new PlaceBits();
  const onObject = () => progress.add({ items: 1 }, clock.monotonicMs());
  for await (const { name, root } of readRoots(repository, roots, new Set(forgotten)))
    await markNeeded(root, name, needed, { repository, signal, onObject });
  await settleCopies(repository, needed, spare, ({ hex }) => gc.marked.has(hex), signal);

  const mark: PackFile[] = [];
  const unmark: PackFile[] = [];
  const sweep: PackFile[] = [];
  const leftOver: PackFile[] = [];
  const waiting: PackFile[] = [];
  let waitingDueMs: number | undefined;
  const staying: PackFile[] = [];
  const orphaned = runsWithoutParents(runs.live, roots);
  const holding = new Set(orphaned);
  for (const file of files) {
    const { pack } = file;
    const isNeeded = needed.count(pack) > 0;
    const marked = gc.marks.get(pack.hex);
    if (pack.unreadable !== undefined || !pack.live) continue;
    if (isNeeded) {
      if (gc.marked.has(pack.hex)) unmark.push(file);
      staying.push(file);
    } else if (gc.swept.has(pack.hex)) leftOver.push(file);
    else if (marked === undefined) {
      // It may be of a run that has not got so far as to name it anywhere.
      if (runs.live.length === 0 || !lookup.isUncovered(pack)) mark.push(file);
    } else {
      // Dated in the future, it counts as of now: a clock that was wrong must not make the grace time shorter.
      const isDue = nowMs - Math.min(marked.atMs, nowMs) >= options.graceMs;
      const older = runs.live.filter(({ gcSeen }) => gcSeen < marked.number);
      if (isDue) for (const run of older) holding.add(run);
      if (isDue && older.length === 0 && orphaned.length === 0) sweep.push(file);
      else {
        waiting.push(file);
        waitingDueMs = Math.min(waitingDueMs ?? Number.POSITIVE_INFINITY, dueMs(marked.atMs, nowMs, options));
      }
    }
  }
  const repack = chooseRepack(await measureUse(context, staying, needed), options);
  return {
    forgotten,
    forgottenStaying,
    voided,
    mark,
    unmark,
    sweep,
    leftOver,
    waiting,
    waitingDueMs,
    repack,
    sweepsAtOnce: options.graceMs === 0 && runs.live.length === 0,
    holding: [...holding],
    runs,
    roots,
    unreadable: [...lookup.unreadablePacks()].map(({ hex }) => hex),
    total: { packs: files.length, bytes: sumBytes(files) },
    needed,
    spare,
    gc,
  };
}

export function sumBytes(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Those that the look-up knows of: what has come since is nobody's business yet. Sorted by name. */
async function listPacks({ backend, lookup }: Repository): Promise<PackFile[]> {
  const known = new Set([...lookup.packs.live()]);
  const files: PackFile[] = [];
  for await (const { name, bytes } of backend.list(PACKS_PREFIX)) {
    const packId = parsePackName(name);
    const pack = packId === undefined ? undefined : lookup.packs.byHex(toHex(packId));
    if (pack !== undefined && known.has(pack)) files.push({ pack, bytes });
  }
  return files.sort((a, b) => (a.pack.hex < b.pack.hex ? -1 : 1));
}

/** `expired`: they can be brought back no longer, and nobody holds one or builds upon it. */
async function sortForgotten(
  options: PruneOptions,
  { repository, clock }: PruneContext,
  { backups, forgotten }: RootFiles,
  live: readonly RunRecord[],
): Promise<ForgottenStaying & { readonly expired: readonly string[] }> {
  const standing = new Set(backups);
  const builtUpon = new Set(live.map(({ parent }) => parent));
  const nowMs = clock.nowMs();
  const expired: string[] = [];
  let inGrace = 0;
  let held = 0;
  let firstDueMs: number | undefined;
  for (const id of forgotten) {
    if (standing.has(id)) continue;
    try {
      const found = await readForgotten(repository, id);
      if (found === undefined) continue;
      if (!isExpired(found.forgottenMs, nowMs, options.graceMs)) {
        inGrace++;
        const due = dueMs(found.forgottenMs, nowMs, options);
        firstDueMs = Math.min(firstDueMs ?? Number.POSITIVE_INFINITY, due);
      } else if (builtUpon.has(id) || (await readTags(repository, id)).hold !== undefined) held++;
      else expired.push(id);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      throw unreadable(forgottenName(id), "its time", error.message, error);
    }
  }
  return { expired, inGrace, dueMs: firstDueMs, held };
}

/** What is dated in the future counts as of now. */
function dueMs(sinceMs: number, nowMs: number, { graceMs }: PruneOptions): number {
  return Math.min(sinceMs, nowMs) + graceMs;
}

export function isExpired(sinceMs: number, nowMs: number, graceMs: number): boolean {
  return nowMs - Math.min(sinceMs, nowMs) >= graceMs;
}

/** Directories are read of those packs only of which a part is of no use. */
async function measureUse(
  { repository, signal }: PruneContext,
  files: readonly PackFile[],
  needed: PlaceBits,
): Promise<PackUse[]> {
  const { backend, seal } = repository;
  const uses: PackUse[] = [];
  for (const { pack, bytes } of files) {
    signal?.throwIfAborted();
    if (needed.count(pack) >= pack.objects) {
      uses.push({ pack, bytes, unusedBytes: 0 });
      continue;
    }
    const opened = await openPack(backend, pack.packId, seal);
    if (opened === undefined) continue;
    const { directory } = opened;
    let unusedBytes = 0;
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
      if (needed.has(pack, ordinal)) continue;
      const { block, headLength, tailLength } = directory.place(ordinal);
      const { storedBytes, rawBytes } = directory.blockAt(block);
      // What is of no use takes its part of the directory too.
      unusedBytes +=
        DIRECTORY_BYTES + (rawBytes === 0 ? 0 : ((headLength + tailLength) * storedBytes) / rawBytes);
    }
    uses.push({ pack, bytes, unusedBytes: Math.min(bytes, unusedBytes) });
  }
  return uses;
}

/** Of one object in a directory: mostly its id. */
const DIRECTORY_BYTES = 40;
