import { setMaxListeners } from "node:events";
import type { Clock } from "./clock.ts";

/** Waits shorter than this are saved up. */
const LEAST_SLEEP_MS = 20;

/** Keeps many callers together below a rate: each waits until what it has taken is due. */
export class RateLimit {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #paidUntilMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, clock: Clock, signal?: AbortSignal) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
    this.#signal = signal;
    // However many wait: Node takes eleven listeners for a leak, and says so to whoever reads the log.
    if (signal !== undefined) setMaxListeners(0, signal);
  }

  /** @throws {CyrvaultError} `INTERRUPTED`. */
  async take(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecond) * 1000;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= LEAST_SLEEP_MS) await this.#clock.sleep(waitMs, this.#signal);
  }
}
