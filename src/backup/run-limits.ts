/** What a run may take from those who live beside it: reading, time, the repository's room. */
import type { Clock } from "../base/clock.ts";
import { CyrvaultError } from "../base/errors.ts";
import { RateLimit } from "../base/rate-limit.ts";
import type { BackupLimits } from "./options.ts";

/** Room is asked for no more often. */
const ROOM_EVERY_MS = 1000;

export interface RunLimitsContext {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Free where the repository lies; undefined: nobody can tell. */
  readonly freeBytes?: () => number | undefined;
  /** Aborted when what is read no longer holds still. */
  readonly letGo?: AbortSignal | undefined;
}

export class RunLimits {
  /** undefined: read as fast as it goes. */
  readonly pace: ((bytes: number) => Promise<void>) | undefined;
  readonly #limits: BackupLimits;
  readonly #context: RunLimitsContext;
  #roomAskedMs = Number.NEGATIVE_INFINITY;

  constructor(limits: BackupLimits, context: RunLimitsContext) {
    const { clock, signal } = context;
    const limit = limits.readRate === undefined ? undefined : new RateLimit(limits.readRate, clock, signal);
    this.pace = limit === undefined ? undefined : (bytes) => limit.take(bytes);
    this.#limits = limits;
    this.#context = context;
  }

  /** The time is over, or the server goes on: no further message is to be read. */
  get isLate(): boolean {
    const { untilMs } = this.#limits;
    if (this.#context.letGo?.aborted === true) return true;
    return untilMs !== undefined && this.#context.clock.monotonicMs() >= untilMs;
  }

  /** @returns the error to stop with, now and then; undefined: there is room, as far as is known. */
  roomProblem(): CyrvaultError | undefined {
    const { freeBytes: wanted } = this.#limits;
    const nowMs = this.#context.clock.monotonicMs();
    if (wanted === undefined || nowMs - this.#roomAskedMs < ROOM_EVERY_MS) return undefined;
    this.#roomAskedMs = nowMs;
    const free = this.#context.freeBytes?.();
    if (free === undefined || free >= wanted) return undefined;
    return new CyrvaultError(
      "NO_SPACE",
      `stopped: ${free} bytes are free where the repository lies, and --min-free wants ${wanted} left`,
      {
        context: { free, wanted },
        hint: "make room (`cyrvault forget`, `cyrvault prune`); what was stored so far serves the next run",
      },
    );
  }
}
