/** The keys of an encrypted repository, opened with one of them: listing, adding, replacing, removing, printing. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { readRuns } from "../store/backup-files.ts";
import { type AnyKeySet, type KeySet, mayRead, sealContextOf, writeOnlyKeySet } from "../store/key-set.ts";
import {
  describeKeyFile,
  type KeyFile,
  type KeyFileDescription,
  keyFileName,
  makeTestedKeyFile,
  openKeyFiles,
  type ScryptCost,
} from "../store/keys.ts";
import { encodePaperKey } from "../store/paper-key.ts";
import {
  CONFIG_NAME,
  checkWritable,
  encodeConfig,
  type RepositoryConfig,
  WRITE_ONLY_KEYS,
} from "../store/repository-config.ts";
import { writeOnly } from "../store/seal-header.ts";
import { Sealer } from "../store/sealer.ts";
import type { Secret, WrappingSecret } from "../store/secret.ts";
import { type Here, isStaleRun } from "../store/stale-run.ts";
import { storeSelfTestOnce } from "../store/store-self-test.ts";
import { readConfig, readKeyFiles, unlock } from "../store/unlock.ts";

export interface KeyEntry extends Partial<KeyFileDescription> {
  readonly id: string;
  /** The one that was opened. */
  readonly inUse: boolean;
  /** Why it opens nothing. */
  readonly damage?: string;
}

export interface KeyOptions {
  readonly nowMs: number;
  readonly scrypt?: ScryptCost;
}

/** What a removal would do. Made by `planRemoval` alone. */
export interface RemovalPlan {
  readonly going: readonly KeyEntry[];
  readonly staying: readonly KeyEntry[];
}

export class Keyring {
  readonly config: RepositoryConfig;
  readonly #backend: Backend;
  /** The key file that was opened; undefined for a key from paper. */
  readonly #name: string | undefined;
  readonly #keySet: KeySet;

  private constructor(backend: Backend, config: RepositoryConfig, name: string | undefined, keySet: KeySet) {
    this.#backend = backend;
    this.config = config;
    this.#name = name;
    this.#keySet = keySet;
  }

  /** @throws {CyrvaultError} as `openRepository`; `USAGE`: the repository is not encrypted. */
  static async open(backend: Backend, secret: Secret | undefined): Promise<Keyring> {
    storeSelfTestOnce();
    const config = await readConfig(backend);
    const opened = await unlock(backend, config, secret);
    if (opened === undefined)
      throw new CyrvaultError("USAGE", "the repository is not encrypted: it has no keys");
    const { name, keySet } = opened;
    if (!mayRead(keySet)) throw writeOnly("keys cannot be looked at or changed");
    return new Keyring(backend, config, name, keySet);
  }

  /** The oldest first; damaged ones last. */
  async list(): Promise<KeyEntry[]> {
    return this.#describeAll(await readKeyFiles(this.#backend));
  }

  /**
   * Adds a key, unless one opens with this secret already: then it is that one, as after an addition that broke off.
   * Durable when it resolves.
   */
  async add(
    secret: WrappingSecret,
    options: KeyOptions,
  ): Promise<{ readonly id: string; readonly isNew: boolean }> {
    return await this.#add(this.#keySet, secret, options);
  }

