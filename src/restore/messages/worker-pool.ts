/** Makes the workers of a restore: threads of their own, or one in the caller's thread. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { Backend } from "../../backend/backend.ts";
import { assert, CyrvaultError, type ErrorCode } from "../../base/errors.ts";
import type { RestoreWorkerPort, WorkerSettings, WriteResult, WriteTask } from "./task.ts";
import { RestoreWorker } from "./worker.ts";
import type { Answer, WorkerStart } from "./worker-entry.ts";

/** V8's young generation of a worker: what a message needs dies at once. */
const YOUNG_GENERATION_MB = 8;

/** @param threads - 0: no thread; a backend that only this process can reach gets none either. */
export function startWorkers(
  backend: Backend,
  settings: WorkerSettings,
  threads: number,
): readonly RestoreWorkerPort[] {
  const { localDirectory } = backend.properties;
  if (threads === 0 || localDirectory === undefined) return [inThisThread(backend, settings)];
  // Written so that it is a directory, whatever its name looks like.
  const location = pathToFileURL(localDirectory).href;
  return Array.from({ length: threads }, () => inOwnThread({ location, settings }));
}

function inThisThread(backend: Backend, settings: WorkerSettings): RestoreWorkerPort {
  const worker = new RestoreWorker(backend, settings);
  let last: Promise<unknown> = Promise.resolve();
  return {
    run: (task) => {
      const result = last.then(() => worker.run(task));
      last = result.catch(() => {});
      return result;
    },
    close: async () => {},
  };
}

function inOwnThread(start: WorkerStart): RestoreWorkerPort {
  const options = {
    workerData: start,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  };
  const thread = import.meta.url.endsWith(".ts")
    ? new Worker(bootFromSource(), { ...options, eval: true })
    : new Worker(new URL("./worker-entry.js", import.meta.url), options);
  const waiting: { resolve: (result: WriteResult) => void; reject: (error: Error) => void }[] = [];
  let ended: Error | undefined;

  const endAll = (error: Error): void => {
    ended ??= error;
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  thread.on("message", ({ result, error }: Answer) => {
    const waiter = waiting.shift();
    assert(waiter !== undefined, "an answer that nobody waits for");
    if (result !== undefined) waiter.resolve(result);
    else if (error !== undefined) waiter.reject(revive(error));
  });
  thread.on("error", endAll);
  thread.on("exit", (code) => endAll(new Error(`a worker thread ended with code ${code}`)));

  return {
    run: (task: WriteTask) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) return reject(ended);
        waiting.push({ resolve, reject });
        thread.postMessage(task);
      }),
    close: async () => {
      await thread.terminate();
    },
  };
}

/** Run from source (development, tests) a thread needs a loader of its own, which no option of Worker gives it. */
function bootFromSource(): string {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx/package.json"));
  const loader = new URL("./dist/esm/api/index.mjs", tsx);
  const entry = new URL("./worker-entry.ts", import.meta.url);
  return `import("${loader}").then(({ register }) => { register(); return import("${entry}"); })`;
}

function revive({ code, message, hint, stack, system }: NonNullable<Answer["error"]>): Error {
  if (code === "BUG") return Object.assign(new TypeError(message), stack === undefined ? {} : { stack });
  const cause = system === undefined ? undefined : Object.assign(new Error(system), { code: system });
  return new CyrvaultError(code as ErrorCode, message, { ...(hint === undefined ? {} : { hint }), cause });
}
