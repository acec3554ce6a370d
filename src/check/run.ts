/**
 * Whether a repository is consistent: packs and segments open and agree → every object that a backup needs is
 * there, in a pack that a segment covers → key files and the records of runs and deletion can be read → on request,
 * every byte again.
 */
import { randomInt } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import { FORGOTTEN_PREFIX, readForgotten } from "../store/forgotten.ts";
import { GC_PREFIX, readGcState } from "../store/gc-record.ts";
import { KEY_FILE_BYTES_MAX, KEYS_PREFIX, verifyKeyFile } from "../store/keys.ts";
import type { AssembleMessage } from "../store/object.ts";
import type { PackId } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import { RUNS_PREFIX, readRun } from "../store/run-record.ts";
import { checkBackups } from "./check-backups.ts";
import { checkData } from "./check-data.ts";
import { type CheckError, CheckErrors } from "./check-errors.ts";
import { type CheckedPack, checkCoverage, checkPacks, checkSegments } from "./check-packs.ts";

/** Findings that somebody has accepted: docs/formats/repository.md. */
/** Each lies below a name like its purpose. */
const SMALL_RECORDS = ["accepted", "tags"] as const;
const SMALL_RECORD_BYTES_MAX = 4 * 1024 * 1024;

export interface CheckOptions {
  /** 0 to 100: the share of the packs whose data is read again, chosen at random. */
  readonly readDataPercent: number;
}

export interface CheckContext {
  readonly repository: Repository;
  readonly assemble: AssembleMessage;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface CheckResult {
  /** The first 1000. */
  readonly errors: readonly CheckError[];
  readonly errorsTotal: number;
  readonly packs: number;
  readonly objects: number;
  readonly backups: number;
  /** Of blocks: 0 unless data was asked for. */
  readonly bytesRead: number;
  readonly seconds: number;
}

/** @throws {CyrvaultError} only for what keeps the check from going on: what is wrong with the repository is its result. */
export async function runCheck(options: CheckOptions, context: CheckContext): Promise<CheckResult> {
  const { repository, assemble, clock, progress, signal } = context;
  const began = clock.monotonicMs();
  const errors = new CheckErrors();
  const count = (items: number, bytes = 0) => progress.add({ items, bytes }, clock.monotonicMs());

  progress.beginPhase("packs", began);
  const packContext = { repository, errors, signal, onPack: () => count(1) };
  const packs = await checkPacks(packContext);
  progress.beginPhase("segments", clock.monotonicMs());
  await checkSegments(packContext, packs);

  progress.beginPhase("backups", clock.monotonicMs());
  const backupContext = { repository, errors, signal, onObject: () => count(1), onBackup: () => undefined };
  const backups = await checkBackups(backupContext);
  await checkCoverage(packContext, backups.packs);
  await checkKeys(repository, errors);
  await checkRecords(repository, errors);

  const chosen = choose([...packs.values()], options.readDataPercent);
  const bytes = chosen.reduce((sum, { blockBytes }) => sum + blockBytes, 0);
  if (chosen.length > 0) progress.beginPhase("data", clock.monotonicMs(), { items: 0, bytes });
  const dataContext = { repository, assemble, errors, signal, onBytes: (read: number) => count(0, read) };
  const ids: PackId[] = chosen.map(({ packId }) => packId);
  const bytesRead = await checkData(dataContext, ids);

  let objects = 0;
  for (const pack of packs.values()) objects += pack.objects;
  return {
    errors: errors.list,
    errorsTotal: errors.total,
    packs: packs.size,
    objects,
    backups: backups.count,
    bytesRead,
    seconds: (clock.monotonicMs() - began) / 1000,
  };
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
  for (const purpose of SMALL_RECORDS)
    for await (const { name } of backend.list(`${purpose}/`))
      await errors.guard(name, async () => {
        const sealed = await backend.read(name, SMALL_RECORD_BYTES_MAX);
        if (sealed !== undefined) sealer.openNamed(purpose, name, sealed);
      });
  for await (const { name } of backend.list(FORGOTTEN_PREFIX))
    await errors.guard(name, () => readForgotten(repository, name.slice(FORGOTTEN_PREFIX.length)));
  await errors.guard(GC_PREFIX, () => readGcState(backend, sealer));
}

/** At least one where any are wanted. */
function choose(packs: readonly CheckedPack[], percent: number): CheckedPack[] {
  const rest = [...packs];
  const wanted =
    percent <= 0 ? 0 : Math.min(rest.length, Math.max(1, Math.ceil((rest.length * percent) / 100)));
  for (let i = 0; i < wanted; i++) {
    const j = randomInt(i, rest.length);
    [rest[i], rest[j]] = [rest[j] as CheckedPack, rest[i] as CheckedPack];
  }
  return rest.slice(0, wanted);
}
