/** Tries without going back to the event loop: where other locks are held meanwhile, or the caller cannot wait. */
const PAUSE_MS = 1;

const nobodyWakesUs = new Int32Array(new SharedArrayBuffer(4));

/** @param until - of `performance.now()`. The thread sleeps between tries. @returns undefined: the time was over. */
export function insist<T>(attempt: () => T | undefined, until: number): T | undefined {
  for (;;) {
    const result = attempt();
    if (result !== undefined || performance.now() >= until) return result;
    Atomics.wait(nobodyWakesUs, 0, 0, PAUSE_MS);
  }
}
