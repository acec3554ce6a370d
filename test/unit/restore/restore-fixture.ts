/** What the tests of restores share: a small server, its backup in memory, and restores of it. */
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import type { BackupOptions, BackupResult } from "../../../src/backup/options.ts";
import { runBackup } from "../../../src/backup/run.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";
import { decodeRoot } from "../../../src/manifest/root.ts";
import type { RestoreOptions, RestoreResult } from "../../../src/restore/options.ts";
import { type PreparedRestore, planRestore } from "../../../src/restore/plan.ts";
import { runRestore } from "../../../src/restore/run.ts";
import type { RestoreContext } from "../../../src/restore/run-context.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import type { SampleParameters } from "../../../src/sample/sample-server.ts";
import { initRepository, openRepository, type Repository } from "../../../src/store/repository.ts";
import { type Comparison, readTree } from "../../support/tree-compare.ts";

// Each restore syncs its filesystem: one in memory has nothing to sync.
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

export interface Stored {
  /** Name to bytes: what the repository consists of. */
  readonly files: Map<string, Buffer>;
  readonly backup: BackupResult;
}

const SMALL: Partial<SampleParameters> = { users: 2, foldersPerUser: 2, messages: 24, days: 20 };

/** @param directory - is made. */
export function makeServer(directory: string, parameters: Partial<SampleParameters> = {}): void {
  mkdirSync(directory, { recursive: true });
  generateServer(directory, { ...SMALL, ...parameters });
}

export async function openStored(files: Map<string, Buffer>): Promise<Repository> {
  return await openRepository(new MemoryBackend(files), { assemble: assembleMessage });
}

/** @param server - a directory with `etc/imapd.conf`. */
export async function backUp(
  server: string,
  files = new Map<string, Buffer>(),
  options: Partial<BackupOptions> = {},
): Promise<Stored> {
  if (files.size === 0) await initRepository(new MemoryBackend(files), { noEncryption: true });
  const repository = await openStored(files);
  const backup = await runBackup(
    {
      config: fromText(join(server, "etc/imapd.conf")),
      root: fromText("/"),
      mappings: [],
      server: undefined,
      includes: [],
      excludeMailboxes: [],
      withoutDerivable: false,
      withSearch: false,
      compression: "fast",
      scrub: 0,
      threads: 0,
      checkpointMs: Number.POSITIVE_INFINITY,
      checkpointBytes: Number.POSITIVE_INFINITY,
      ...options,
    },
    { repository, clock: systemClock, progress: new Progress(), acceptRules: [] },
  );
  await repository.close();
  return { files, backup };
}

export function restoreOptions(target: string, options: Partial<RestoreOptions> = {}): RestoreOptions {
  return {
    target: fromText(target),
    only: [],
    users: [],
    mailboxes: [],
    uids: undefined,
    mappings: [],
    owner: undefined,
    overwrite: undefined,
    ...options,
  };
}

export async function readRoot(repository: Repository, backup: string): Promise<ManifestRoot> {
  return decodeRoot(await repository.readBackup(backup));
}

export async function restoreTo(
  target: string,
  { files, backup }: Stored,
  options: Partial<RestoreOptions> = {},
  context: Partial<RestoreContext> = {},
  change: (root: ManifestRoot) => ManifestRoot = (root) => root,
  changePrepared: (prepared: PreparedRestore) => PreparedRestore = (prepared) => prepared,
): Promise<RestoreResult> {
  const repository = await openStored(files);
  const root = change(await readRoot(repository, backup.backup));
  const prepared = await planRestore(restoreOptions(target, options), root, repository.objects);
  const { objects, backend, seal } = repository;
  return await runRestore(changePrepared(prepared), {
    source: objects,
    clock: systemClock,
    progress: new Progress(),
    workers: { objects, backend, seal, threads: 0 },
    ...context,
  });
}

export const isRoot = process.getuid?.() === 0;

const NOBODY = 65534;

/** @param directory - becomes that user's. */
export async function asOrdinaryUser<T>(directory: string, work: () => Promise<T>): Promise<T> {
  if (!isRoot) return await work();
  chownSync(directory, NOBODY, NOBODY);
  process.setegid?.(NOBODY);
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

const STORE = new URL("../../fixtures/cyrus/3.6.1/store.tar.gz", import.meta.url).pathname;

/** Written by Cyrus 3.6.1. @param directory - is made; gets an imapd.conf that names what lies in it. */
export function unpackServer(directory: string): void {
  mkdirSync(join(directory, "etc"), { recursive: true });
  execFileSync("tar", ["-xzf", STORE, "-C", directory]);
  writeFileSync(join(directory, "etc/imapd.conf"), storeConfig(directory));
}

function storeConfig(directory: string): string {
  return `servername: old.example.org
configdirectory: ${directory}/conf
defaultpartition: default
partition-default: ${directory}/spool
metapartition-default: ${directory}/meta
metapartition_files: header index cache annotations
sievedir: ${directory}/sieve
`;
}

/** Absolute paths of all message files of a server, in order. */
export function messageFiles(server: string): string[] {
  return [...readTree(server)]
    .filter(([path, { type }]) => type === "file" && /\/[1-9]\d*\.$/.test(path))
    .map(([path]) => join(server, path));
}

export function timeOf(path: string): bigint {
  return lstatSync(path, { bigint: true }).mtimeNs;
}

const NOT_RESTORED =
  /^(run(\/|$)|sample-state\.json$|conf\/(deliver|tls_sessions|statuscache)\.db$|conf\/(lock|proc|socket)\/.)|\.NEW$/;

/** A sample server's directory beside what is restored of it. */
export const comparable: Comparison = {
  ignore: (path) => NOT_RESTORED.test(path),
  // Above what belongs to the server.
  presenceOnly: (path) => path === "." || path === "etc",
};
