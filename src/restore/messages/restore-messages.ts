/**
 * The coordinator's side of restoring messages: gathers them in windows, gives each window to the workers in the order
 * in which it is stored, and restores one by one what is left over.
 */
import type { Backend } from "../../backend/backend.ts";
import type { ByteString } from "../../base/byte-string.ts";
import type { ObjectReader } from "../../store/object-reader.ts";
import type { SealContext } from "../../store/seal-context.ts";
import { PHASES } from "./block-table.ts";
import { SpillFile } from "./spill-file.ts";
import type { MessageOutcome, RestoreWorkerPort } from "./task.ts";
import { type MessageJob, MessageWindow, type RowsTask, type TaskUnit } from "./window.ts";
import { WindowWork } from "./window-work.ts";
import { startWorkers } from "./worker-pool.ts";

const MIB = 1024 * 1024;
/** Opened blocks that all workers together keep. */
const CACHE_BYTES = 8 * MIB;
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
      const work = new WindowWork(window);
      for (const phase of PHASES) await this.#run(work, (isWhole) => window.units(phase, spill?.fd, isWhole));
      const left = work.left();
      if (left.length > 0) await this.#run(work, () => window.leftUnits(spill?.fd, left));
    } finally {
      spill?.close();
    }
  }

  /** Each worker has packs of its own, and helps another one when it is done. */
  async #run(work: WindowWork, makeUnits: (isWhole: (row: number) => boolean) => TaskUnit[]): Promise<void> {
    let port = 0;
    const queues = inShares(
      makeUnits((row) => work.isWhole(row, port)),
      this.#ports.length,
    );
    let failure: { readonly error: unknown } | undefined;
    const serve = async (own: number): Promise<void> => {
      while (failure === undefined && this.#options.signal?.aborted !== true) {
        if (queues[own]?.length === 0) queues[own] = halfOfLongest(queues);
        const unit = queues[own]?.shift();
        if (unit === undefined) return;
        port = own;
        try {
          await Promise.all(unit.tasks().map((task) => this.#runTask(work, own, task)));
        } catch (error) {
          failure ??= { error };
        }
      }
    };
    const ahead = Array.from({ length: UNITS_AHEAD });
    await Promise.all(this.#ports.flatMap((_, own) => ahead.map(() => serve(own))));
    if (failure !== undefined) throw failure.error;
    this.#options.signal?.throwIfAborted();
  }

  async #runTask(work: WindowWork, port: number, { task, copyRows, rows }: RowsTask): Promise<void> {
    for (const row of copyRows) work.noteSent(row, port);
    for (const row of rows) work.noteTaken(row);
    const { outcomes, sizes, openedBytes } = await (this.#ports[port] as RestoreWorkerPort).run(task);
    this.#options.workers.objects.usage.addOpened(openedBytes);
    for (const row of copyRows) work.noteDone(row);
    rows.forEach((row, position) => {
      const outcome = outcomes[position] ?? "again";
      if (outcome === "again") this.#oneByOne.push(work.window.job(row));
      else this.#options.onRestored(work.window.job(row), outcome, sizes[position] ?? 0);
    });
  }
}

/** Packs in a row, about as many units for each worker. */
function inShares(units: readonly TaskUnit[], shares: number): TaskUnit[][] {
  const queues: TaskUnit[][] = Array.from({ length: shares }, () => []);
  units.forEach((unit, position) => {
    queues[Math.floor((position * shares) / units.length)]?.push(unit);
  });
  return queues;
}

/** Its back half. */
function halfOfLongest<T>(queues: readonly T[][]): T[] {
  let found: T[] = [];
  for (const queue of queues) if (queue.length > found.length) found = queue;
  return found.splice(Math.floor(found.length / 2));
}

async function inOrder<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (const item of items) await work(item);
}
