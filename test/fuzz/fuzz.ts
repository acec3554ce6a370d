/**
 * Feeds a target with mutated inputs, in a thread that can be ended: what neither answers nor refuses is reported with
 * the input. Each input follows from seed, target and number, so that one on which the thread hangs can be made again.
 */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { FuzzRandom, inputSeed, mutate } from "./mutate.ts";
import type { FuzzTarget } from "./target.ts";

export interface FuzzFailure {
  readonly target: string;
  readonly index: number;
  readonly what: string;
  readonly input: Uint8Array;
}

export interface FuzzResult {
  readonly target: string;
  readonly inputs: number;
  /** Those that the parser took for sound. */
  readonly answered: number;
  readonly failures: readonly FuzzFailure[];
}

export interface FuzzJob {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly milliseconds: number;
  /** Number of the input in work; how many were answered. */
  readonly progress: Int32Array;
}

/** What the thread says: of each failure, and at its end. */
export type FuzzMessage = { readonly failure: FuzzFailure } | { readonly inputs: number };

/** One input may take this long of the processor's time: some thousand times what the slowest sound one takes. */
const CPU_SECONDS_MAX = 20;
/** For one that waits for what never comes. */
const SECONDS_MAX = 180;
const LOOK_EVERY_MS = 250;
const FAILURES_MAX = 8;
const HEAP_MB = 512;

export function makeInput(
  target: FuzzTarget,
  seeds: readonly Uint8Array[],
  seed: number,
  index: number,
): Buffer {
  const random = new FuzzRandom(inputSeed(seed, target.name, index));
  const chosen = seeds[index % seeds.length] as Uint8Array;
  // The first of each seed is the seed itself.
  return index < seeds.length ? Buffer.from(chosen) : mutate(random.pick(seeds), seeds, random);
}

export async function fuzz(
  target: FuzzTarget,
  options: { readonly seed: number; readonly seconds: number },
): Promise<FuzzResult> {
  const failures: FuzzFailure[] = [];
  const end = performance.now() + options.seconds * 1000;
  const progress = new Int32Array(new SharedArrayBuffer(8));
  let inputs = 0;
  for (let from = 0; failures.length < FAILURES_MAX; ) {
    const milliseconds = Math.max(1, end - performance.now());
    const stuck = await inThread(
      { target: target.name, seed: options.seed, from, milliseconds, progress },
      failures,
    );
    inputs = Atomics.load(progress, 0) + 1;
    if (stuck === undefined) break;
    const index = Atomics.load(progress, 0);
    const input = makeInput(target, await target.seeds(), options.seed, index);
    failures.push({ target: target.name, index, what: stuck, input });
    if (performance.now() >= end) break;
    from = index + 1;
  }
  return { target: target.name, inputs, answered: Atomics.load(progress, 1), failures };
}

/** Has come to the end of its last job, and waits: starting one takes longer than most jobs. */
let waiting: Worker | undefined;

/** @returns what the thread died of; undefined: it came to the end of the job. */
function inThread(job: FuzzJob, failures: FuzzFailure[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    Atomics.store(job.progress, 0, job.from - 1);
    const thread =
      waiting ??
      new Worker(bootFromSource(), { eval: true, resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } });
    waiting = undefined;
    let seen = { index: -2, cpu: process.cpuUsage(), at: performance.now() };
    const watch = setInterval(() => {
      const index = Atomics.load(job.progress, 0);
      if (index !== seen.index || index < job.from) {
        seen = { index, cpu: process.cpuUsage(), at: performance.now() };
        return;
      }
      const { user, system } = process.cpuUsage(seen.cpu);
      const seconds = (performance.now() - seen.at) / 1000;
      if ((user + system) / 1e6 < CPU_SECONDS_MAX && seconds < SECONDS_MAX) return;
      finish("it does not come to an end");
    }, LOOK_EVERY_MS);
    const finish = (stuck: string | undefined, hasEnded = false): void => {
      clearInterval(watch);
      // Not all of them: Worker has some of its own.
      thread.removeAllListeners("message");
      thread.removeAllListeners("error");
      if (!hasEnded) {
        void thread.terminate().then(() => resolve(stuck));
        return;
      }
      thread.unref();
      waiting = thread;
      resolve(stuck);
    };
    thread.on("message", (message: FuzzMessage) => {
      if ("failure" in message) {
        failures.push(message.failure);
        if (failures.length >= FAILURES_MAX) finish(undefined);
      } else finish(undefined, true);
    });
    thread.on("error", (error) => finish(`the thread died: ${error.message}`));
    thread.ref();
    thread.postMessage(job);
  });
}

/** A thread needs a loader of its own, which no option of Worker gives it. */
function bootFromSource(): string {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const loader = new URL("./dist/esm/api/index.mjs", tsx);
  const entry = new URL("./thread.ts", import.meta.url);
  return `import("${loader}").then(({ register }) => { register(); return import("${entry}"); })`;
}
