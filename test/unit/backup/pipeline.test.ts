import { appendFileSync, linkSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LARGE_MESSAGE_BYTES, MessageWorker } from "../../../src/backup/pipeline/message-worker.ts";
import type {
  MessageFile,
  MessageOutcome,
  MessageWorkerPort,
} from "../../../src/backup/pipeline/messages.ts";
import { MessagePipeline } from "../../../src/backup/pipeline/pipeline.ts";
import { startWorkers } from "../../../src/backup/pipeline/worker-pool.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import type { Run } from "../../../src/store/run.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { Site } from "./site.ts";
import { mail, mailWithAttachment, sha1 } from "./tiny-server.ts";

const SETTINGS = { seal: UNENCRYPTED, compression: "fast" } as const;

let site: Site;
let run: Run;
let open: MessagePipeline[];

beforeEach(async () => {
  site = await Site.make();
  run = await site.repository.startRun({ server: "s", host: "h" });
  open = [];
});
afterEach(async () => {
  for (const pipeline of open) await pipeline.close();
  await run.abort();
  site[Symbol.dispose]();
});

function pipelineOf(threads: number): MessagePipeline {
  const pipeline = new MessagePipeline(run.writer, () => startWorkers(SETTINGS, threads));
  open.push(pipeline);
  return pipeline;
}

function pipelineWith(...workers: MessageWorkerPort[]): MessagePipeline {
  const pipeline = new MessagePipeline(run.writer, () => workers);
  open.push(pipeline);
  return pipeline;
}

function fileOf(name: string, bytes: Buffer, guid: Uint8Array | undefined = sha1(bytes)): MessageFile {
  writeFileSync(site.dir.in(name), bytes);
  return { path: fromText(site.dir.in(name)), guid };
}

function manyFiles(count: number): { files: MessageFile[]; contents: Buffer[] } {
  const contents = Array.from({ length: count }, (_, i) =>
    i % 5 === 0 ? mailWithAttachment(`m${i}`, `a${i % 3}`, 20_000) : mail(`m${i} `.repeat(i * 20)),
  );
  return { files: contents.map((bytes, i) => fileOf(`f${i}`, bytes)), contents };
}

const idOf = (outcome: MessageOutcome | undefined): ObjectId => {
  if (outcome?.state !== "read") throw new Error(`it was ${outcome?.state}`);
  return outcome.id;
};

/** As `process`, where nothing can come too late. */
async function outcomesOf(pipeline: MessagePipeline, files: readonly MessageFile[]) {
  const outcomes = await pipeline.process(files);
  if (outcomes === undefined) throw new Error("it came too late");
  return outcomes;
}

async function flush(pipeline: MessagePipeline): Promise<void> {
  await pipeline.pause(async () => {
    await run.writer.flush();
  });
}

