/** The thread: calls of the coordinator, one after the other, answered in order. */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../base/errors.ts";
import { type ThreadError, toThreadError } from "../../base/worker-thread.ts";
import { MessageWorker } from "./message-worker.ts";
import type { PackOutput, StorePartsResult, WorkerSettings } from "./messages.ts";
import { bytesOf, Unwritten } from "./unwritten.ts";
import { decodeFiles, encodeIds, encodeOutcomes, type FilesOnWire, type OutcomesOnWire } from "./wire.ts";

export type Call =
  | {
      readonly call: number;
      readonly step: "read";
      readonly batch: number;
      readonly files: FilesOnWire;
    }
  | {
      readonly call: number;
      readonly step: "store" | "storeParts";
      readonly batch: number;
      readonly wanted: readonly boolean[];
    }
  | { readonly call: number; readonly step: "finishPacks" };

/** What each step's answer holds: its result, flat. */
export interface Results {
  readonly read: OutcomesOnWire;
  readonly store: { readonly parts: Uint8Array };
  readonly storeParts: Omit<StorePartsResult, "large"> & { readonly large: Uint8Array };
  readonly finishPacks: readonly PackOutput[];
}

export interface WorkerStart {
  readonly settings: WorkerSettings;
  readonly unwritten: SharedArrayBuffer;
}

/** `early` ones come any number of times before the one that ends the call. */
export interface Answer {
  readonly call: number;
  readonly early?: readonly PackOutput[];
  readonly result?: unknown;
  readonly error?: ThreadError;
}

const port = parentPort;
assert(port !== null, "worker-entry runs in a worker thread only");
const { settings, unwritten: shared } = workerData as WorkerStart;
const worker = new MessageWorker(settings);
const unwritten = new Unwritten(shared);

port.on("message", (call: Call) => {
  try {
    const { result, output } = run(call, (early) => {
      const bytes = bytesOf(early);
      port.postMessage({ call: call.call, early } satisfies Answer, buffersOf(early));
      unwritten.add(bytes);
    });
    port.postMessage({ call: call.call, result } satisfies Answer, buffersOf(output));
  } catch (error) {
    port.postMessage({ call: call.call, error: toThreadError(error) } satisfies Answer);
  }
});

function run(
  call: Call,
  onEarly: (output: readonly PackOutput[]) => void,
): { readonly result: Results[Call["step"]]; readonly output: readonly PackOutput[] } {
  switch (call.step) {
    case "read":
      return { result: encodeOutcomes(worker.read(call.batch, decodeFiles(call.files))), output: [] };
    case "store":
      return { result: { parts: encodeIds(worker.store(call.batch, call.wanted).parts) }, output: [] };
    case "storeParts": {
      const result = worker.storeParts(call.batch, call.wanted, onEarly);
      return { result: { ...result, large: encodeIds(result.large) }, output: result.output };
    }
    case "finishPacks": {
      const output = worker.finishPacks();
      return { result: output, output };
    }
  }
}

/** Finished blocks are handed over, not copied. A small buffer may share its memory with others: that one is copied. */
function buffersOf(output: readonly PackOutput[]): ArrayBuffer[] {
  return output
    .map(({ bytes }) => bytes)
    .filter((bytes) => bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength)
    .map((bytes) => bytes.buffer as ArrayBuffer);
}
