/** A repository as a whole: made, opened, read from, written to by runs. Format: docs/formats/repository.md. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { toHex } from "../base/bytes.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type Logger, silentLogger } from "../base/log.ts";
import {
  BACKUPS_PREFIX,
  type BackupFile,
  type Checkpoint,
  listBackups,
  readBackup,
  readCheckpoints,
  readRuns,
} from "./backup-files.ts";
import { mayRead, newKeySet, sealContextOf } from "./key-set.ts";
import { type KeyFile, makeTestedKeyFile, type ScryptCost } from "./keys.ts";
import { Lookup } from "./lookup.ts";
import type { AssembleMessage } from "./object.ts";
import { ObjectIndex } from "./object-index.ts";
import { ObjectReader, type ObjectReaderOptions } from "./object-reader.ts";
import { PACKS_PREFIX } from "./pack-types.ts";
import {
  CONFIG_NAME,
  checkWritable,
  DEFAULT_PARAMETERS,
  encodeConfig,
  isConfigOf,
  NO_FEATURES,
  REPOSITORY_ID_BYTES,
  type RepositoryConfig,
  WRITE_ONLY_KEYS,
} from "./repository-config.ts";
import { Run, type RunOptions } from "./run.ts";
import type { RunRecord } from "./run-record.ts";
import { type SealContext, UNENCRYPTED } from "./seal-context.ts";
import { Sealer } from "./sealer.ts";
import type { Secret, WrappingSecret } from "./secret.ts";
import { storeSelfTestOnce } from "./store-self-test.ts";
import { readConfig, unlock } from "./unlock.ts";
import { type OwnPacks, Vouching } from "./vouching.ts";

const PAGE_CACHE_BYTES = 16 * 1024 * 1024;

export type InitOptions = (
  | { readonly password: WrappingSecret; readonly scrypt?: ScryptCost }
  | { readonly noEncryption: true }
) & {
  readonly clock?: Clock;
  readonly random?: (count: number) => Uint8Array;
};

export interface OpenOptions {
  readonly password?: Secret | undefined;
  readonly assemble: AssembleMessage;
  /** Where the object index of a repository without a local directory may lie. */
  readonly cacheDirectory?: string | undefined;
  /** For a key that may only write. Without it every run reads and stores everything. */
  readonly ownPacks?: ((repository: string) => OwnPacks) | undefined;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly reader?: ObjectReaderOptions;
}

/**
 * Makes a repository where there is none. It exists when this resolves, and not before: what a failure leaves behind
 * does not count and is in nobody's way.
 * @throws {CyrvaultError} `REPOSITORY_EXISTS`.
 */
export async function initRepository(
  backend: Backend,
  options: InitOptions,
): Promise<{ readonly id: string; readonly encrypted: boolean }> {
  storeSelfTestOnce();
  const clock = options.clock ?? systemClock;
  const random = options.random ?? randomBytes;
  await refuseExisting(backend);
  const id = toHex(random(REPOSITORY_ID_BYTES));
  const created = new Date(clock.nowMs()).toISOString();
  let context: SealContext = UNENCRYPTED;
  let keyFile: KeyFile | undefined;
  if ("password" in options) {
    const keySet = newKeySet(random);
    const { scrypt } = options;
    keyFile = await makeTestedKeyFile(keySet, options.password, {
      createdMs: clock.nowMs(),
      random,
      ...(scrypt !== undefined && { cost: scrypt }),
    });
    context = sealContextOf(keySet);
    await backend.create(keyFile.name, keyFile.bytes);
  }
  const { encrypted } = context;
  const config = encodeConfig(
    { id, created, encrypted, parameters: DEFAULT_PARAMETERS, features: NO_FEATURES },
    new Sealer(context),
  );
  try {
    await backend.create(CONFIG_NAME, config);
  } catch (error) {
    if (!isCyrvaultError(error, "NAME_EXISTS")) throw error;
    if (keyFile !== undefined) await backend.remove(keyFile.name);
    throw exists(backend);
  }
  return { id, encrypted };
}

/**
 * Reads and checks what the repository is. Looks for packs only when an object is asked for.
 * @throws {CyrvaultError} `REPOSITORY_NOT_FOUND`, `REPOSITORY_VERSION`, `REPOSITORY_DAMAGED`, `PASSWORD_NEEDED`,
 *   `PASSWORD_WRONG`, `PASSWORD_UNUSED`.
 */
export async function openRepository(backend: Backend, options: OpenOptions): Promise<Repository> {
  storeSelfTestOnce();
  const config = await readConfig(backend);
  const keys = await unlock(backend, config, options.password);
  if (keys === undefined) return new Repository(backend, config, UNENCRYPTED, options);
  const context = sealContextOf(keys.keySet);
  if (mayRead(keys.keySet)) return new Repository(backend, config, context, options);
  const ownPacks = options.ownPacks?.(config.id) ?? { has: () => false, add: () => undefined };
  const { secret } = ownPacks;
  const remembering = secret === undefined ? context : { ...context, remembered: Uint8Array.from(secret) };
  return new Repository(backend, config, remembering, options, ownPacks);
}

export class Repository {
  /** Hex. */
  readonly id: string;
  readonly encrypted: boolean;
  readonly config: RepositoryConfig;
  /** Belongs to whoever opened the repository. */
  readonly backend: Backend;
  readonly sealer: Sealer;
  readonly objects: ObjectReader;
  readonly lookup: Lookup;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #indexDirectory: string | undefined;
  readonly #runs = new Set<Run>();
  readonly #ownPacks: OwnPacks | undefined;
  #indexUsers = 0;

