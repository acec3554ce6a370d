/** What a worker has made of a batch and not yet handed over. */
import type { PackOutput } from "./messages.ts";

/** More than a batch of small messages makes, far less than a large one. */
const EARLY_BYTES = 4 * 1024 * 1024;

export class OutputQueue {
  readonly #onEarly: ((output: readonly PackOutput[]) => void) | undefined;
  #output: PackOutput[] = [];
  #bytes = 0;

  /** @param onEarly - is given what there is whenever there is much of it. */
  constructor(onEarly?: (output: readonly PackOutput[]) => void) {
    this.#onEarly = onEarly;
  }

  push(output: PackOutput): void {
    this.#output.push(output);
    this.#bytes += output.bytes.length;
    if (this.#onEarly !== undefined && this.#bytes >= EARLY_BYTES) this.#onEarly(this.takeRest());
  }

  takeRest(): PackOutput[] {
    const output = this.#output;
    this.#output = [];
    this.#bytes = 0;
    return output;
  }
}
