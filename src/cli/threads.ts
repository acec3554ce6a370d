import { availableParallelism } from "node:os";
import { CyrvaultError } from "../base/errors.ts";

/** What a command may take, and what of it is taken whatever there is (docs/decisions/0009-memory.md). */
const MEGABYTES = 250;
const MEGABYTES_OF_COMMAND = 90;
const MEGABYTES_OF_THREAD = 45;
/** Measured with 250,000 mailboxes, a first backup. */
const MEGABYTES_OF_MAILBOX = 0.42 / 1000;

const THREADS_MAX = Math.floor((MEGABYTES - MEGABYTES_OF_COMMAND) / MEGABYTES_OF_THREAD);
/** Whoever asks for more has been told what each takes. */
const THREADS_ASKED_MAX = 64;

export function workerThreads(): number {
  return Math.min(THREADS_MAX, availableParallelism());
}

/** Beside a server at work: half of the cores, but two where there are two (docs/decisions/0020-good-neighbour.md). */
export function neighbourThreads(cores: number = availableParallelism()): number {
  return Math.min(THREADS_MAX, cores, Math.max(2, Math.ceil(cores / 2)));
}

/** @returns as many of them as what is known of so many mailboxes leaves room for: one at least. */
export function threadsBeside(mailboxes: number, threads: number): number {
  const megabytes = MEGABYTES - MEGABYTES_OF_COMMAND - mailboxes * MEGABYTES_OF_MAILBOX;
  return Math.max(1, Math.min(threads, Math.floor(megabytes / MEGABYTES_OF_THREAD)));
}

/** @throws {CyrvaultError} `USAGE`. */
export function parseThreads(text: string): number {
  const threads = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (threads >= 1 && threads <= THREADS_ASKED_MAX) return threads;
  throw new CyrvaultError("USAGE", `--threads ${text}: not a number of threads`, {
    hint: `write --threads 2; each takes some 45 MB of memory, ${THREADS_ASKED_MAX} at most`,
  });
}