  constructor(
    backend: Backend,
    config: RepositoryConfig,
    context: SealContext,
    options: OpenOptions,
    ownPacks?: OwnPacks,
  ) {
    const { assemble, cacheDirectory, reader } = options;
    this.backend = backend;
    this.config = config;
    this.id = config.id;
    this.encrypted = config.encrypted;
    this.sealer = new Sealer(context);
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
    this.#ownPacks = ownPacks;
    this.lookup = new Lookup({
      backend,
      sealer: this.sealer,
      log: this.#log,
      pageBytesMax: PAGE_CACHE_BYTES,
    });
    this.objects = new ObjectReader(
      { backend, context, lookup: this.lookup, assemble, clock: this.#clock },
      reader,
    );
    const { localDirectory } = backend.properties;
    if (localDirectory !== undefined) this.#indexDirectory = join(localDirectory, "index");
    else if (cacheDirectory !== undefined) this.#indexDirectory = join(cacheDirectory, this.id, "index");
  }

  /** For workers that build packs. */
  get seal(): SealContext {
    return this.sealer.context;
  }

  /** Oldest first. */
  listBackups(): Promise<BackupFile[]> {
    this.lookup.markStale();
    return listBackups(this.backend);
  }

  /** The root as it was given to the commit. @param by - as for `readBackup` of backup-files.ts. @throws {CyrvaultError} `BACKUP_NOT_FOUND`, `REPOSITORY_DAMAGED`. */
  readBackup(id: string, by?: "readers"): Promise<Buffer> {
    this.lookup.markStale();
    return readBackup(this.backend, this.sealer, id, by);
  }

  /** Roots of the checkpoints that there are, of all servers, oldest run first. */
  async readCheckpoints(): Promise<Buffer[]> {
    return (await this.listCheckpoints()).map(({ bytes }) => bytes);
  }

  listCheckpoints(by?: "readers"): Promise<Checkpoint[]> {
    this.lookup.markStale();
    return readCheckpoints(this.backend, this.sealer, by);
  }

  /** Of all servers, oldest first. */
  listRuns(): Promise<RunRecord[]> {
    return readRuns(this.backend, this.sealer);
  }

  /** Before anything is written. @throws {CyrvaultError} `REPOSITORY_VERSION`: for writing, a newer version is needed. */
  requireWritable(): void {
    checkWritable(this.config);
  }

  /** Otherwise the key in use may only write. */
  get mayRead(): boolean {
    return this.sealer.mayRead;
  }

  /** Whether a run can read what an earlier one has left for it. */
  get remembers(): boolean {
    return this.mayRead || (this.seal.encrypted && this.seal.remembered !== undefined);
  }

  async startRun(options: RunOptions): Promise<Run> {
    this.requireWritable();
    const run = await Run.start(
      {
        backend: this.backend,
        sealer: this.sealer,
        lookup: this.lookup,
        clock: this.#clock,
        log: this.#log,
        acquireIndex: () => this.acquireIndex(),
        releaseIndex: () => this.releaseIndex(),
        beforeLooking: () => this.#goByFeatures(),
      },
      options,
    );
    this.#runs.add(run);
    return run;
  }

  /** As they are now: whoever adds a first key that may only write looks which runs there are. */
  async #goByFeatures(): Promise<void> {
    const config = await readConfig(this.backend);
    if (config.id !== this.id || !isConfigOf(config, this.sealer))
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${CONFIG_NAME}: it has been changed since it was made`);
    checkWritable(config);
    if (this.mayRead && !config.features.write.includes(WRITE_ONLY_KEYS)) return;
    this.lookup.setVouching(new Vouching(this.backend, this.seal, this.#ownPacks));
  }

  /** Opens the object index for this process, unless it is open; where it cannot be had, nothing happens. Pairs with `releaseIndex`. */
  async acquireIndex(onProgress?: (objects: number) => void): Promise<void> {
    if (this.#indexUsers++ > 0 || this.#indexDirectory === undefined) return;
    const index = await ObjectIndex.open(this.#indexDirectory, this.id, this.#log);
    if (index === undefined) return;
    try {
      await this.lookup.attachIndex(index, onProgress);
    } catch (error) {
      await index.close();
      if (!isCyrvaultError(error, "IO")) {
        this.#indexUsers--;
        throw error;
      }
      this.#log.warning("the object index failed: segments are used", { reason: error.message });
    }
  }

  async releaseIndex(): Promise<void> {
    if (--this.#indexUsers === 0) await this.lookup.detachIndex();
  }

  /** Where the object index lies, if it has a place. */
  get indexDirectory(): string | undefined {
    return this.#indexDirectory;
  }

  /** Ends runs that are under way without a backup. The backend stays open. */
  async close(): Promise<void> {
    for (const run of this.#runs) await run.abort();
    this.#runs.clear();
    await this.lookup.detachIndex();
    this.objects.clear();
  }
}

async function refuseExisting(backend: Backend): Promise<void> {
  if ((await backend.size(CONFIG_NAME)) !== undefined) throw exists(backend);
  for (const prefix of [BACKUPS_PREFIX, PACKS_PREFIX])
    for await (const { name } of backend.list(prefix))
      throw new CyrvaultError(
        "REPOSITORY_EXISTS",
        `${backend.properties.description} has ${name} and no ${CONFIG_NAME}: it seems to be a repository that lost it`,
        { hint: `put ${CONFIG_NAME} back from a copy, or choose another place` },
      );
}

function exists(backend: Backend): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_EXISTS",
    `there is a repository in ${backend.properties.description} already`,
  );
}
