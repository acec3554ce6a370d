import { availableParallelism } from "node:os";

/** More would wait for the one that writes. */
const THREADS_MAX = 8;

export function workerThreads(): number {
  return Math.min(THREADS_MAX, availableParallelism());
}