  /**
   * As `add`, a key that may only write. From now on, and for good, writers go by what is vouched for.
   * @param options.here - this machine: which runs are at work.
   * @throws {CyrvaultError} `LOCKED`: a run is at work that knows nothing of it. Nothing opens with the new secret then.
   */
  async addWriteOnly(
    secret: WrappingSecret,
    options: KeyOptions & { readonly here: Here },
  ): Promise<{ readonly id: string; readonly isNew: boolean }> {
    checkWritable(this.config);
    const sealer = new Sealer(sealContextOf(this.#keySet));
    const { read, write } = this.config.features;
    if (!write.includes(WRITE_ONLY_KEYS)) {
      const features = { read, write: [...write, WRITE_ONLY_KEYS].sort() };
      await this.#backend.replace(CONFIG_NAME, encodeConfig({ ...this.config, features }, sealer));
    }
    for (const run of await readRuns(this.#backend, sealer))
      if (!isStaleRun(run, options.nowMs, options.here))
        throw new CyrvaultError("LOCKED", `run ${run.run} of ${run.server} is at work on ${run.host}`, {
          hint: "wait until it has ended, then give the command again",
        });
    return await this.#add(writeOnlyKeySet(this.#keySet), secret, options);
  }

  async #add(
    keySet: AnyKeySet,
    secret: WrappingSecret,
    options: KeyOptions,
  ): Promise<{ readonly id: string; readonly isNew: boolean }> {
    checkWritable(this.config);
    const present = await this.#findOpenedBy(secret);
    if (present !== undefined) {
      if (mayRead(present.keySet) === mayRead(keySet)) return { id: idOf(present.name), isNew: false };
      const rights = mayRead(keySet) ? "may only write" : "may read";
      throw new CyrvaultError(
        "USAGE",
        `key ${shortId(idOf(present.name))} opens with this already, and ${rights}`,
      );
    }
    const { nowMs, scrypt } = options;
    const file = await makeTestedKeyFile(keySet, secret, {
      createdMs: nowMs,
      ...(scrypt !== undefined && { cost: scrypt }),
    });
    await this.#backend.create(file.name, file.bytes);
    return { id: idOf(file.name), isNew: true };
  }

  /**
   * @param prefixes - of key ids; at least one.
   * @throws {CyrvaultError} `KEY_NOT_FOUND`, `KEY_AMBIGUOUS`, `KEY_NEEDED`: it is the key in use, or no sound one would be left.
   */
  async planRemoval(prefixes: readonly string[]): Promise<RemovalPlan> {
    const files = await readKeyFiles(this.#backend);
    const entries = this.#describeAll(files);
    const going = new Set(prefixes.map((prefix) => choose(entries, prefix)));
    for (const { inUse, id } of going)
      if (inUse)
        throw new CyrvaultError("KEY_NEEDED", `key ${shortId(id)} is the one in use`, {
          hint: "open the repository with another key to remove it: that proves that there is one; or replace it by `cyrvault key passwd`",
        });
    const staying = entries.filter((entry) => !going.has(entry));
    if (!staying.some(({ damage, isWriteOnly }) => damage === undefined && isWriteOnly === false)) {
      // The one that would be left may be sound.
      for (const { unreadable } of files) if (unreadable !== undefined) throw unreadable;
      throw new CyrvaultError("KEY_NEEDED", "no key that may read would be left in the repository", {
        hint: "add another one first: cyrvault key add",
      });
    }
    return { going: [...going], staying };
  }

  /** Durable when it resolves. */
  async remove(plan: RemovalPlan): Promise<void> {
    checkWritable(this.config);
    // Two that remove each other's key at once must not leave none: whoever comes last puts its own back.
    const name = this.#name;
    const own = name === undefined ? undefined : await this.#fileOf(name);
    for (const { id } of plan.going) await this.#backend.remove(keyFileName(id));
    if (name === undefined || own === undefined) return;
    if ((await this.#backend.size(name)) === undefined) await this.#putBack(own);
  }

  /** The key that a new secret would replace. @throws {CyrvaultError} `USAGE`: it came from paper. */
  planReplacement(): { readonly old: string } {
    const name = this.#name;
    if (name === undefined)
      throw new CyrvaultError("USAGE", "a paper key is in use: there is no password to replace", {
        hint: "add a password (cyrvault key add) and remove the one that is lost (cyrvault key remove)",
      });
    return { old: idOf(name) };
  }

  /** The new key first, durable; then the old one goes. Whatever breaks off in between, both open. */
  async replace(
    plan: { readonly old: string },
    secret: WrappingSecret,
    options: KeyOptions,
  ): Promise<{ readonly id: string }> {
    const { id } = await this.add(secret, options);
    if (id !== plan.old) await this.#backend.remove(keyFileName(plan.old));
    return { id };
  }

  /** Lines to print on paper: with them alone the repository opens. */
  paper(): string[] {
    return encodePaperKey(this.config.id, this.#keySet);
  }

  #describeAll(files: readonly KeyFile[]): KeyEntry[] {
    const order = ({ created = "~", id }: KeyEntry) => created + id;
    return files.map((file) => this.#describe(file)).sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  #describe(file: KeyFile): KeyEntry {
    const inUse = file.name === this.#name;
    try {
      return { ...describeKeyFile(file), inUse };
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      return { id: idOf(file.name), inUse, damage: error.message };
    }
  }

  async #findOpenedBy(
    secret: WrappingSecret,
  ): Promise<{ readonly name: string; readonly keySet: AnyKeySet } | undefined> {
    const files = await readKeyFiles(this.#backend);
    try {
      // Of those that open, the first: a leftover of an init that broke off has other keys, and is none of ours.
      const opened = await openKeyFiles(files, secret);
      return Buffer.from(opened.keySet.indexKey).equals(this.#keySet.indexKey) ? opened : undefined;
    } catch (error) {
      if (isCyrvaultError(error)) return undefined;
      throw error;
    }
  }

  async #fileOf(name: string): Promise<KeyFile | undefined> {
    return (await readKeyFiles(this.#backend)).find((file) => file.name === name);
  }

  async #putBack({ name, bytes }: KeyFile): Promise<void> {
    try {
      await this.#backend.create(name, bytes);
    } catch (error) {
      if (!isCyrvaultError(error, "NAME_EXISTS")) throw error;
    }
  }
}

export function shortId(id: string): string {
  return id.slice(0, 8);
}

function idOf(name: string): string {
  return name.slice("keys/".length, -".json".length);
}

function choose(entries: readonly KeyEntry[], prefix: string): KeyEntry {
  const [first, second] = /^[0-9a-f]+$/.test(prefix) ? entries.filter(({ id }) => id.startsWith(prefix)) : [];
  if (first === undefined)
    throw new CyrvaultError("KEY_NOT_FOUND", `no key ${prefix}`, { hint: "cyrvault key list shows them" });
  if (second !== undefined)
    throw new CyrvaultError("KEY_AMBIGUOUS", `several keys begin with ${prefix}`, {
      hint: "cyrvault key list shows them",
    });
  return first;
}
