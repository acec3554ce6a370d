/** Large buffers that nobody needs any more, given back before they add up. Figures: docs/decisions/0012-restore-in-workers.md. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * V8 lets buffers outside its heap come to some 64 MB in each thread before it looks which of them are dead. Where a
 * thread does nothing but take, fill and drop them, that is most of what it holds.
 */
export class DeadBuffers {
  readonly #bytesMax: number;
  readonly #collect: () => void;
  #bytes = 0;

  /** @param bytesMax - of buffers taken between two collections; one takes some milliseconds. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    setFlagsFromString("--expose-gc");
    this.#collect = runInNewContext("gc") as () => void;
  }

  /** Buffers of so many bytes have been taken, and will soon be dead. */
  note(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#bytesMax) return;
    this.#bytes = 0;
    this.#collect();
  }
}
