/** The thread in which inputs are run, of one target after the other. */
import { parentPort } from "node:worker_threads";
import { type FuzzJob, type FuzzMessage, makeInput } from "./fuzz.ts";
import { type FuzzTarget, runInput } from "./target.ts";
import { FUZZ_TARGETS } from "./targets.ts";

const MINIMISING_TRIES = 400;

parentPort?.on("message", (job: FuzzJob) => void run(job));

async function run(job: FuzzJob): Promise<void> {
  const target = FUZZ_TARGETS.find(({ name }) => name === job.target);
  if (target === undefined) throw new Error(`no target ${job.target}`);
  const seeds = await target.seeds();
  const end = performance.now() + job.milliseconds;
  const known = new Set<string>();
  let index = job.from;
  do {
    Atomics.store(job.progress, 0, index);
    const input = makeInput(target, seeds, job.seed, index);
    const what = await failureOf(target, input, () => Atomics.add(job.progress, 1, 1));
    if (what !== undefined && !known.has(signature(what))) {
      known.add(signature(what));
      say({
        failure: { target: job.target, index, what, input: await minimised(target, input, signature(what)) },
      });
    }
    index++;
  } while (index < seeds.length || performance.now() < end);
  say({ inputs: index });
}

function say(message: FuzzMessage): void {
  parentPort?.postMessage(message);
}

async function failureOf(
  target: FuzzTarget,
  input: Uint8Array,
  onAnswer: () => void = () => {},
): Promise<string | undefined> {
  try {
    if ((await runInput(target, input)) === "answered") onAnswer();
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** Failures at the same place of the source are one. */
function signature(what: string): string {
  const place = /\/src\/[^\s)]+/.exec(what)?.[0] ?? "";
  return `${what.split("\n")[0]?.replace(/\d+/g, "n")} ${place}`;
}

async function minimised(target: FuzzTarget, input: Buffer, wanted: string): Promise<Buffer> {
  let best = input;
  let tries = 0;
  for (let size = best.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.length && tries < MINIMISING_TRIES; ) {
      tries++;
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      const what = await failureOf(target, smaller);
      if (what !== undefined && signature(what) === wanted) best = smaller;
      else at += size;
    }
  }
  return best;
}
