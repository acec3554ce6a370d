/**
 * Backups that somebody has forgotten: out of the list, but whole until prune removes them after the grace time.
 * Format: docs/formats/repository.md.
 */
import type { Backend } from "../backend/backend.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { backupName, readBackup, sealRoot, timeOfId } from "./backup-files.ts";
import type { Sealer } from "./sealer.ts";

export const FORGOTTEN_PREFIX = "forgotten/";
const FORGOTTEN_BYTES_MAX = 65 * 1024 * 1024;

interface Place {
  readonly backend: Backend;
  readonly sealer: Sealer;
}

export interface ForgottenBackup {
  readonly id: string;
  /** When it was forgotten, ms since the epoch. */
  readonly forgottenMs: number;
  /** The manifest root's plaintext. */
  readonly bytes: Buffer;
}

export function forgottenName(id: string): string {
  return FORGOTTEN_PREFIX + id;
}

/**
 * First the copy, then the removal: whatever breaks off in between leaves the backup where it was.
 * @throws {CyrvaultError} `BACKUP_NOT_FOUND`, `REPOSITORY_DAMAGED`.
 */
export async function forgetBackup({ backend, sealer }: Place, id: string, nowMs: number): Promise<void> {
  const root = await readBackup(backend, sealer, id);
  const name = forgottenName(id);
  const plain = new ByteWriter(root.length + 16).varint(nowMs).raw(root).toBytes();
  // One that is there was left by a forget that broke off, or by an undelete: its time is too old.
  await backend.replace(name, sealRoot(sealer, "forgotten", name, plain));
  await backend.remove(backupName(id));
}

/**
 * @param requireStanding - of a run of kind `undelete` whose parent this backup is: prune holds on to what it needs, then.
 * @throws {CyrvaultError} `BACKUP_NOT_FOUND`: it was not forgotten, or has been pruned. `REPOSITORY_DAMAGED`, `RUN_FENCED`.
 */
export async function undeleteBackup(
  { backend, sealer }: Place,
  id: string,
  requireStanding: () => Promise<void> = async () => undefined,
): Promise<void> {
  const forgotten = await readForgotten({ backend, sealer }, id);
  if (forgotten === undefined) throw notForgotten(id);
  const name = backupName(id);
  await requireStanding();
  let isOurs = true;
  try {
    await backend.create(name, sealRoot(sealer, "backup", name, forgotten.bytes));
  } catch (error) {
    if (!isCyrvaultError(error, "NAME_EXISTS")) throw error;
    isOurs = false;
  }
  try {
    await requireStanding();
  } catch (error) {
    if (isOurs) await backend.remove(name);
    throw error;
  }
  await backend.remove(forgottenName(id));
}

export function notForgotten(id: string): CyrvaultError {
  return new CyrvaultError("BACKUP_NOT_FOUND", `no forgotten backup ${id}`, {
    hint: "`cyrvault undelete` without an id lists what can be brought back",
  });
}

/** @returns undefined: no such one. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export async function readForgotten(
  { backend, sealer }: Place,
  id: string,
): Promise<ForgottenBackup | undefined> {
  const name = forgottenName(id);
  const sealed = timeOfId(id) === undefined ? undefined : await backend.read(name, FORGOTTEN_BYTES_MAX);
  if (sealed === undefined) return undefined;
  const reader = new ByteReader(sealer.openNamed("forgotten", name, sealed), name);
  const forgottenMs = reader.varint(Number.MAX_SAFE_INTEGER);
  return { id, forgottenMs, bytes: reader.raw(reader.remaining) };
}

/** Ids, oldest backup first; also of those that are still, or again, in the list of backups. */
export async function listForgotten(backend: Backend): Promise<string[]> {
  const ids: string[] = [];
  for await (const { name } of backend.list(FORGOTTEN_PREFIX)) {
    const id = name.slice(FORGOTTEN_PREFIX.length);
    if (timeOfId(id) !== undefined) ids.push(id);
  }
  return ids.sort();
}
