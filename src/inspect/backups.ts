/** The backups of a repository, as far as their roots say. */
import pLimit from "p-limit";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { decodeRoot } from "../manifest/root.ts";
import { type KnownBackup, selectBackup } from "../manifest/select-backup.ts";
import type { ObjectId } from "../store/object.ts";

/** All that looking at backups needs of a repository. */
export interface BackupSource {
  listBackups(): Promise<readonly { readonly id: string; readonly fileBytes: number }[]>;
  /** The root's plaintext. @throws {CyrvaultError} `BACKUP_NOT_FOUND`, `REPOSITORY_DAMAGED`. */
  readBackup(id: string): Promise<Uint8Array>;
  readonly objects: ObjectSource;
}

export interface ObjectSource extends PageSource {
  /** A message in order, in stretches. Verified when the last stretch has been taken. */
  stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array>;
  /** The same, unverified: for a look at its beginning. */
  peek(id: ObjectId): AsyncIterable<Uint8Array>;
}

export interface BackupSummary extends KnownBackup {
  readonly host: string;
  readonly parent: string | undefined;
  readonly mailboxes: number;
  readonly messages: number;
  readonly bytes: number;
  readonly stored: number;
  /** All, accepted ones too. */
  readonly findings: number;
}

export interface ChooseOptions {
  /** Only backups of this server. */
  readonly server: string | undefined;
  readonly nowMs: number;
}

const ROOTS_AT_ONCE = 8;
const ROOTS_AHEAD = 64;

/** Told of a backup that cannot be read, which is then left out. */
export type OnUnreadable = (backup: string, error: CyrvaultError) => void;

/** Oldest first. */
export async function* readBackups(
  source: BackupSource,
  onUnreadable: OnUnreadable,
): AsyncGenerator<ManifestRoot> {
  const ids = (await source.listBackups()).map(({ id }) => id).sort();
  // A few ahead of the one that is wanted: years of daily backups are a thousand small files.
  const limit = pLimit(ROOTS_AT_ONCE);
  for (let at = 0; at < ids.length; at += ROOTS_AHEAD) {
    const ahead = ids.slice(at, at + ROOTS_AHEAD);
    const roots = await Promise.all(ahead.map((id) => limit(() => readIfThere(source, id, onUnreadable))));
    for (const root of roots) if (root !== undefined) yield root;
  }
}

export async function listBackups(
  source: BackupSource,
  onUnreadable: OnUnreadable,
): Promise<BackupSummary[]> {
  const summaries: BackupSummary[] = [];
  const files = new Map((await source.listBackups()).map(({ id, fileBytes }) => [id, fileBytes]));
  for await (const root of readBackups(source, onUnreadable))
    summaries.push(summaryOf(root, files.get(root.backup)));
  return summaries.sort((a, b) => a.timeMs - b.timeMs || (a.backup < b.backup ? -1 : 1));
}

/**
 * @param selector - an id, the beginning of one, `latest` or `@TIME`.
 * @throws {CyrvaultError} as `selectBackup`; `REPOSITORY_DAMAGED` when the chosen one cannot be read.
 */
export async function chooseBackup(
  source: BackupSource,
  selector: string,
  options: ChooseOptions,
  onUnreadable: OnUnreadable,
): Promise<ManifestRoot> {
  const known: KnownBackup[] = [];
  if (selector === "latest" || selector.startsWith("@")) {
    for await (const { backup, server, startedMs } of readBackups(source, onUnreadable))
      known.push({ backup, server, timeMs: startedMs });
    return await readBackupRoot(source, selectBackup(known, selector, options).backup);
  }
  for (const { id } of await source.listBackups()) known.push({ backup: id, server: "", timeMs: 0 });
  const { backup } = selectBackup(known, selector, { nowMs: options.nowMs });
  return checkServer(await readBackupRoot(source, backup), options.server);
}

/** @throws {CyrvaultError} `BACKUP_NOT_FOUND`, `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`. */
export async function readBackupRoot(source: BackupSource, id: string): Promise<ManifestRoot> {
  const root = decodeRoot(await source.readBackup(id));
  if (root.backup !== id)
    throw new CyrvaultError("REPOSITORY_DAMAGED", `backup ${id} says that it is another one`, {
      context: { found: root.backup },
    });
  return root;
}

/** @param rootBytes - the size of its own file. */
export function summaryOf(root: ManifestRoot, rootBytes = 0): BackupSummary {
  const { note, warning, error, accepted } = root.counts.findings;
  return {
    backup: root.backup,
    timeMs: root.startedMs,
    server: root.server,
    host: root.host,
    parent: root.parent,
    mailboxes: root.counts.mailboxes,
    messages: root.counts.messages,
    bytes: root.bytes.source,
    stored: root.bytes.stored + rootBytes,
    findings: note + warning + error + accepted,
  };
}

async function readIfThere(
  source: BackupSource,
  id: string,
  onUnreadable: OnUnreadable,
): Promise<ManifestRoot | undefined> {
  try {
    return await readBackupRoot(source, id);
  } catch (error) {
    // Forgotten between the listing and now.
    if (isCyrvaultError(error, "BACKUP_NOT_FOUND")) return undefined;
    if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "REPOSITORY_VERSION"))
      throw error;
    onUnreadable(id, error);
    return undefined;
  }
}

function checkServer(root: ManifestRoot, server: string | undefined): ManifestRoot {
  if (server === undefined || root.server === server) return root;
  throw new CyrvaultError(
    "BACKUP_NOT_FOUND",
    `backup ${root.backup} is of the server ${root.server}, not ${server}`,
  );
}
