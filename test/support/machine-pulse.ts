/** When the machine itself stood still: a thread that wants to wake every 10 ms, and notes when it could not. */
import { Worker } from "node:worker_threads";

export interface Stall {
  /** Times of `Date.now()`. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** Less than this is how any machine with work to do behaves. */
const NOTED_MS = 50;

const PROGRAM = `
const { parentPort } = require("node:worker_threads");
const nobodyWakesUs = new Int32Array(new SharedArrayBuffer(4));
for (let before = Date.now(); ; ) {
  Atomics.wait(nobodyWakesUs, 0, 0, 10);
  const now = Date.now();
  if (now - before > ${NOTED_MS}) parentPort.postMessage({ fromMs: before + 10, toMs: now });
  before = now;
}`;

export class MachinePulse {
  readonly stalls: Stall[] = [];
  readonly #worker = new Worker(PROGRAM, { eval: true });

  constructor() {
    this.#worker.on("message", (stall: Stall) => this.stalls.push(stall));
    this.#worker.unref();
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
