/**
 * What this machine saw of a repository when it last worked with it, kept outside of it: whoever holds the repository can put
 * an older state back, or another repository in its place, and nothing in it could tell. docs/security.md.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { makeDirectories, replaceFile } from "../base/durable.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { nodeFileSystem } from "../base/node-file-system.ts";
import { backupName } from "../store/backup-files.ts";
import { forgottenName } from "../store/forgotten.ts";
import { GC_PREFIX, gcName } from "../store/gc-record.ts";
import type { Repository } from "../store/repository.ts";
import type { Terminal } from "./terminal.ts";

const FORMAT = 1;

interface Seen {
  readonly format: typeof FORMAT;
  /** Hex. */
  readonly repository: string;
  readonly encrypted: boolean;
  /** The newest backup, or null. */
  readonly backup: string | null;
  /** The highest number in gc/, 0 for none. */
  readonly gc: number;
}

/** Where such things are kept; undefined: nowhere. */
export function cacheDirectory(env: Terminal["env"]): string | undefined {
  const own = env["CYRVAULT_CACHE_DIR"];
  if (own !== undefined) return own === "" ? undefined : own;
  const [cache, home] = [env["XDG_CACHE_HOME"] ?? "", env["HOME"] ?? ""];
  if (isAbsolute(cache)) return join(cache, "cyrvault");
  return isAbsolute(home) ? join(home, ".cache", "cyrvault") : undefined;
}

export class LastSeen {
  readonly path: string;

  /** @param place - of the repository: the description of its backend. */
  constructor(cache: string, place: string) {
    this.path = join(cache, `seen-${createHash("sha256").update(place).digest("hex").slice(0, 32)}.json`);
  }

  /**
   * @returns undefined: it has grown since, or nothing is known of it.
   * `REPOSITORY_ROLLED_BACK`, `REPOSITORY_REPLACED`: it is older than it was, or another one.
   */
  async compare(repository: Repository): Promise<CyrvaultError | undefined> {
    const seen = this.#read();
    if (seen === undefined) return undefined;
    const hint = `if that is meant to be, because a copy was put back: remove ${this.path}`;
    if (seen.repository !== repository.id || seen.encrypted !== repository.encrypted)
      return new CyrvaultError(
        "REPOSITORY_REPLACED",
        `another repository${repository.encrypted ? "" : ", not encrypted,"} is in the place of the one that this machine knows`,
        { hint, context: { known: seen.repository, found: repository.id } },
      );
    const has = async (name: string) => (await repository.backend.size(name)) !== undefined;
    const { backup, gc } = seen;
    const rolledBack = (what: string) =>
      new CyrvaultError(
        "REPOSITORY_ROLLED_BACK",
        `the repository is older than when this machine last saw it: ${what}`,
        {
          hint,
        },
      );
    const deleted = await newestRecord(repository);
    // Records that tell nobody anything go, the newest stays.
    if (deleted < gc) return rolledBack(`${gcName(gc)} is not there, nor a later one`);
    if (backup === null || (await has(backupName(backup))) || (await has(forgottenName(backup))))
      return undefined;
    // Pruned, or gone while others went on.
    if (deleted > gc) return undefined;
    const newest = (await repository.listBackups()).at(-1)?.id;
    if (newest !== undefined && newest > backup) return undefined;
    return rolledBack(`backup ${backup} was neither forgotten nor pruned, and is not there`);
  }

  /** @throws {CyrvaultError} `IO`, `NO_SPACE`: it is not remembered. */
  async remember(repository: Repository): Promise<void> {
    const backup = (await repository.listBackups()).at(-1)?.id ?? null;
    const gc = await newestRecord(repository);
    const seen: Seen = {
      format: FORMAT,
      repository: repository.id,
      encrypted: repository.encrypted,
      backup,
      gc,
    };
    const before = this.#read();
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(seen)) return;
    await makeDirectories(nodeFileSystem, dirname(this.path));
    await replaceFile(nodeFileSystem, this.path, Buffer.from(`${JSON.stringify(seen)}\n`), { mode: 0o600 });
  }

  /** A new repository has been made there. */
  async forget(): Promise<void> {
    try {
      await unlink(this.path);
    } catch (cause) {
      if (systemCode(cause) !== "ENOENT") throw ioError(`cannot remove ${this.path}`, cause);
    }
  }

  /** What cannot be read, or is none of ours, is as good as nothing. */
  #read(): Seen | undefined {
    try {
      const value = JSON.parse(readFileSync(this.path, "utf8")) as Partial<Seen> | null;
      if (value === null || typeof value !== "object" || value.format !== FORMAT) return undefined;
      const { repository, encrypted, backup, gc } = value;
      if (typeof repository !== "string" || typeof encrypted !== "boolean") return undefined;
      if (typeof gc !== "number" || !Number.isSafeInteger(gc) || gc < 0 || gc >= 1e8) return undefined;
      if (backup !== null && (typeof backup !== "string" || !/^[0-9A-Za-z-]{1,64}$/.test(backup)))
        return undefined;
      return { format: FORMAT, repository, encrypted, backup, gc };
    } catch {
      return undefined;
    }
  }
}

/** Of deletion; 0: none. */
async function newestRecord({ backend }: Repository): Promise<number> {
  let newest = 0;
  for await (const { name } of backend.list(GC_PREFIX)) {
    const number = /^gc\/(\d{8})$/.exec(name)?.[1];
    if (number !== undefined) newest = Math.max(newest, Number(number));
  }
  return newest;
}
