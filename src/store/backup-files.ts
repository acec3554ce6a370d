/** Backups, checkpoints and runs as files: names, sealed content. What is in them is the manifest's affair. */
import { randomBytes } from "node:crypto";
import type { Backend } from "../backend/backend.ts";
import { ByteReader, toHex } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { RUNS_PREFIX, type RunRecord, readRun } from "./run-record.ts";
import type { Sealer } from "./sealer.ts";

export const BACKUPS_PREFIX = "backups/";
export const CHECKPOINTS_PREFIX = "checkpoints/";
/** A root is JSON of some KB; the list of users of a large site may make it some MB. */
const ROOT_BYTES_MAX = 64 * 1024 * 1024;
const TIMED_ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{8}$/;

export interface BackupFile {
  /** `20261121T030000Z-1a2b3c4d`. */
  readonly id: string;
  /** To the second. */
  readonly timeMs: number;
  readonly fileBytes: number;
}

export interface Checkpoint {
  readonly run: string;
  readonly server: string;
  /** What `Run.checkpoint` was given. */
  readonly bytes: Buffer;
  /** undefined: the run's file has gone, only the checkpoint is left. */
  readonly record: RunRecord | undefined;
}

/** For backups and runs. Ascends with time, to the second. */
export function newTimedId(nowMs: number, random: (count: number) => Uint8Array = randomBytes): string {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, "");
  return `${time}-${toHex(random(4))}`;
}

/** ms since the epoch; undefined for what is no such id. */
export function timeOfId(id: string): number | undefined {
  const match = TIMED_ID.exec(id);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as number[];
  const ms = Date.UTC(year as number, (month as number) - 1, day, hour, minute, second);
  return newTimedId(ms).slice(0, 16) === id.slice(0, 16) ? ms : undefined;
}

export function backupName(id: string): string {
  return BACKUPS_PREFIX + id;
}

export function checkpointName(run: string): string {
  return CHECKPOINTS_PREFIX + run;
}

/** Oldest first. Reads names only. */
export async function listBackups(backend: Backend): Promise<BackupFile[]> {
  const backups: BackupFile[] = [];
  for await (const { name, bytes } of backend.list(BACKUPS_PREFIX)) {
    const id = name.slice(BACKUPS_PREFIX.length);
    const timeMs = timeOfId(id);
    if (timeMs !== undefined) backups.push({ id, timeMs, fileBytes: bytes });
  }
  return backups.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/**
 * @param by - `readers`: one that was made with a key that may only write is damage.
 * @throws {CyrvaultError} `BACKUP_NOT_FOUND`, `REPOSITORY_DAMAGED`.
 */
export async function readBackup(
  backend: Backend,
  sealer: Sealer,
  id: string,
  by?: "readers",
): Promise<Buffer> {
  const name = backupName(id);
  const sealed = timeOfId(id) === undefined ? undefined : await backend.read(name, ROOT_BYTES_MAX);
  if (sealed === undefined) throw new CyrvaultError("BACKUP_NOT_FOUND", `no backup ${id}`);
  return sealer.openNamed("backup", name, sealed, by);
}

/** Opened again before it is handed out: a root that does not open must not become a backup. */
export function sealRoot(
  sealer: Sealer,
  purpose: "backup" | "checkpoint" | "forgotten",
  name: string,
  bytes: Uint8Array,
): Buffer {
  if (bytes.length > ROOT_BYTES_MAX / 2)
    throw new CyrvaultError("IO", `the manifest root is too large: ${bytes.length} bytes`);
  const sealed = sealer.sealNamed(purpose, name, bytes);
  // Who may only write has compared all but the wrapping of the key.
  if (sealer.mayRead && !sealer.openNamed(purpose, name, sealed).equals(bytes))
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: what was sealed does not open to the same`, {
      hint: "nothing of it has been kept; test this machine's memory",
    });
  return sealed;
}

/** Oldest first. One that is damaged, or that who may only write cannot open, is left out: a checkpoint only saves work. */
export async function readCheckpoints(
  backend: Backend,
  sealer: Sealer,
  by?: "readers",
): Promise<Checkpoint[]> {
  const runs: string[] = [];
  for await (const { name } of backend.list(CHECKPOINTS_PREFIX)) {
    const run = name.slice(CHECKPOINTS_PREFIX.length);
    if (timeOfId(run) !== undefined) runs.push(run);
  }
  const checkpoints: Checkpoint[] = [];
  for (const run of runs.sort()) {
    try {
      const checkpoint = await readCheckpoint(backend, sealer, run, by);
      if (checkpoint === undefined) continue;
      checkpoints.push({ ...checkpoint, record: await readRun(backend, sealer, run) });
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "KEY_WRITE_ONLY"))
        throw error;
    }
  }
  return checkpoints;
}

/** @returns undefined: that run has no checkpoint. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readCheckpoint(
  backend: Backend,
  sealer: Sealer,
  run: string,
  by?: "readers",
): Promise<Omit<Checkpoint, "record"> | undefined> {
  const name = checkpointName(run);
  const sealed = await backend.read(name, ROOT_BYTES_MAX);
  if (sealed === undefined) return undefined;
  const reader = new ByteReader(sealer.openNamed("checkpoint", name, sealed, by), name);
  const server = reader.text();
  return { run, server, bytes: reader.raw(reader.remaining) };
}

/**
 * Of all servers, oldest first.
 * @param onDamaged - is told of a file that cannot be read, which is then left out.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: there is one, and nobody to be told.
 */
export async function readRuns(
  backend: Backend,
  sealer: Sealer,
  onDamaged?: (error: CyrvaultError) => void,
): Promise<RunRecord[]> {
  const ids: string[] = [];
  for await (const { name } of backend.list(RUNS_PREFIX)) {
    const id = name.slice(RUNS_PREFIX.length);
    if (timeOfId(id) !== undefined) ids.push(id);
  }
  const runs: RunRecord[] = [];
  for (const id of ids.sort()) {
    try {
      const run = await readRun(backend, sealer, id);
      if (run !== undefined) runs.push(run);
    } catch (error) {
      if (onDamaged === undefined || !isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      onDamaged(error);
    }
  }
  return runs;
}
