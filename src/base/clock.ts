/** Time is injected: whatever waits or looks at the clock takes one of these. */
import { setTimeout as delay } from "node:timers/promises";
import { CyrvaultError } from "./errors.ts";

export interface Clock {
  /** Milliseconds since the epoch. May jump. */
  nowMs(): number;
  /** Milliseconds since some moment. Never goes back: for durations. */
  monotonicMs(): number;
  /** @throws {CyrvaultError} `INTERRUPTED` when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (cause) {
      throw interrupted(cause);
    }
  },
};

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

/** Stands still until `advance`. With `autoAdvance` a sleeper moves it on itself, and nobody waits. */
export class SimulatedClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  readonly #autoAdvance: boolean;
  #sleepers: Sleeper[] = [];
  /** Every sleep asked for so far, in ms. */
  readonly sleeps: number[] = [];

  constructor(options: { readonly startMs?: number; readonly autoAdvance?: boolean } = {}) {
    this.#nowMs = options.startMs ?? 0;
    this.#autoAdvance = options.autoAdvance ?? false;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(interrupted(signal.reason));
    this.sleeps.push(ms);
    if (this.#autoAdvance) {
      this.advance(ms);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const sleeper = { wakeMs: this.#elapsedMs + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(interrupted(signal.reason));
      });
    });
  }

  /** Moves both times on and wakes, in order of their time, those who have slept enough. */
  advance(ms: number): void {
    this.#nowMs += ms;
    this.#elapsedMs += ms;
    const due = this.#sleepers.filter((sleeper) => sleeper.wakeMs <= this.#elapsedMs);
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.wakeMs > this.#elapsedMs);
    for (const sleeper of due.sort((a, b) => a.wakeMs - b.wakeMs)) sleeper.wake();
  }

  /** Sets the wall clock alone, as an administrator or NTP does. */
  jumpTo(nowMs: number): void {
    this.#nowMs = nowMs;
  }
}

function interrupted(cause: unknown): CyrvaultError {
  return new CyrvaultError("INTERRUPTED", "interrupted while waiting", { cause });
}
