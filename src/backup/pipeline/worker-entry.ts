/** The thread: calls of the coordinator, one after the other, answered in order. */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../base/errors.ts";
import { MessageWorker } from "./message-worker.ts";
import type { MessageFile, PackOutput, StorePartsResult, WorkerSettings } from "./messages.ts";
import { bytesOf, Unwritten } from "./unwritten.ts";

export type Call =
  | {
      readonly call: number;
      readonly step: "read";
      readonly batch: number;
      readonly files: readonly MessageFile[];
    }
  | {
      readonly call: number;
      readonly step: "store" | "storeParts";
      readonly batch: number;
      readonly wanted: readonly boolean[];
    }
  | { readonly call: number; readonly step: "finishPacks" };

export interface WorkerStart {
  readonly settings: WorkerSettings;
  readonly unwritten: SharedArrayBuffer;
}

/** `early` ones come any number of times before the one that ends the call. */
export interface Answer {
  readonly call: number;
  readonly early?: readonly PackOutput[];
  readonly result?: unknown;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | undefined;
    readonly stack: string | undefined;
  };
}

const port = parentPort;
assert(port !== null, "worker-entry runs in a worker thread only");
const { settings, unwritten: shared } = workerData as WorkerStart;
const worker = new MessageWorker(settings);
const unwritten = new Unwritten(shared);

port.on("message", (call: Call) => {
  try {
    const result = run(call, (early) => {
      const bytes = bytesOf(early);
      port.postMessage({ call: call.call, early } satisfies Answer, buffersOf(early));
      unwritten.add(bytes);
    });
    port.postMessage({ call: call.call, result } satisfies Answer, buffersOf(outputOf(call, result)));
  } catch (error) {
    const known = error as { code?: unknown; hint?: string };
    port.postMessage({
      call: call.call,
      error: {
        code: typeof known.code === "string" ? known.code : "BUG",
        message: error instanceof Error ? error.message : String(error),
        hint: known.hint,
        stack: error instanceof Error ? error.stack : undefined,
      },
    } satisfies Answer);
  }
});

function run(call: Call, onEarly: (output: readonly PackOutput[]) => void): unknown {
  switch (call.step) {
    case "read":
      return worker.read(call.batch, call.files);
    case "store":
      return worker.store(call.batch, call.wanted);
    case "storeParts":
      return worker.storeParts(call.batch, call.wanted, onEarly);
    case "finishPacks":
      return worker.finishPacks();
  }
}

function outputOf(call: Call, result: unknown): readonly PackOutput[] {
  if (call.step === "storeParts") return (result as StorePartsResult).output;
  return call.step === "finishPacks" ? (result as readonly PackOutput[]) : [];
}

/** Finished blocks are handed over, not copied. A small buffer may share its memory with others: that one is copied. */
function buffersOf(output: readonly PackOutput[]): ArrayBuffer[] {
  return output
    .map(({ bytes }) => bytes)
    .filter((bytes) => bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength)
    .map((bytes) => bytes.buffer as ArrayBuffer);
}
