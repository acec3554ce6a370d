import { availableParallelism } from "node:os";

/** Each takes some 45 MB beside the 90 MB of the command itself: all of it is to stay below 256 MB. */
const THREADS_MAX = 3;

export function workerThreads(): number {
  return Math.min(THREADS_MAX, availableParallelism());
}
