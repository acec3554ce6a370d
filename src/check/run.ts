/**
 * Whether a repository is consistent: packs and segments open and agree → every object that a backup needs is
 * there, in a pack that a segment covers → key files and the records of runs and deletion can be read → on request,
 * every byte again.
 */
import type { Clock } from "../base/clock.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { type Logger, silentLogger } from "../base/log.ts";
import type { Progress } from "../base/progress.ts";
import type { ObjectMarks } from "../manifest/object-marks.ts";
import { FORGOTTEN_PREFIX, readForgotten } from "../store/forgotten.ts";
import { GC_PREFIX, readGcState } from "../store/gc-record.ts";
import { KEY_FILE_BYTES_MAX, KEYS_PREFIX, verifyKeyFile } from "../store/keys.ts";
import type { AssembleMessage } from "../store/object.ts";
import { packName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import { RUNS_PREFIX, readRun } from "../store/run-record.ts";
import { findAffected } from "./affected.ts";
import type { Affects } from "./affects.ts";
import { checkBackups } from "./check-backups.ts";
import { checkData, type DataRead } from "./check-data.ts";
import { type CheckError, CheckErrors } from "./check-errors.ts";
import { type CheckedPack, checkCoverage, checkPacks, checkSegments } from "./check-packs.ts";
import { choosePacks } from "./choose-packs.ts";
import { findMissingPacks } from "./missing-packs.ts";
import { VerifiedTimes } from "./verified-times.ts";

/** Where they lie, and for what they are sealed. */
const SMALL_RECORDS = [
  ["accepted/", "accepted"],
  ["tags/", "tags"],
  ["holds/", "hold"],
] as const;
const SMALL_RECORD_BYTES_MAX = 4 * 1024 * 1024;
/** What has been verified is written down so often: a check that is killed has not read for nothing. */
const SAVE_AFTER_MS = 10 * 60_000;

export interface CheckOptions {
  /** 0 to 100: the share of the packs whose data is read again: those not verified for the longest time. */
  readonly readDataPercent: number;
  /** Instead: the packs of one part of several, by their ids. Parts count from 1. */
  readonly readDataPart?: { readonly part: number; readonly of: number } | undefined;
  /** Data is read only of packs that have not been verified for so long. */
  readonly olderThanMs?: number | undefined;
  /** So long after its beginning the check begins no further pack. */
  readonly maxDurationMs?: number | undefined;
}

export interface CheckContext {
  readonly repository: Repository;
  readonly assemble: AssembleMessage;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly log?: Logger;
  readonly signal?: AbortSignal;
}

export interface CheckResult {
  /** The first 1000. */
  readonly errors: readonly CheckError[];
  readonly errorsTotal: number;
  /** Whom the errors affect, all together; undefined: no backup. */
  readonly affects: Affects | undefined;
  /** Files of the repository that are not as they were written. */
  readonly damagedFiles: readonly string[];
  /** Packs of which something is needed and which are not there, as far as segments know them. */
  readonly missingPacks: readonly string[];
  readonly packs: number;
  readonly objects: number;
  readonly backups: number;
  /** Of blocks: 0 unless data was asked for. */
  readonly bytesRead: number;
  readonly packsRead: number;
  /** Messages that no backup needs, a part of which is nowhere. */
  readonly remnants: number;
  /** Packs that were due, and for which there was no time: undefined unless data was asked for. */
  readonly notReached: { readonly packs: number; readonly bytes: number } | undefined;
  readonly seconds: number;
}

/** @throws {CyrvaultError} only for what keeps the check from going on: what is wrong with the repository is its result. */
export async function runCheck(options: CheckOptions, context: CheckContext): Promise<CheckResult> {
  const { repository, clock, progress, signal } = context;
  const began = clock.monotonicMs();
  const errors = new CheckErrors();
  const count = (items: number, bytes = 0) => progress.add({ items, bytes }, clock.monotonicMs());

  progress.beginPhase("packs", began);
  const onListed = (items: number) => progress.setTotal({ items, bytes: 0 });
  const packContext = { repository, errors, signal, onPack: () => count(1), onListed };
  const packs = await checkPacks(packContext);
  progress.beginPhase("segments", clock.monotonicMs());
  await checkSegments(packContext, packs);

  progress.beginPhase("backups", clock.monotonicMs(), undefined, "objects");
  const backupContext = { repository, errors, signal, onObject: () => count(1), onBackup: () => undefined };
  const backups = await checkBackups(backupContext);
  await checkCoverage(packContext, backups);
  await checkKeys(repository, errors);
  await checkRecords(repository, errors);

  const data = await readData(options, context, errors, { packs, needed: backups.marks }, began);
  const missingPacks = await findMissingPacks(repository, errors.missing, errors);
  let affects: Affects | undefined;
  if (errors.total > 0) {
    progress.beginPhase("who suffers", clock.monotonicMs(), undefined, "objects");
    affects = await findAffected({ repository, errors, signal, onObject: () => count(1) });
  }
  let objects = 0;
  for (const pack of packs.values()) objects += pack.objects;
  return {
    errors: errors.list,
    errorsTotal: errors.total,
    affects,
    damagedFiles: errors.damagedFiles,
    missingPacks,
    packs: packs.size,
    objects,
    backups: backups.count,
    bytesRead: data?.bytes ?? 0,
    packsRead: data?.packs ?? 0,
    remnants: data?.remnants ?? 0,
    notReached: data?.notReached,
    seconds: (clock.monotonicMs() - began) / 1000,
  };
}

async function readData(
  { readDataPercent, readDataPart, olderThanMs, maxDurationMs }: CheckOptions,
  { repository, assemble, clock, progress, log = silentLogger, signal }: CheckContext,
  errors: CheckErrors,
  { packs, needed }: { readonly packs: ReadonlyMap<string, CheckedPack>; readonly needed: ObjectMarks },
  began: number,
): Promise<(DataRead & Pick<CheckResult, "notReached">) | undefined> {
  if (readDataPart === undefined && readDataPercent <= 0) return undefined;
  const times = await VerifiedTimes.load(repository, (name, reason) =>
    log.warning("when packs were verified cannot be read: they count as never", { name, reason }),
  );
  const chosen = choosePacks(packs.values(), {
    share: readDataPart ?? { percent: readDataPercent },
    olderThanMs,
    nowMs: clock.nowMs(),
    verifiedMs: (packId) => times.timeOf(packId, clock.nowMs()),
  });
  const bytesOf = (some: readonly CheckedPack[]) => some.reduce((sum, { blockBytes }) => sum + blockBytes, 0);
  progress.beginPhase("data", clock.monotonicMs(), { items: 0, bytes: bytesOf(chosen) });
  let savedMs = clock.monotonicMs();
  let mayNote = true;
  const save = async () => {
    savedMs = clock.monotonicMs();
    try {
      if (mayNote) await times.save(clock.nowMs(), (packId) => packs.has(packName(packId)));
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      mayNote = false;
      log.warning("what has been verified cannot be written down: the next check does not know of it", {
        reason: error.message,
      });
    }
  };
  try {
    const read = await checkData(
      {
        repository,
        assemble,
        errors,
        signal,
        needed,
        onBytes: (bytes) => progress.add({ items: 0, bytes }, clock.monotonicMs()),
        mayGoOn: () => maxDurationMs === undefined || clock.monotonicMs() - began < maxDurationMs,
        onVerified: async (packId) => {
          times.note(packId, clock.nowMs());
          if (clock.monotonicMs() - savedMs >= SAVE_AFTER_MS) await save();
        },
      },
      chosen.map(({ packId }) => packId),
    );
    const left = chosen.slice(read.packs);
    return { ...read, notReached: { packs: left.length, bytes: bytesOf(left) } };
  } finally {
    await save();
  }
}

/** The repository was opened with one of them; a damaged one would be missed on the day it is needed. */
async function checkKeys({ backend }: Repository, errors: CheckErrors): Promise<void> {
  for await (const { name } of backend.list(KEYS_PREFIX)) {
    await errors.guard(name, async () => {
      const bytes = await backend.read(name, KEY_FILE_BYTES_MAX);
      if (bytes !== undefined) verifyKeyFile({ name, bytes });
    });
  }
}

async function checkRecords(repository: Repository, errors: CheckErrors): Promise<void> {
  const { backend, sealer } = repository;
  for await (const { name } of backend.list(RUNS_PREFIX))
    await errors.guard(name, () => readRun(backend, sealer, name.slice(RUNS_PREFIX.length)));
  for (const [prefix, purpose] of SMALL_RECORDS)
    for await (const { name } of backend.list(prefix))
      await errors.guard(name, async () => {
        const sealed = await backend.read(name, SMALL_RECORD_BYTES_MAX);
        if (sealed !== undefined) sealer.openNamed(purpose, name, sealed);
      });
  for await (const { name } of backend.list(FORGOTTEN_PREFIX))
    await errors.guard(name, () => readForgotten(repository, name.slice(FORGOTTEN_PREFIX.length)));
  await errors.guard(GC_PREFIX, () => readGcState(backend, sealer));
}
