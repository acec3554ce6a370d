/** Makes the workers of a restore: threads of their own, or one in the caller's thread. */
import { pathToFileURL } from "node:url";
import type { Backend } from "../../backend/backend.ts";
import { assert } from "../../base/errors.ts";
import { fromThreadError, startThread } from "../../base/worker-thread.ts";
import type { RestoreWorkerPort, WorkerSettings, WriteResult, WriteTask } from "./task.ts";
import { RestoreWorker } from "./worker.ts";
import type { Answer, WorkerStart } from "./worker-entry.ts";

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
  const thread = startThread("restore/messages/worker-entry.ts", start);
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
    else if (error !== undefined) waiter.reject(fromThreadError(error));
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
