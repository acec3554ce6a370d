import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { processMark } from "../../../src/base/processes.ts";
import { createGcRecord } from "../../../src/store/gc-record.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { parsePackName } from "../../../src/store/pack-types.ts";
import { runName } from "../../../src/store/run-record.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import {
  backUp,
  content,
  names,
  newPlain,
  nextBackupId,
  openPlain,
  readEverything,
  storeData,
} from "./repository-fixture.ts";

const WHO = { server: "mail", host: "here" };
const ROOT = Buffer.from("{}");

describe("RunWriter", () => {
  test("answers new once: to the first who asks, also when all ask at the same time", async () => {
    const repository = await newPlain();
    const run = await repository.startRun(WHO);
    const id = new ObjectHasher(run.seal).id("data", content("a"));
    const answers = await Promise.all([
      run.writer.claim("data", [id, id]),
      run.writer.claim("data", [id]),
      run.writer.claim("data", [id]),
    ]);
    expect(answers.flat().filter(Boolean).length).toBe(1);
    await run.abort();
  });

  test("a claim of an aborted pack is open again, and the backup cannot be made without the object", async () => {
    const repository = await newPlain();
    const run = await repository.startRun(WHO);
    const hasher = new ObjectHasher(run.seal);
    const [alone, shared] = [hasher.id("data", content("a")), hasher.id("data", content("b"))];
    expect(await run.writer.claim("data", [alone, shared])).toEqual([true, true]);
    expect(await run.writer.claim("data", [shared])).toEqual([false]);
    const sink = await run.writer.beginPack(content("pack", 32) as never, "data");
    await sink.append(content("x"));
    await sink.abort([alone, shared]);
    expect(run.writer.openClaims).toBe(1);
    await expect(run.commit(nextBackupId(), ROOT)).rejects.toThrow("claimed and not stored");
    expect((await storeData(run, [content("a"), content("b")])).stored).toBe(2);
    await run.commit(nextBackupId(), ROOT);
    expect(await names(repository.backend, "backups/")).toHaveLength(1);
    expect(await names(repository.backend, "packs/")).toHaveLength(1);
  });

  test("what is in finished packs can be read before and after a flush, by the same repository", async () => {
    const repository = await newPlain();
    const run = await repository.startRun(WHO);
    const { ids } = await storeData(run, [content("a")]);
    expect(await repository.objects.get("data", ids[0] as never)).toEqual(content("a"));
    const page = await run.writer.put("manifest", content("page"));
    expect(await run.writer.put("manifest", content("page"))).toEqual(page);
    await run.writer.flush();
    expect(await repository.objects.get("manifest", page)).toEqual(content("page"));
    expect(await repository.objects.get("data", ids[0] as never)).toEqual(content("a"));
    expect(run.writer.stats).toMatchObject({
      newObjects: 2,
      newBytes: 600,
      packs: 2,
      kinds: { data: { objects: 1, bytes: 300 }, manifest: { objects: 1, bytes: 300 } },
    });
    expect(run.writer.stats.storedBytes).toBeGreaterThan(600);
    await run.abort();
  });

  test("keeps answering rightly while packs are finished and flushed", async () => {
    const repository = await newPlain();
    const run = await repository.startRun(WHO);
    let stored = 0;
    await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const contents = Array.from({ length: 30 }, (_, i) => content(`object ${(n * 7 + i) % 100}`));
        const result = await storeData(run, contents);
        stored += result.stored;
        if (n % 4 === 0) await run.writer.flush();
      }),
    );
    expect(stored).toBe(100);
    await run.commit(nextBackupId(), ROOT);
  });

  test("merges segments when there are more than 16", async () => {
    const backend = new MemoryBackend();
    const repository = await newPlain(backend);
    for (let n = 0; n < 20; n++) await backUp(repository, [content(`object ${n}`)]);
    expect((await names(backend, "segments/")).length).toBeLessThanOrEqual(16);
    expect(await readEverything(await openPlain(backend))).toBe(20);
    const all = Array.from({ length: 20 }, (_, n) => content(`object ${n}`));
    expect((await backUp(await openPlain(backend), all)).stored).toBe(0);
  });
});

