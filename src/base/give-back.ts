/** Large buffers given back as soon as nobody needs them. Figures: docs/decisions/0009-memory.md. */
import { MessageChannel } from "node:worker_threads";

/** Smaller ones are not worth a call, and may share their memory with others. */
const BYTES_MIN = 64 * 1024;

/** Nobody listens: what is transferred to it ceases to be. */
const nowhere = (() => {
  const { port1, port2 } = new MessageChannel();
  port1.close();
  port2.close();
  return port1;
})();

/**
 * Frees the memory of `bytes` now. V8 would let dead buffers come to some 64 MB in each thread before it looks for them, and
 * memory that is taken and freed in turn stays the same pages.
 *
 * Only for a buffer that the caller alone owns, as a whole: every view of it is empty afterwards.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer.byteLength < BYTES_MIN || !(buffer instanceof ArrayBuffer)) return;
  nowhere.postMessage(undefined, [buffer]);
}
