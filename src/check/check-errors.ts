/** What a check has found wrong: each thing once, the first thousand kept, and which objects it puts in doubt. */
import { isCyrvaultError } from "../base/errors.ts";
import { idKey, type ObjectId } from "../store/object.ts";
import type { Affects } from "./affects.ts";

export interface CheckError {
  /** Of the error underneath: `REPOSITORY_DAMAGED`, `OBJECT_MISSING`, …. */
  readonly code: string;
  /** A file of the repository, or what of a backup is concerned. */
  readonly path?: string;
  readonly message: string;
  /** Who suffers from it; absent where nobody does, or nobody can be named. */
  affects?: Affects;
}

const KEPT_MAX = 1000;
const MISSING_MAX = 1000;
/** Beyond so many different ones the same may be counted again. */
const KNOWN_MAX = 100_000;
/** Beyond so many, who suffers is said of these alone. */
const DOUBTFUL_MAX = 1_000_000;

export class CheckErrors {
  readonly list: CheckError[] = [];
  /** Positions in `list`, -1 for those that have not been kept. */
  readonly #known = new Map<string, number>();
  /** Objects that may be lost, and the errors that say so: positions in `list`. */
  readonly #doubtful = new Map<string, number[]>();
  /** Files of the repository with an error of their own. */
  readonly #damagedFiles = new Set<string>();
  /** Objects that no pack has: the first ones. */
  readonly missing: ObjectId[] = [];
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /** Sorted names. */
  get damagedFiles(): readonly string[] {
    return [...this.#damagedFiles].sort();
  }

  get hasDoubtful(): boolean {
    return this.#doubtful.size > 0;
  }

  add(code: string, path: string | undefined, message: string, objects: readonly ObjectId[] = []): void {
    const key = `${code}\0${path ?? ""}\0${message}`;
    let position = this.#known.get(key);
    if (position === undefined) {
      position = this.list.length < KEPT_MAX ? this.list.length : -1;
      if (position >= 0) this.list.push({ code, ...(path === undefined ? {} : { path }), message });
      if (this.#known.size < KNOWN_MAX) this.#known.set(key, position);
      this.#total++;
    }
    for (const id of objects) {
      this.doubt(id, position);
      if (code === "OBJECT_MISSING" && this.missing.length < MISSING_MAX) this.missing.push(id);
    }
  }

  /** An object that an error puts in doubt. @param position - in `list`, -1: it has not been kept. */
  doubt(id: ObjectId, position: number): void {
    const key = idKey(id);
    const positions = this.#doubtful.get(key);
    if (positions === undefined) {
      if (this.#doubtful.size < DOUBTFUL_MAX) this.#doubtful.set(key, position < 0 ? [] : [position]);
    } else if (position >= 0 && !positions.includes(position)) positions.push(position);
  }

  /** The same, by every error about a file of the repository. */
  doubtBecauseOf(id: ObjectId, path: string): void {
    for (const [position, error] of this.list.entries()) if (error.path === path) this.doubt(id, position);
  }

  isDoubtful(id: ObjectId): boolean {
    return this.#doubtful.has(idKey(id));
  }

  positionsOf(id: ObjectId): readonly number[] {
    return this.#doubtful.get(idKey(id)) ?? [];
  }

  /** A file that is not as it was written: what repair has to do with. */
  blame(name: string): void {
    this.#damagedFiles.add(name);
  }

  /** Takes what is wrong with the repository; throws again what ends the check: an interruption, a bug. */
  take(error: unknown, path: string, objects: readonly ObjectId[] = []): void {
    if (!isCyrvaultError(error) || error.code === "INTERRUPTED") throw error;
    this.add(error.code, path, error.message, objects);
  }

  /** `work`, or undefined with an error kept. `path` is a file of the repository. */
  async guard<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.take(error, path);
      if (!isCyrvaultError(error, "REPOSITORY_VERSION")) this.blame(path);
      return undefined;
    }
  }
}
