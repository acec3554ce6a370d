/** FastCDC over a stream of which only the chunk under way is held. */
import { assert } from "../base/errors.ts";
import type { FastCdc } from "./fastcdc.ts";

export class StreamCutter {
  readonly #cdc: FastCdc;
  readonly #wholeBytesMax: number;
  readonly #emit: (chunk: Uint8Array) => void;
  /** The beginning of the chunk under way, copied. Taken only when a stream comes in several stretches. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** No cut in what is held up to here. */
  #scanned = 0;
  #cutting = false;

  /**
   * @param wholeBytesMax - a stream of at most so many bytes is one chunk; not more than the cuts' maximum.
   * @param emit - gets every chunk in order, as a view that is valid during the call only, except where the
   *   whole stream came in one `push`: then the chunks are views of those bytes. An empty stream has no chunk.
   */
  constructor(cdc: FastCdc, wholeBytesMax: number, emit: (chunk: Uint8Array) => void) {
    assert(wholeBytesMax <= cdc.sizes.bytesMax, "a whole stream may not be longer than a chunk");
    this.#cdc = cdc;
    this.#wholeBytesMax = wholeBytesMax;
    this.#emit = emit;
  }

  /** @param last - the stream ends with these bytes; the cutter can then take another one. */
  push(bytes: Uint8Array, last: boolean): void {
    this.#cutting ||= this.#heldBytes + bytes.length > this.#wholeBytesMax;
    if (this.#cutting) this.#cut(bytes, last);
    else if (last && this.#heldBytes === 0) this.#give(bytes);
    else this.#hold(bytes);
    if (!last) return;
    if (this.#heldBytes > 0) this.#give((this.#held as Buffer).subarray(0, this.#heldBytes));
    this.#heldBytes = 0;
    this.#scanned = 0;
    this.#cutting = false;
  }

  #cut(bytes: Uint8Array, last: boolean): void {
    let from = 0;
    /** Bytes held that are not from `bytes`. */
    let earlier = this.#heldBytes;
    while (this.#heldBytes > 0) {
      const held = this.#held as Buffer;
      const take = Math.min(bytes.length - from, held.length - this.#heldBytes);
      this.#hold(bytes.subarray(from, from + take));
      from += take;
      const cut = this.#cdc.findCut(held, 0, this.#scanned, this.#heldBytes);
      if (cut < 0) {
        this.#scanned = this.#heldBytes;
        return;
      }
      this.#give(held.subarray(0, cut));
      this.#scanned = 0;
      if (cut >= earlier) {
        from -= this.#heldBytes - cut;
        this.#heldBytes = 0;
      } else {
        held.copyWithin(0, cut, this.#heldBytes);
        this.#heldBytes -= cut;
        earlier -= cut;
      }
    }
    while (from < bytes.length) {
      const cut = this.#cdc.findCut(bytes, from, from, bytes.length);
      if (cut < 0) break;
      this.#give(bytes.subarray(from, cut));
      from = cut;
    }
    if (last) {
      this.#give(bytes.subarray(from));
      return;
    }
    this.#hold(bytes.subarray(from));
    this.#scanned = this.#heldBytes;
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#held ??= Buffer.allocUnsafe(this.#cdc.sizes.bytesMax);
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes += bytes.length;
  }

  #give(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#emit(chunk);
  }
}
