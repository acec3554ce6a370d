/** The thread: tasks of the coordinator, one after the other, answered in order. */
import { parentPort, workerData } from "node:worker_threads";
import { openBackend } from "../../backend/open-backend.ts";
import { readOnly } from "../../backend/read-only.ts";
import { assert } from "../../base/errors.ts";
import type { WorkerSettings, WriteResult, WriteTask } from "./task.ts";
import { RestoreWorker } from "./worker.ts";

export interface WorkerStart {
  /** As `openBackend` takes it. */
  readonly location: string;
  readonly settings: WorkerSettings;
}

export interface Answer {
  readonly result?: WriteResult;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | undefined;
    readonly stack: string | undefined;
    /** The operating system's code behind it. */
    readonly system: string | undefined;
  };
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
    const known = error as { code?: unknown; hint?: string; cause?: { code?: unknown } };
    const system = known.cause?.code;
    port?.postMessage({
      error: {
        code: typeof known.code === "string" ? known.code : "BUG",
        message: error instanceof Error ? error.message : String(error),
        hint: known.hint,
        stack: error instanceof Error ? error.stack : undefined,
        system: typeof system === "string" ? system : undefined,
      },
    } satisfies Answer);
  }
}
