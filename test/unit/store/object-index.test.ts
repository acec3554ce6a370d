import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { Level } from "level";
import { describe, expect, test } from "vitest";
import { LocalBackend } from "../../../src/backend/local.ts";
import { createLogger } from "../../../src/base/log.ts";
import { rebuildIndex } from "../../../src/store/rebuild-index.ts";
import type { Repository } from "../../../src/store/repository.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { tempDir } from "../../support/temp-dir.ts";
import {
  backUp,
  content,
  names,
  newPlain,
  openPlain,
  readEverything,
  storeData,
} from "./repository-fixture.ts";

const CONTENTS = Array.from({ length: 200 }, (_, n) => content(`object ${n}`));

/** Whether the index of a run now started is in use and knows as many packs as there are. */
async function indexedPacks(repository: Repository): Promise<number | undefined> {
  const run = await repository.startRun({ server: "mail", host: "here" });
  const packs = repository.lookup.index?.packCount;
  await run.abort();
  return packs;
}

describe("the object index", () => {
  test("is used by a run of a local repository and answers without a segment being read", async () => {
    using directory = tempDir();
    await backUp(await newPlain(new LocalBackend(directory.path)), CONTENTS);
    const backend = faultyBackend(new LocalBackend(directory.path), { failAt: () => false });
    const repository = await openPlain(backend);
    const run = await repository.startRun({ server: "mail", host: "here" });
    expect(repository.lookup.index?.packCount).toBe(2);
    const before = backend.calls.length;
    expect((await storeData(run, CONTENTS)).stored).toBe(0);
    expect(backend.calls.length).toBe(before);
    await run.abort();
    expect(repository.lookup.index).toBeUndefined();
  });

  test("is filled again when it has been deleted, from segments or from packs", async () => {
    using directory = tempDir();
    const backend = new LocalBackend(directory.path);
    const repository = await newPlain(backend);
    for (let n = 0; n < 4; n++) await backUp(repository, CONTENTS.slice(n * 50, n * 50 + 50));
    rmSync(directory.in("index"), { recursive: true });
    expect(await indexedPacks(repository)).toBe(8);
    rmSync(directory.in("index"), { recursive: true });
    rmSync(directory.in("segments"), { recursive: true });
    const other = await openPlain(new LocalBackend(directory.path));
    expect((await backUp(other, CONTENTS)).stored).toBe(0);
    expect(await indexedPacks(other)).toBe(9);
  });

  test("an entry for a pack that is no more is a miss, and its number is never given again", async () => {
    using directory = tempDir();
    const backend = new LocalBackend(directory.path);
    await backUp(await newPlain(backend), CONTENTS);
    for (const name of await names(backend, "packs/")) await backend.remove(name);
    for (const name of await names(backend, "backups/")) await backend.remove(name);
    const repository = await openPlain(backend);
    expect((await backUp(repository, CONTENTS)).stored).toBe(CONTENTS.length);
    expect((await backUp(repository, CONTENTS)).stored).toBe(0);
    expect(await readEverything(await openPlain(backend))).toBe(2);
  });

  test("is done without, in silence, while somebody else holds it: segments serve readers and a second writer", async () => {
    using directory = tempDir();
    await backUp(await newPlain(new LocalBackend(directory.path)), CONTENTS);
    const holder = new Level(directory.in("index"));
    await holder.open();
    try {
      const messages: string[] = [];
      const log = createLogger(({ message }) => messages.push(message));
      const repository = await openPlain(new LocalBackend(directory.path), { log });
      expect((await backUp(repository, [...CONTENTS, content("new")])).stored).toBe(1);
      expect(repository.lookup.index).toBeUndefined();
      expect(await readEverything(repository)).toBe(2);
      expect(messages).toEqual([]);
      await expect(rebuildIndex(repository, { from: "segments" })).rejects.toMatchObject({ code: "LOCKED" });
    } finally {
      await holder.close();
    }
  });

  test("is moved aside and begun anew when it is damaged, or of another repository", async () => {
    using directory = tempDir();
    const backend = new LocalBackend(directory.path);
    const repository = await newPlain(backend);
    await backUp(repository, CONTENTS);
    for (const name of readdirSync(directory.in("index")))
      if (name === "CURRENT") writeFileSync(directory.in("index", name), "garbage");
    expect(await indexedPacks(repository)).toBe(2);
    expect(existsSync(directory.in("index.damaged"))).toBe(true);

    for (const name of readdirSync(directory.in("index")))
      if (name.startsWith("MANIFEST")) rmSync(directory.in("index", name));
    expect(await indexedPacks(repository)).toBe(2);

    rmSync(directory.in("index"), { recursive: true });
    const other = new Level(directory.in("index"));
    await other.put("some", "thing");
    await other.close();
    expect(await indexedPacks(repository)).toBe(2);
    expect((await backUp(repository, CONTENTS)).stored).toBe(0);
  });

  test("that does not open for want of a directory is none", async () => {
    using directory = tempDir();
    const repository = await newPlain(new LocalBackend(directory.path));
    writeFileSync(directory.in("index"), "a file where the directory should be");
    expect((await backUp(repository, CONTENTS)).stored).toBe(CONTENTS.length);
    expect(await readEverything(repository)).toBe(1);
  });
});

describe("two writers of one local repository", () => {
  test("work at the same time, one with the index, one without, and the index has everything afterwards", async () => {
    using directory = tempDir();
    const first = await newPlain(new LocalBackend(directory.path));
    const second = await openPlain(new LocalBackend(directory.path));
    await Promise.all([backUp(first, CONTENTS.slice(0, 120)), backUp(second, CONTENTS.slice(80))]);
    const third = await openPlain(new LocalBackend(directory.path));
    expect((await backUp(third, CONTENTS)).stored).toBe(0);
    expect(await readEverything(third)).toBe(3);
    expect(await indexedPacks(third)).toBe(5);
  });
});

describe("rebuildIndex()", () => {
  test("makes segments and index anew from the packs alone", async () => {
    using directory = tempDir();
    const backend = new LocalBackend(directory.path);
    const repository = await newPlain(backend);
    for (let n = 0; n < 4; n++) await backUp(repository, CONTENTS.slice(n * 50, n * 50 + 50));
    const before = await names(backend, "segments/");
    const phases = new Set<string>();
    const rebuilt = await rebuildIndex(repository, {
      from: "packs",
      onProgress: ({ phase }) => phases.add(phase),
    });
    expect(rebuilt).toEqual({ packs: 8, objects: 204, unreadable: [], index: true });
    expect([...phases]).toEqual(["segments", "index"]);
    const after = await names(backend, "segments/");
    expect(after.length).toBe(1);
    expect(before).not.toContain(after[0]);
    expect(await readEverything(await openPlain(backend))).toBe(4);
    expect(await indexedPacks(repository)).toBe(8);
  });
});