describe("the message pipeline", () => {
  test.each([0, 1, 2])("with %i threads gives back every message, byte for byte", async (threads) => {
    const { files, contents } = manyFiles(60);
    const pipeline = pipelineOf(threads);
    const batches = [files.slice(0, 25), files.slice(25, 26), files.slice(26)];
    const outcomes = (await Promise.all(batches.map((batch) => pipeline.process(batch)))).flat();
    await flush(pipeline);
    for (const [i, outcome] of outcomes.entries()) {
      expect(outcome).toMatchObject({
        state: "read",
        guidMatches: true,
        stat: { size: contents[i]?.length },
      });
      expect(await site.text(idOf(outcome))).toBe(contents[i]?.toString("latin1"));
    }
    expect(pipeline.counts).toMatchObject({ messagesRead: 60, messagesNew: 60 });
    expect(pipeline.counts.bytesRead).toBe(contents.reduce((sum, { length }) => sum + length, 0));
    expect(run.writer.openClaims).toBe(0);
  });

  test("starts no worker before there is something to do", async () => {
    let started = 0;
    const pipeline = new MessagePipeline(run.writer, () => {
      started++;
      return startWorkers(SETTINGS, 0);
    });
    open.push(pipeline);
    await pipeline.pause(async () => {});
    expect(started).toBe(0);
    await pipeline.process([fileOf("a", mail("a"))]);
    await pipeline.process([fileOf("b", mail("b"))]);
    expect(started).toBe(1);
  });

  test("stores an attachment once that two messages have, in one batch or in two", async () => {
    const pipeline = pipelineOf(0);
    const files = ["x", "y", "z"].map((name) => fileOf(name, mailWithAttachment(name, "same.pdf", 60_000)));
    await pipeline.process(files.slice(0, 2));
    await pipeline.process(files.slice(2));
    await flush(pipeline);
    const { data, message } = run.writer.stats.kinds;
    expect([data.objects, message.objects]).toEqual([1, 3]);
    expect(data.bytes).toBe(60_000);
  });

  test("stores a message once, though it comes twice in a batch, again later, and as a link", async () => {
    const pipeline = pipelineOf(2);
    const one = fileOf("one", mail("same"));
    linkSync(site.dir.in("one"), site.dir.in("link"));
    const link = { ...one, path: fromText(site.dir.in("link")) };
    const other = fileOf("other", mail("same"));
    const outcomes = [
      ...(await outcomesOf(pipeline, [one, other, link])),
      ...(await outcomesOf(pipeline, [link])),
    ];
    await flush(pipeline);
    expect(pipeline.counts).toMatchObject({ messagesRead: 4, messagesNew: 1 });
    expect(run.writer.stats.kinds.message.objects).toBe(1);
    expect(new Set(outcomes.map((outcome) => Buffer.from(idOf(outcome)).toString("hex"))).size).toBe(1);
    expect(await site.text(idOf(outcomes[0]))).toBe(mail("same").toString("latin1"));
  });

  test("tells what became of files that are no messages to read, each in its place", async () => {
    const good = fileOf("good", mail("good"));
    const wrong = fileOf("wrong", mail("wrong"), new Uint8Array(20));
    const unknown = { path: fileOf("unknown", mail("unknown")).path, guid: undefined };
    symlinkSync("good", site.dir.in("link"));
    const path = (name: string) => ({ path: fromText(site.dir.in(name)), guid: undefined });
    const outcomes = await pipelineOf(0).process([
      path("absent"),
      good,
      wrong,
      path("link"),
      unknown,
      path("x".repeat(300)),
    ]);
    expect(outcomes).toMatchObject([
      { state: "absent" },
      { state: "read", guidMatches: true },
      { state: "read", guidMatches: false },
      { state: "absent" },
      { state: "read", guidMatches: undefined },
      { state: "failed" },
    ]);
  });
});

