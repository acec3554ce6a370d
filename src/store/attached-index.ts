/** The object index while somebody has one: given up when it fails, because the segments know the same. */
import { isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { LookupIndex } from "./lookup-index.ts";

export class AttachedIndex {
  readonly #log: Logger;
  #index: LookupIndex | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  get current(): LookupIndex | undefined {
    return this.#index;
  }

  attach(index: LookupIndex): void {
    this.#index = index;
  }

  async detach(): Promise<void> {
    const index = this.#index;
    this.#index = undefined;
    await index?.close();
  }

  /** @returns undefined: there is none, or it has just failed. */
  async use<T>(use: (index: LookupIndex) => Promise<T>): Promise<T | undefined> {
    const index = this.#index;
    if (index === undefined) return undefined;
    try {
      return await use(index);
    } catch (error) {
      if (!isCyrvaultError(error, "IO")) throw error;
      this.#log.warning("the object index failed: segments are used", { reason: error.message });
      if (this.#index === index) await this.detach();
      return undefined;
    }
  }
}