describe("Run", () => {
  test("two at once in one repository both commit, and both backups are whole", async () => {
    const backend = new MemoryBackend();
    const [first, second] = [await newPlain(backend), await openPlain(backend)];
    await Promise.all([
      backUp(first, [content("a"), content("b")]),
      backUp(second, [content("b"), content("c")]),
      backUp(first, [content("c"), content("d")]),
    ]);
    expect(await readEverything(await openPlain(backend))).toBe(3);
    expect(await names(backend, "runs/")).toEqual([]);
  });

  test("that has been fenced does not commit, does not come back by its heartbeat, and leaves no backup", async () => {
    const backend = new MemoryBackend();
    const repository = await newPlain(backend);
    const run = await repository.startRun(WHO);
    await storeData(run, [content("a")]);
    await backend.remove(runName(run.id));
    await run.heartbeat();
    expect(await names(backend, "runs/")).toEqual([]);
    await expect(run.commit(nextBackupId(), ROOT)).rejects.toMatchObject({ code: "RUN_FENCED" });
    await expect(run.checkpoint(ROOT)).rejects.toMatchObject({ code: "RUN_FENCED" });
    expect(await names(backend, "backups/")).toEqual([]);
    await run.abort();
  });

  test("that is fenced between the two checks withdraws its backup", async () => {
    const inner = new MemoryBackend();
    const repository = await newPlain(inner);
    let fence: (() => void) | undefined;
    const backend = faultyBackend(inner, {
      failAt: (_, operation, name) => {
        if (operation === "create" && name.startsWith("backups/")) fence?.();
        return false;
      },
    });
    const run = await (await openPlain(backend)).startRun(WHO);
    await storeData(run, [content("a")]);
    fence = () => void inner.remove(runName(run.id));
    await expect(run.commit(nextBackupId(), ROOT)).rejects.toMatchObject({ code: "RUN_FENCED" });
    expect(await repository.listBackups()).toEqual([]);
    await run.abort();
  });

  test("a fence record, or a sweep of what the run may rely on, is enough; one of what was marked before is not", async () => {
    for (const kind of ["fence", "sweep", "marked"] as const) {
      const backend = new MemoryBackend();
      const repository = await newPlain(backend);
      await backUp(repository, [content("a")]);
      const packs = (await names(backend, "packs/")).map((name) =>
        Buffer.from(parsePackName(name) as Uint8Array).toString("hex"),
      );
      const record = { atMs: 0, packs, runs: [] };
      if (kind === "marked")
        await createGcRecord(backend, repository.sealer, { ...record, number: 1, kind: "mark" });
      const run = await repository.startRun(WHO);
      expect((await storeData(run, [content("a")])).stored).toBe(kind === "marked" ? 1 : 0);
      await createGcRecord(
        backend,
        repository.sealer,
        kind === "fence"
          ? { atMs: 0, packs: [], runs: [run.id], number: 2, kind }
          : { ...record, number: 2, kind: "sweep" },
      );
      const committed = run.commit(nextBackupId(), ROOT);
      if (kind === "marked") await committed;
      else await expect(committed).rejects.toMatchObject({ code: "RUN_FENCED" });
      await run.abort();
    }
  });

  test("leaves its checkpoint when it breaks off, for the next run of that server, whose commit removes it", async () => {
    const backend = new MemoryBackend();
    const repository = await newPlain(backend);
    const run = await repository.startRun(WHO);
    await run.checkpoint(Buffer.from("partial"));
    await run.checkpoint(Buffer.from("partial, later"));
    await run.abort();
    expect((await repository.readCheckpoints()).map(String)).toEqual(["partial, later"]);
    const other = await repository.startRun({ server: "other", host: "here" });
    await other.commit(nextBackupId(), ROOT);
    expect((await repository.listCheckpoints()).map(({ server }) => server)).toEqual(["mail"]);
    await backUp(repository, [content("a")]);
    expect(await names(backend, "checkpoints/")).toEqual([]);
  });

  test("removes the file of a run of its server that left nothing else, once that is over", async () => {
    const backend = new MemoryBackend();
    const clock = new SimulatedClock({ startMs: Date.UTC(2026, 0, 1) });
    const silent = await (await newPlain(backend, { clock })).startRun({ ...WHO, host: "elsewhere" });
    const another = await (await openPlain(backend, { clock })).startRun({
      server: "other",
      host: "elsewhere",
    });
    const repository = await openPlain(backend, { clock });
    await backUp(repository, [content("a")]);
    expect((await repository.listRuns()).map(({ run }) => run).sort()).toEqual(
      [silent.id, another.id].sort(),
    );
    clock.advance(3_700_000);
    await backUp(repository, [content("b")]);
    expect((await repository.listRuns()).map(({ run }) => run)).toEqual([another.id]);
    await silent.abort();
    await another.abort();
  });

  test("does not take a checkpoint from a run that is at work, but from one that has fallen silent", async () => {
    const backend = new MemoryBackend();
    const clock = new SimulatedClock({ startMs: Date.UTC(2026, 0, 1) });
    const silent = await (await newPlain(backend, { clock })).startRun({ ...WHO, host: "elsewhere" });
    await silent.checkpoint(ROOT);
    const repository = await openPlain(backend, { clock });
    await backUp(repository, [content("a")]);
    expect((await repository.listRuns()).map(({ run }) => run)).toEqual([silent.id]);
    expect(await repository.readCheckpoints()).toHaveLength(1);
    clock.advance(3_700_000);
    await backUp(repository, [content("a")]);
    expect(await repository.listRuns()).toEqual([]);
    expect(await repository.readCheckpoints()).toHaveLength(0);
    await silent.abort();
  });

  test("says when it started, for whom, and that it still lives", async () => {
    const backend = new MemoryBackend();
    const clock = new SimulatedClock({ startMs: Date.UTC(2026, 0, 1) });
    const repository = await newPlain(backend, { clock });
    const { backup: parent } = await backUp(repository, [content("a")]);
    const run = await repository.startRun({ ...WHO, parent });
    clock.advance(60_000);
    await run.heartbeat();
    expect(await repository.listRuns()).toEqual([
      {
        run: run.id,
        kind: "backup",
        ...WHO,
        pid: process.pid,
        process: processMark(),
        checkpoints: [],
        backup: undefined,
        startedMs: Date.UTC(2026, 0, 1),
        heartbeatMs: Date.UTC(2026, 0, 1) + 60_000,
        gcSeen: 0,
        parent,
      },
    ]);
    await run.abort();
    expect(await repository.listRuns()).toEqual([]);
  });
});
