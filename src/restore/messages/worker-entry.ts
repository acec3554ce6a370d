/** The thread: tasks of the coordinator, one after the other, answered in order. */
import { parentPort, workerData } from "node:worker_threads";
import { openBackend } from "../../backend/open-backend.ts";
import { readOnly } from "../../backend/read-only.ts";
import { assert } from "../../base/errors.ts";
import { type ThreadError, toThreadError } from "../../base/worker-thread.ts";
import type { WorkerSettings, WriteResult, WriteTask } from "./task.ts";
import { RestoreWorker } from "./worker.ts";

export interface WorkerStart {
  /** As `openBackend` takes it. */
  readonly location: string;
  readonly settings: WorkerSettings;
}

export interface Answer {
  readonly result?: WriteResult;
  readonly error?: ThreadError;
}

const port = parentPort;
assert(port !== null, "worker-entry runs in a worker thread only");
const { location, settings } = workerData as WorkerStart;
const worker = openBackend(location).then((backend) => new RestoreWorker(readOnly(backend), settings));
let last: Promise<void> = worker.then(() => {});

port.on("message", (task: WriteTask) => {
  last = last.then(() => answer(task));
});

async function answer(task: WriteTask): Promise<void> {
  try {
    const result = await (await worker).run(task);
    port?.postMessage({ result } satisfies Answer);
  } catch (error) {
    port?.postMessage({ error: toThreadError(error) } satisfies Answer);
  }
}
