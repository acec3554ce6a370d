/**
 * The coordinator's side of restoring messages: gathers them in windows, gives each window to the workers in the order
 * in which it is stored, and restores one by one what is left over.
 */
import type { Backend } from "../../backend/backend.ts";
import type { ByteString } from "../../base/byte-string.ts";
import type { ObjectReader } from "../../store/object-reader.ts";
import type { SealContext } from "../../store/seal-context.ts";
import { SpillFile } from "./spill-file.ts";
import type { MessageOutcome, RestoreWorkerPort } from "./task.ts";
import { type MessageJob, MessageWindow, type RowsTask, type TaskUnit } from "./window.ts";
import { startWorkers } from "./worker-pool.ts";

const MIB = 1024 * 1024;
/** Opened blocks that all workers together keep. */
const CACHE_BYTES = 32 * MIB;
/** Below so many messages a thread is not worth its start. */
const MESSAGES_PER_THREAD_MIN = 200;
const UNITS_AHEAD = 2;
/** What waits for a window to end is in memory. */
const WAITING_MAX = 4096;

export interface RestoreWorkers {
  readonly objects: ObjectReader;
  readonly backend: Backend;
  readonly seal: SealContext;
  /** 0: everything in this one. */
  readonly threads: number;
}

export interface MessageRestorerOptions {
  readonly workers: RestoreWorkers;
  readonly target: ByteString;
  /** What is in the place of a message is compared with it; `restoreOne` sees to what differs. */
  readonly compares: boolean;
  /** How many are to come, about. */
  readonly messages: number;
  /** What may be put aside in the target. */
  readonly spillBytesMax: number;
  readonly signal: AbortSignal | undefined;
  readonly onRestored: (job: MessageJob, outcome: Exclude<MessageOutcome, "again">, bytes: number) => void;
  /** Anything that a worker cannot do, and links to what has been written. */
  readonly restoreOne: (job: MessageJob) => Promise<void>;
}

export class MessageRestorer {
  readonly #options: MessageRestorerOptions;
  readonly #ports: readonly RestoreWorkerPort[];
  #window: MessageWindow;
  /** Inodes of this window that others may be links to. */
  readonly #pending = new Set<string>();
  #meanwhile: (() => Promise<void>)[] = [];
  #oneByOne: MessageJob[] = [];

  constructor(options: MessageRestorerOptions) {
    this.#options = options;
    const { backend, seal, threads } = options.workers;
    const wanted = Math.min(threads, Math.floor(options.messages / MESSAGES_PER_THREAD_MIN));
    const cacheBytes = CACHE_BYTES / Math.max(1, wanted);
    this.#ports = startWorkers(backend, { seal, cacheBytes, compares: options.compares }, wanted);
    this.#window = this.#newWindow();
  }

  async add(job: MessageJob): Promise<void> {
    const key = job.linked && `${job.place.filesystem}\0${job.linked.inode}`;
    if ((key !== undefined && this.#pending.has(key)) || !(await this.#window.add(job)))
      this.#oneByOne.push(job);
    if (key !== undefined) this.#pending.add(key);
    if (this.#window.isFull || this.#oneByOne.length >= WAITING_MAX) await this.flush();
  }

  /** Work that may be done while the workers write, in order. */
  async meanwhile(work: () => Promise<void>): Promise<void> {
    this.#meanwhile.push(work);
    if (this.#meanwhile.length >= WAITING_MAX) await this.flush();
  }

  /** When this resolves, everything handed over so far has been done. */
  async flush(): Promise<void> {
    const window = this.#window;
    const meanwhile = this.#meanwhile;
    this.#window = this.#newWindow();
    this.#meanwhile = [];
    const results = await Promise.allSettled([this.#write(window), inOrder(meanwhile, (work) => work())]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const oneByOne = this.#oneByOne;
    this.#oneByOne = [];
    this.#pending.clear();
    await inOrder(oneByOne, async (job) => {
      this.#options.signal?.throwIfAborted();
      await this.#options.restoreOne(job);
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#ports.map((port) => port.close()));
  }

  #newWindow(): MessageWindow {
    return new MessageWindow(this.#options.workers.objects, this.#options.spillBytesMax);
  }

  async #write(window: MessageWindow): Promise<void> {
    if (window.count === 0) return;
    const spill = window.needsSpill ? new SpillFile(this.#options.target) : undefined;
    try {
      const broken = new Set<number>();
      await this.#run(window, window.firstUnits(spill?.fd), broken);
      for (const row of broken) this.#oneByOne.push(window.job(row));
      await this.#run(
        window,
        window.secondUnits(spill?.fd, (row) => !broken.has(row)),
        broken,
      );
    } finally {
      spill?.close();
    }
  }

  /** Each worker has a stretch of the units, and helps another one when it is done. */
  async #run(window: MessageWindow, units: readonly TaskUnit[], broken: Set<number>): Promise<void> {
    const share = Math.ceil(units.length / this.#ports.length);
    const queues = this.#ports.map((_, i) => units.slice(i * share, (i + 1) * share));
    let failure: { readonly error: unknown } | undefined;
    const work = async (own: number): Promise<void> => {
      const port = this.#ports[own] as RestoreWorkerPort;
      while (failure === undefined && this.#options.signal?.aborted !== true) {
        const unit = queues[own]?.shift() ?? longest(queues)?.pop();
        if (unit === undefined) return;
        try {
          await Promise.all(unit().map((task) => this.#runTask(window, port, task, broken)));
        } catch (error) {
          failure ??= { error };
        }
      }
    };
    const ahead = Array.from({ length: UNITS_AHEAD });
    await Promise.all(this.#ports.flatMap((_, own) => ahead.map(() => work(own))));
    if (failure !== undefined) throw failure.error;
    this.#options.signal?.throwIfAborted();
  }

  async #runTask(
    window: MessageWindow,
    port: RestoreWorkerPort,
    { task, copyRows, rows }: RowsTask,
    broken: Set<number>,
  ): Promise<void> {
    const { copied, outcomes, sizes, openedBytes } = await port.run(task);
    this.#options.workers.objects.usage.addOpened(openedBytes);
    copyRows.forEach((row, position) => {
      if (copied[position] !== true) broken.add(row);
    });
    rows.forEach((row, position) => {
      const outcome = outcomes[position] ?? "again";
      if (outcome === "again") this.#oneByOne.push(window.job(row));
      else this.#options.onRestored(window.job(row), outcome, sizes[position] ?? 0);
    });
  }
}

function longest<T>(queues: readonly T[][]): T[] | undefined {
  let found: T[] | undefined;
  for (const queue of queues) if (queue.length > (found?.length ?? 0)) found = queue;
  return found;
}

async function inOrder<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (const item of items) await work(item);
}
