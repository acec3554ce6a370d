/** How much of a worker's early output has not been written yet: shared by the worker, which waits, and the coordinator. */
import type { PackOutput } from "./messages.ts";

const UNWRITTEN_BYTES_MAX = 12 * 1024 * 1024;

export class Unwritten {
  /** For the other thread. */
  readonly shared: SharedArrayBuffer;
  readonly #bytes: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#bytes = new Int32Array(shared);
  }

  /** By the worker: blocks its thread while there is too much. */
  add(bytes: number): void {
    let unwritten = Atomics.add(this.#bytes, 0, bytes) + bytes;
    while (unwritten > UNWRITTEN_BYTES_MAX) {
      Atomics.wait(this.#bytes, 0, unwritten);
      unwritten = Atomics.load(this.#bytes, 0);
    }
  }

  /** By the coordinator: written, or given up. */
  subtract(bytes: number): void {
    Atomics.sub(this.#bytes, 0, bytes);
    Atomics.notify(this.#bytes, 0);
  }
}

export function bytesOf(output: readonly PackOutput[]): number {
  return output.reduce((sum, { bytes }) => sum + bytes.length, 0);
}
