/** What a check has found wrong: each thing once, the first thousand kept. */
import { isCyrvaultError } from "../base/errors.ts";

export interface CheckError {
  /** Of the error underneath: `REPOSITORY_DAMAGED`, `OBJECT_MISSING`, …. */
  readonly code: string;
  /** A file of the repository, or what of a backup is concerned. */
  readonly path?: string;
  readonly message: string;
}

const KEPT_MAX = 1000;
/** Beyond so many different ones the same may be counted again. */
const KNOWN_MAX = 100_000;

export class CheckErrors {
  readonly list: CheckError[] = [];
  readonly #known = new Set<string>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(code: string, path: string | undefined, message: string): void {
    const key = `${code}\0${path ?? ""}\0${message}`;
    if (this.#known.has(key)) return;
    if (this.#known.size < KNOWN_MAX) this.#known.add(key);
    this.#total++;
    if (this.list.length < KEPT_MAX)
      this.list.push({ code, ...(path === undefined ? {} : { path }), message });
  }

  /** Takes what is wrong with the repository; throws again what ends the check: an interruption, a bug. */
  take(error: unknown, path: string): void {
    if (!isCyrvaultError(error) || error.code === "INTERRUPTED") throw error;
    this.add(error.code, path, error.message);
  }

  /** `work`, or undefined with an error kept. */
  async guard<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.take(error, path);
      return undefined;
    }
  }
}