/** A worker that waits to be told to go on. */
function heldWorker(inner: MessageWorkerPort) {
  const waiting: (() => void)[] = [];
  let active = 0;
  let most = 0;
  const port: MessageWorkerPort = {
    ...inner,
    read: async (batch, files) => {
      active++;
      most = Math.max(most, active);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return await inner.read(batch, files);
    },
    storeParts: async (batch, wanted, onEarly) => {
      const result = await inner.storeParts(batch, wanted, onEarly);
      active--;
      return result;
    },
  };
  return {
    port,
    waiting,
    get most() {
      return most;
    },
    goOn: () => waiting.shift()?.(),
  };
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("under load", () => {
  test("no worker has more than three batches at once, and all come to an end", async () => {
    const [a, b] = [0, 1].map(() => heldWorker(startWorkers(SETTINGS, 0)[0] as MessageWorkerPort));
    if (a === undefined || b === undefined) throw new Error("no workers");
    const pipeline = pipelineWith(a.port, b.port);
    const batches = Array.from({ length: 20 }, (_, i) => pipeline.process([fileOf(`f${i}`, mail(`m${i}`))]));
    await soon();
    expect([a.waiting.length, b.waiting.length]).toEqual([3, 3]);
    for (let i = 0; i < 20; i++) {
      // The next one may be long in coming where the machine is slow.
      while (a.waiting.length + b.waiting.length === 0) await soon();
      (a.waiting.length >= b.waiting.length ? a : b).goOn();
      await soon();
    }
    expect((await Promise.all(batches)).length).toBe(20);
    expect(Math.max(a.most, b.most)).toBe(3);
    expect(pipeline.counts.messagesNew).toBe(20);
  });

  test("a pause waits for the batches under way, ends all packs, and holds back those that come", async () => {
    const held = heldWorker(startWorkers(SETTINGS, 0)[0] as MessageWorkerPort);
    const pipeline = pipelineWith(held.port);
    const [first, second] = ["one", "two"].map((name) => pipeline.process([fileOf(name, mail(name))]));
    await soon();
    const events: string[] = [];
    const pause = pipeline.pause(async () => {
      await run.writer.flush();
      events.push(`paused with ${run.writer.openClaims} claims`);
      await soon();
      events.push("went on");
    });
    const late = pipeline.process([fileOf("late", mail("late"))]).then(() => events.push("late"));
    await soon();
    expect(held.waiting.length).toBe(2);
    held.goOn();
    await soon();
    expect(events).toEqual([]);
    held.goOn();
    await pause;
    expect(events).toEqual(["paused with 0 claims", "went on"]);
    await soon();
    held.goOn();
    await Promise.all([first, second, late]);
    expect(events.at(-1)).toBe("late");
  });

  test("a pause whose action fails lets the batches go on", async () => {
    const pipeline = pipelineOf(0);
    await expect(pipeline.pause(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect((await outcomesOf(pipeline, [fileOf("a", mail("a"))])).length).toBe(1);
  });
});

describe("when the time is over", () => {
  test("what is being read is stored, what waits for its turn is not read", async () => {
    const limits = { pace: async () => {}, isLate: false };
    const pipeline = new MessagePipeline(run.writer, () => startWorkers(SETTINGS, 0), {
      ...limits,
      pace: async () => {
        limits.isLate = true;
      },
      get isLate() {
        return limits.isLate;
      },
    });
    open.push(pipeline);
    const batches = ["a", "b", "c", "d", "e"].map((name) => [fileOf(name, mail(name))]);
    const outcomes = await Promise.all(batches.map((files) => pipeline.process(files)));
    await flush(pipeline);
    expect(await site.text(idOf(outcomes[0]?.[0]))).toBe(mail("a").toString("latin1"));
    expect(outcomes.slice(3)).toEqual([undefined, undefined]);
    expect(pipeline.counts.messagesRead).toBe(outcomes.filter((batch) => batch !== undefined).length);
    expect(pipeline.counts.messagesRead).toBe(run.writer.stats.kinds.message.objects);
  });
});

describe("a failure", () => {
  test.each(["read", "store", "storeParts"] as const)(
    "of a worker in its step %s is the batch's failure, and no pack stays behind",
    async (step) => {
      const [inner] = startWorkers(SETTINGS, 0);
      if (inner === undefined) throw new Error("no worker");
      const pipeline = pipelineWith({ ...inner, [step]: () => Promise.reject(new Error("broken")) });
      await expect(pipeline.process([fileOf("a", mail("a"))])).rejects.toThrow("broken");
      await pipeline.close();
      await run.abort();
      expect(await packs()).toEqual([]);
    },
  );

  test("of a thread (a bug, a lack of memory) rejects everything that waits for it", async () => {
    const workers = startWorkers(SETTINGS, 1);
    const pipeline = pipelineWith(...workers);
    await pipeline.process([fileOf("a", mail("a"))]);
    const waiting = [1, 2, 3, 4, 5].map((i) => pipeline.process([fileOf(`w${i}`, mail(`w${i}`))]));
    for (const worker of workers) await worker.close();
    for (const result of await Promise.allSettled(waiting)) expect(result.status).toBe("rejected");
    await expect(pipeline.process([fileOf("b", mail("b"))])).rejects.toThrow(/thread ended/);
  });

  test("that a thread meets comes across with its code", async () => {
    const [worker] = startWorkers(SETTINGS, 1);
    if (worker === undefined) throw new Error("no worker");
    await expect(worker.store(77, [])).rejects.toThrow("no batch 77");
    await worker.close();
  });

  test("to write a pack is the batch's failure", async () => {
    const pipeline = pipelineOf(0);
    const { writer } = run;
    const begin = writer.beginPack.bind(writer);
    writer.beginPack = () => Promise.reject(new Error("disk full"));
    await expect(pipeline.process([fileOf("a", mail("a"))])).rejects.toThrow("disk full");
    writer.beginPack = begin;
  });
});

describe("a worker", () => {
  test("takes a file that grows while it is read for changed", () => {
    const worker = new MessageWorker(SETTINGS);
    const file = fileOf("growing", mail("a"));
    const [first] = worker.read(1, [file]);
    expect(first?.state).toBe("read");
    appendFileSync(site.dir.in("growing"), "more");
    const [second] = worker.read(2, [{ ...file, guid: sha1(readFileSync(site.dir.in("growing"))) }]);
    expect(second).toMatchObject({ state: "read", guidMatches: true });
  });

  test("a large message is streamed, comes back, and is named for a last look", async () => {
    const content = mailWithAttachment("large", "large.bin", 6.5 * 1024 * 1024);
    expect(content.length).toBeGreaterThan(LARGE_MESSAGE_BYTES);
    const pipeline = pipelineOf(0);
    const [outcome] = await outcomesOf(pipeline, [fileOf("large", content)]);
    await flush(pipeline);
    expect(outcome).toMatchObject({ state: "read", guidMatches: true });
    expect(pipeline.largeMessages).toEqual([idOf(outcome)]);
    expect((await site.text(idOf(outcome))) === content.toString("latin1")).toBe(true);
  });

  test("hands out what it makes of a large message while it goes on, and waits for it to be written", async () => {
    const content = mailWithAttachment("large", "large.bin", 24 * 1024 * 1024);
    const [worker] = startWorkers(SETTINGS, 1) as [MessageWorkerPort];
    const early: number[] = [];
    let unwritten = 0;
    let mostUnwritten = 0;
    const pipeline = pipelineWith({
      ...worker,
      storeParts: (batch, wanted, onEarly) =>
        worker.storeParts(batch, wanted, async (output) => {
          const bytes = output.reduce((sum, it) => sum + it.bytes.length, 0);
          early.push(bytes);
          unwritten += bytes;
          mostUnwritten = Math.max(mostUnwritten, unwritten);
          const written = onEarly(output);
          await new Promise((resolve) => setTimeout(resolve, 30));
          unwritten -= bytes;
          await written;
        }),
    });
    const [outcome] = await outcomesOf(pipeline, [fileOf("large", content)]);
    await flush(pipeline);
    expect(early.length).toBeGreaterThan(3);
    expect(mostUnwritten).toBeLessThan(20 * 1024 * 1024);
    expect((await site.text(idOf(outcome))) === content.toString("latin1")).toBe(true);
  });

  test("ends, and says why, when what it hands out early cannot be written", async () => {
    const content = mailWithAttachment("large", "large.bin", 24 * 1024 * 1024);
    const pipeline = pipelineOf(1);
    const begin = run.writer.beginPack.bind(run.writer);
    run.writer.beginPack = async (packId, packKind) => {
      const sink = await begin(packId, packKind);
      return { ...sink, append: () => Promise.reject(new Error("the disk is full")) };
    };
    await expect(pipeline.process([fileOf("large", content)])).rejects.toThrow("the disk is full");
  });

  test("holds no more than it should of a batch that is larger than anybody thought", async () => {
    const contents = [1, 2, 3, 4, 5].map((i) => mailWithAttachment(`m${i}`, `a${i}`, 2.8 * 1024 * 1024));
    for (const { length } of contents) expect(length).toBeLessThan(LARGE_MESSAGE_BYTES);
    const pipeline = pipelineOf(0);
    const outcomes = await outcomesOf(
      pipeline,
      contents.map((bytes, i) => fileOf(`f${i}`, bytes)),
    );
    await flush(pipeline);
    // Four are held, the fifth is read in windows.
    expect(pipeline.largeMessages.map((id) => Buffer.from(id))).toEqual(
      outcomes.slice(4).map((it) => Buffer.from(idOf(it))),
    );
    for (const [i, outcome] of outcomes.entries())
      expect((await site.text(idOf(outcome))) === contents[i]?.toString("latin1")).toBe(true);
    // What was held is given back: the next batch begins anew.
    const [more] = await outcomesOf(pipeline, [
      fileOf("more", mailWithAttachment("more", "more", 2.8 * 1024 * 1024)),
    ]);
    expect(more?.state).toBe("read");
    expect(pipeline.largeMessages.length).toBe(1);
  });

  test("a large message that changes between reading and storing ends the run with a hint", async () => {
    const worker = new MessageWorker(SETTINGS);
    const content = mailWithAttachment("large", "large.bin", 6.5 * 1024 * 1024);
    worker.read(1, [fileOf("large", content)]);
    rmSync(site.dir.in("large"));
    expect(() => worker.store(1, [true])).toThrowError(
      expect.objectContaining({ code: "SOURCE_INVALID", hint: expect.stringContaining("frozen") }),
    );
  });
});

async function packs(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of site.backend.list("packs/")) names.push(name);
  return names;
}
