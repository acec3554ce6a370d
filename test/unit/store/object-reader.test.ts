import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { asObjectId } from "../../../src/store/object.ts";
import type { Repository } from "../../../src/store/repository.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import {
  assemble,
  backUp,
  content,
  names,
  newPlain,
  nextBackupId,
  openPlain,
  readEverything,
  storeData,
  storeMessage,
} from "./repository-fixture.ts";

async function withRun<T>(
  repository: Repository,
  work: (run: Awaited<ReturnType<Repository["startRun"]>>) => Promise<T>,
): Promise<T> {
  const run = await repository.startRun({ server: "mail", host: "here" });
  const result = await work(run);
  await run.commit(nextBackupId(), Buffer.from("{}"));
  return result;
}

describe("ObjectReader", () => {
  test("puts messages together, small and large", async () => {
    const repository = await newPlain();
    const parts = [Buffer.alloc(9_000_000, "one"), Buffer.alloc(9_000_000, "two")];
    const small = await withRun(repository, (run) =>
      storeMessage(run, [content("x")], content("h", 40), content("t", 90)),
    );
    const large = await withRun(repository, (run) =>
      storeMessage(run, parts, content("h", 40), content("t", 90)),
    );
    for (const { id, whole } of [small, large]) {
      expect((await repository.objects.get("message", id)).equals(whole)).toBe(true);
      let bytes = 0;
      for await (const stretch of repository.objects.stream("message", id)) bytes += stretch.length;
      expect(bytes).toBe(whole.length);
    }
    const info = await repository.objects.info("message", small.id);
    expect(info).toMatchObject({ packKind: "data", ordinal: 0, block: 0, headLength: 41, tailLength: 90 });
    expect(info?.references.length).toBe(1);
  });

  test("never gives out the end of a message that is put together wrongly", async () => {
    const backend = new MemoryBackend();
    const parts = [Buffer.alloc(9_000_000, "one"), Buffer.alloc(9_000_000, "two")];
    const { id, whole } = await withRun(await newPlain(backend), (run) =>
      storeMessage(run, parts, content("h", 40), content("t", 90)),
    );
    const repository = await openPlain(backend, {
      assemble: async function* (head, tail, load) {
        for await (const stretch of assemble(head, tail, load))
          yield stretch.length === 90 ? Buffer.alloc(90) : stretch;
      },
    });
    let bytes = 0;
    await expect(
      (async () => {
        for await (const stretch of repository.objects.stream("message", id)) bytes += stretch.length;
      })(),
    ).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
    expect(bytes).toBeLessThan(whole.length);
  });

  test("says that an object is missing, or damaged when it is there as another kind", async () => {
    const repository = await newPlain();
    const { ids } = await backUp(repository, [content("a")]);
    await expect(repository.objects.get("data", asObjectId(content("no", 32)))).rejects.toMatchObject({
      code: "OBJECT_MISSING",
    });
    await expect(repository.objects.get("meta", ids[0] as never)).rejects.toMatchObject({
      code: "REPOSITORY_DAMAGED",
    });
    expect(await repository.objects.has("data", asObjectId(content("no", 32)))).toBe(false);
  });

  test("reads a block once for many objects, also when they are asked for at once", async () => {
    const inner = new MemoryBackend();
    const contents = Array.from({ length: 50 }, (_, n) => content(`object ${n}`));
    const { ids } = await backUp(await newPlain(inner), contents);
    const backend = faultyBackend(inner, { failAt: () => false });
    const repository = await openPlain(backend);
    await repository.objects.get("data", ids[0] as never);
    const before = backend.calls.length;
    const read = await Promise.all(ids.map((id) => repository.objects.get("data", id)));
    expect(read).toEqual(contents);
    expect(backend.calls.length).toBe(before);
  });

  test("what it gives out is the caller's: changing it changes nothing", async () => {
    const repository = await newPlain();
    const { ids } = await backUp(repository, [content("a")]);
    (await repository.objects.get("data", ids[0] as never)).fill(0);
    expect(await repository.objects.get("data", ids[0] as never)).toEqual(content("a"));
  });

  test("takes the other copy when a pack is damaged or has gone", async () => {
    for (const harm of ["flip", "cut", "remove"] as const) {
      const backend = new MemoryBackend();
      const first = await newPlain(backend);
      const second = await openPlain(backend);
      const runs = [
        await first.startRun({ server: "a", host: "here" }),
        await second.startRun({ server: "b", host: "here" }),
      ];
      let ids: Awaited<ReturnType<typeof storeData>>["ids"] = [];
      for (const run of runs) ids = (await storeData(run, [content("a")])).ids;
      for (const run of runs) await run.commit(nextBackupId(), Buffer.from("{}"));
      const packs = await names(backend, "packs/");
      expect(packs.length).toBe(2);
      for (const name of packs) {
        const whole = (await backend.read(name, 1 << 20)) as Buffer;
        const harmed = Buffer.from(whole);
        harmed[120] = (harmed[120] as number) ^ 1;
        const repository = await openPlain(backend);
        await repository.lookup.ready();
        if (harm === "remove") await backend.remove(name);
        else await backend.replace(name, harm === "flip" ? harmed : whole.subarray(0, 100));
        expect(await repository.objects.get("data", ids[0] as never)).toEqual(content("a"));
        await backend.replace(name, whole);
      }
      for (const name of packs) await backend.replace(name, Buffer.alloc(500));
      await expect((await openPlain(backend)).objects.get("data", ids[0] as never)).rejects.toMatchObject({
        code: "REPOSITORY_DAMAGED",
      });
    }
  });

  test("finds what lies in packs that no segment covers, and what lies in segments that are damaged", async () => {
    const backend = new MemoryBackend();
    const repository = await newPlain(backend);
    await backUp(repository, [content("a"), content("b")]);
    await backUp(repository, [content("c")]);
    const segments = await names(backend, "segments/");
    expect(segments.length).toBe(2);
    await backend.remove(segments[0] as string);
    expect(await readEverything(await openPlain(backend))).toBe(2);

    const name = segments[1] as string;
    const whole = (await backend.read(name, 1 << 20)) as Buffer;
    for (let at = 0; at < whole.length; at += 3) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ 1;
      await backend.replace(name, flipped);
      expect(await readEverything(await openPlain(backend))).toBe(2);
    }
    const writer = await openPlain(backend);
    expect((await backUp(writer, [content("a"), content("c")])).stored).toBe(0);
    expect(await names(backend, "segments/")).not.toContain(name);
    expect(await readEverything(await openPlain(backend))).toBe(3);
  });

  test("an error of the disk is an error, never an absent object", async () => {
    const inner = new MemoryBackend();
    const { ids } = await backUp(await newPlain(inner), [content("a")]);
    for (let n = 1; ; n++) {
      let isArmed = false;
      let calls = 0;
      const backend = faultyBackend(inner, { failAt: () => isArmed && ++calls === n });
      const repository = await openPlain(backend);
      isArmed = true;
      const result = await repository.objects.get("data", ids[0] as never).catch((error) => error);
      if (calls < n) break;
      expect(result).toMatchObject({ code: "IO" });
      expect(await repository.objects.get("data", ids[0] as never)).toEqual(content("a"));
    }
  });
});
