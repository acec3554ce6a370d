import { availableParallelism } from "node:os";
import { CyrvaultError } from "../base/errors.ts";

/** Each takes some 45 MB beside the 90 MB of the command itself: all of it is to stay below 256 MB. */
const THREADS_MAX = 3;
/** Whoever asks for more has been told what each takes. */
const THREADS_ASKED_MAX = 64;

export function workerThreads(): number {
  return Math.min(THREADS_MAX, availableParallelism());
}

/** Beside a server at work: half of the cores, but two where there are two (docs/decisions/0020-good-neighbour.md). */
export function neighbourThreads(cores: number = availableParallelism()): number {
  return Math.min(THREADS_MAX, cores, Math.max(2, Math.ceil(cores / 2)));
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseThreads(text: string): number {
  const threads = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (threads >= 1 && threads <= THREADS_ASKED_MAX) return threads;
  throw new CyrvaultError("USAGE", `--threads ${text}: not a number of threads`, {
    hint: `write --threads 2; each takes some 45 MB of memory, ${THREADS_ASKED_MAX} at most`,
  });
}
