/** Makes the workers: threads of their own, or one in the caller's thread where a thread is not worth its start. */
import { fromThreadError, startThread } from "../../base/worker-thread.ts";
import { MessageWorker } from "./message-worker.ts";
import type { MessageWorkerPort, PackOutput, WorkerSettings } from "./messages.ts";
import { bytesOf, Unwritten } from "./unwritten.ts";
import { decodeIds, decodeOutcomes, encodeFiles } from "./wire.ts";
import type { Answer, Call, Results, WorkerStart } from "./worker-entry.ts";

/** @param threads - 0: no thread, the work is done where the call is made. */
export function startWorkers(settings: WorkerSettings, threads: number): MessageWorkerPort[] {
  if (threads === 0) return [inThisThread(settings)];
  return Array.from({ length: threads }, () => inOwnThread(settings));
}

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onEarly: ((output: readonly PackOutput[]) => Promise<void>) | undefined;
}

function inThisThread(settings: WorkerSettings): MessageWorkerPort {
  const worker = new MessageWorker(settings);
  return {
    read: async (batch, files) => worker.read(batch, files),
    store: async (batch, wanted) => worker.store(batch, wanted),
    // Without a thread there is nobody who could write meanwhile: all of it comes at the end.
    storeParts: async (batch, wanted) => worker.storeParts(batch, wanted),
    finishPacks: async () => worker.finishPacks(),
    close: async () => {},
  };
}

function inOwnThread(settings: WorkerSettings): MessageWorkerPort {
  const unwritten = new Unwritten();
  const start: WorkerStart = { settings, unwritten: unwritten.shared };
  const thread = startThread("backup/pipeline/worker-entry.ts", start);
  const waiting = new Map<number, Waiter>();
  let calls = 0;
  let ended: Error | undefined;

  const endAll = (error: Error): void => {
    ended ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  thread.on("message", ({ call, early, result, error }: Answer) => {
    const waiter = waiting.get(call);
    if (early !== undefined) {
      const bytes = bytesOf(early);
      const written = () => unwritten.subtract(bytes);
      // Who asked meets a failure at the end of the call; until then the thread must not wait for ever.
      waiter?.onEarly?.(early).then(written, written);
      return;
    }
    waiting.delete(call);
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(fromThreadError(error));
  });
  thread.on("error", endAll);
  thread.on("exit", (code) => endAll(new Error(`a worker thread ended with code ${code}`)));

  const ask = <C extends DistributiveOmit<Call, "call">>(
    call: C,
    onEarly?: Waiter["onEarly"],
  ): Promise<Results[C["step"]]> =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended);
      const number = ++calls;
      waiting.set(number, { resolve: resolve as (value: unknown) => void, reject, onEarly });
      thread.postMessage({ ...call, call: number });
    });

  return {
    read: async (batch, files) =>
      decodeOutcomes(await ask({ step: "read", batch, files: encodeFiles(files) })),
    store: async (batch, wanted) => {
      const { parts } = await ask({ step: "store", batch, wanted });
      return { parts: decodeIds(parts) };
    },
    storeParts: async (batch, wanted, onEarly) => {
      const { large, ...result } = await ask({ step: "storeParts", batch, wanted }, onEarly);
      return { ...result, large: decodeIds(large) };
    },
    finishPacks: () => ask({ step: "finishPacks" }),
    close: async () => {
      await thread.terminate();
    },
  };
}

type DistributiveOmit<T, K extends keyof T> = T extends unknown ? Omit<T, K> : never;
