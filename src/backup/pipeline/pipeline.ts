/**
 * The coordinator's side of the message path: gives batches to workers, answers which objects are new, writes
 * finished blocks into pack files. Bounded: so many batches at once, so many bytes in each.
 */

import { toHex } from "../../base/bytes.ts";
import { assert } from "../../base/errors.ts";
import { giveBack } from "../../base/give-back.ts";
import type { ObjectId } from "../../store/object.ts";
import { PackDirectory } from "../../store/pack-directory.ts";
import type { PackSink, RunWriter } from "../../store/run-writer.ts";
import type { MessageFile, MessageOutcome, MessageWorkerPort, PackOutput } from "./messages.ts";

/** While one batch waits for an answer, the worker has the next one. */
const BATCHES_PER_WORKER = 3;

export interface PipelineCounts {
  messagesRead: number;
  bytesRead: number;
  messagesNew: number;
  /** Plaintext of new messages. */
  bytesNew: number;
}

export interface PipelineLimits {
  /** Told of what was read of a batch; the worker reads on when it is done. */
  readonly pace: ((bytes: number) => Promise<void>) | undefined;
  /** No further batch is to be read. */
  readonly isLate: boolean;
}

interface Lane {
  readonly worker: MessageWorkerPort;
  busy: number;
}

export class MessagePipeline {
  readonly #writer: RunWriter;
  readonly #start: () => readonly MessageWorkerPort[];
  readonly #limits: PipelineLimits;
  /** Empty until there is something to do: a thread costs some 100 ms to start. */
  #lanes: Lane[] = [];
  readonly #packs = new Map<string, { readonly sink: Promise<PackSink>; tail: Promise<void> }>();
  readonly #waiting: (() => void)[] = [];
  readonly #large: ObjectId[] = [];
  readonly counts: PipelineCounts = { messagesRead: 0, bytesRead: 0, messagesNew: 0, bytesNew: 0 };
  #batches = 0;
  #paused = false;
  #whenIdle: (() => void) | undefined;

  /**
   * @param start - makes the workers, at least one; `close` ends them. Called when the first batch comes.
   */
  constructor(
    writer: RunWriter,
    start: () => readonly MessageWorkerPort[],
    limits: PipelineLimits = { pace: undefined, isLate: false },
  ) {
    this.#writer = writer;
    this.#start = start;
    this.#limits = limits;
  }

  /** Messages too large to be compared while they were split: read them back before the commit. */
  get largeMessages(): readonly ObjectId[] {
    return this.#large;
  }

  /**
   * Reads these files, stores what is new, and tells what became of each, in order.
   * @returns undefined: when its turn came the time was over, and nothing of it was read.
   */
  async process(files: readonly MessageFile[]): Promise<readonly MessageOutcome[] | undefined> {
    const lane = await this.#takeLane();
    try {
      if (this.#limits.isLate) return undefined;
      const batch = ++this.#batches;
      const { worker } = lane;
      const outcomes = await worker.read(batch, files);
      const positions: number[] = [];
      const ids: ObjectId[] = [];
      let bytesRead = 0;
      outcomes.forEach((outcome, position) => {
        if (outcome.state !== "read") return;
        bytesRead += outcome.stat.size;
        positions.push(position);
        ids.push(outcome.id);
        this.counts.messagesRead++;
        this.counts.bytesRead += outcome.stat.size;
      });
      await this.#limits.pace?.(bytesRead);
      const claimed = await this.#writer.claim("message", ids);
      const wanted = outcomes.map(() => false);
      claimed.forEach((isNew, i) => {
        const position = positions[i] as number;
        wanted[position] = isNew;
        const outcome = outcomes[position];
        if (!isNew || outcome?.state !== "read") return;
        this.counts.messagesNew++;
        this.counts.bytesNew += outcome.stat.size;
      });
      const { parts } = await worker.store(batch, wanted);
      const partsWanted = await this.#writer.claim("data", parts);
      const early: Promise<void>[] = [];
      const { output, large } = await worker.storeParts(batch, partsWanted, (stretches) => {
        const written = this.#write(stretches);
        // A failure is met below.
        written.catch(() => {});
        early.push(written);
        return written;
      });
      this.#large.push(...large);
      // At once, so that nothing of the same worker comes before it.
      await Promise.all([...early, this.#write(output)]);
      return outcomes;
    } finally {
      lane.busy--;
      if (!this.#paused) this.#waiting.shift()?.();
      else if (this.#lanes.every(({ busy }) => busy === 0)) this.#whenIdle?.();
    }
  }

  /**
   * Waits for the batches under way, holds back new ones, ends all packs, and runs `action` while everything
   * processed so far is in packs that are complete.
   */
  async pause(action: () => Promise<void>): Promise<void> {
    assert(!this.#paused, "one pause at a time");
    this.#paused = true;
    try {
      while (this.#lanes.some(({ busy }) => busy > 0)) {
        await new Promise<void>((resolve) => {
          this.#whenIdle = resolve;
        });
      }
      await this.#finishPacks();
      await action();
    } finally {
      this.#paused = false;
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  async #finishPacks(): Promise<void> {
    for (const { worker } of this.#lanes) await this.#write(await worker.finishPacks());
    assert(this.#packs.size === 0, "a pack was left open");
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map(({ worker }) => worker.close()));
    const open = [...this.#packs.values()];
    this.#packs.clear();
    for (const { sink } of open) {
      // One that could not be begun has failed its batch, and nothing is there to abort.
      const begun = await sink.catch(() => undefined);
      await begun?.abort();
    }
  }

  async #takeLane(): Promise<Lane> {
    if (this.#lanes.length === 0) this.#lanes = this.#start().map((worker) => ({ worker, busy: 0 }));
    for (;;) {
      const lane = this.#lanes.reduce((least, one) => (one.busy < least.busy ? one : least));
      if (!this.#paused && lane.busy < BATCHES_PER_WORKER) {
        lane.busy++;
        return lane;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Stretches of one pack are written in the order in which its worker made them. */
  async #write(output: readonly PackOutput[]): Promise<void> {
    const written: Promise<void>[] = [];
    for (const { packId, bytes, directory } of output) {
      const key = toHex(packId);
      let pack = this.#packs.get(key);
      if (pack === undefined) {
        pack = { sink: this.#writer.beginPack(packId, "data"), tail: Promise.resolve() };
        this.#packs.set(key, pack);
      }
      const { sink, tail } = pack;
      pack.tail = tail.then(async () => {
        const file = await sink;
        await file.append(bytes);
        giveBack(bytes);
        if (directory === undefined) return;
        await file.commit(PackDirectory.parse(directory));
        this.#packs.delete(key);
      });
      written.push(pack.tail);
    }
    await Promise.all(written);
  }
}
