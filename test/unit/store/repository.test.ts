import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { readOnly } from "../../../src/backend/read-only.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { addAcceptRules } from "../../../src/inspect/accepted.ts";
import { rebuildIndex } from "../../../src/store/rebuild-index.ts";
import { initRepository, openRepository } from "../../../src/store/repository.ts";
import {
  CONFIG_BYTES_MAX,
  CONFIG_NAME,
  decodeConfig,
  encodeConfig,
  type RepositoryFeatures,
} from "../../../src/store/repository-config.ts";
import { UNENCRYPTED } from "../../../src/store/seal-context.ts";
import { Sealer } from "../../../src/store/sealer.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import {
  assemble,
  backUp,
  CHEAP,
  content,
  names,
  newPlain,
  openPlain,
  readEverything,
} from "./repository-fixture.ts";

const open = (backend: MemoryBackend, password?: string) => openRepository(backend, { assemble, password });

describe("initRepository() and openRepository()", () => {
  test("make an encrypted repository that opens with its password only", async () => {
    const backend = new MemoryBackend();
    const made = await initRepository(backend, { password: "correct", scrypt: CHEAP });
    expect(made.encrypted).toBe(true);
    expect((await open(backend, "correct")).id).toBe(made.id);
    await expect(open(backend)).rejects.toMatchObject({ code: "PASSWORD_NEEDED" });
    await expect(open(backend, "wrong")).rejects.toMatchObject({ code: "PASSWORD_WRONG" });
  });

  test("refuse a password for a repository without encryption", async () => {
    const backend = new MemoryBackend();
    await initRepository(backend, { noEncryption: true });
    await expect(open(backend, "any")).rejects.toMatchObject({ code: "PASSWORD_UNUSED" });
  });

  test("tell an absent repository from one that is there already", async () => {
    const backend = new MemoryBackend();
    await expect(open(backend)).rejects.toMatchObject({ code: "REPOSITORY_NOT_FOUND" });
    await initRepository(backend, { noEncryption: true });
    await expect(initRepository(backend, { noEncryption: true })).rejects.toMatchObject({
      code: "REPOSITORY_EXISTS",
    });
  });

  test("refuse to make one where packs have lost their cyrvault.json", async () => {
    const backend = new MemoryBackend();
    await backUp(await newPlain(backend), [content("a")]);
    await backend.remove("cyrvault.json");
    await expect(initRepository(backend, { noEncryption: true })).rejects.toMatchObject({
      code: "REPOSITORY_EXISTS",
    });
  });

  test("refuse what is only for newer versions: to read it, or to write to it", async () => {
    const backend = new MemoryBackend();
    await initRepository(backend, { noEncryption: true });
    const config = decodeConfig((await backend.read(CONFIG_NAME, CONFIG_BYTES_MAX)) as Buffer);
    const withFeatures = (features: RepositoryFeatures) =>
      backend.replace(CONFIG_NAME, encodeConfig({ ...config, features }, new Sealer(UNENCRYPTED)));

    await withFeatures({ read: ["zstd"], write: [] });
    await expect(open(backend)).rejects.toMatchObject({ code: "REPOSITORY_VERSION" });
    await withFeatures({ read: [], write: ["quota"] });
    const repository = await open(backend);
    expect(await repository.listBackups()).toEqual([]);
    await expect(repository.startRun({ server: "s", host: "h" })).rejects.toMatchObject({
      code: "REPOSITORY_VERSION",
    });
    await expect(rebuildIndex(repository, { from: "packs" })).rejects.toMatchObject({
      code: "REPOSITORY_VERSION",
    });
    await expect(addAcceptRules(repository, "s", ["file-changed"])).rejects.toMatchObject({
      code: "REPOSITORY_VERSION",
    });
    await withFeatures({ read: ["Not a name"], write: [] });
    await expect(open(backend)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
  });

  test("refuse a version that is not known, and anything changed in cyrvault.json", async () => {
    for (const [from, to, code] of [
      ['"version": 1', '"version": 9', "REPOSITORY_VERSION"],
      ["blockBytes", "blockByteS", "REPOSITORY_DAMAGED"],
      ['"created": "2', '"created": "3', "REPOSITORY_DAMAGED"],
      ["{", "[", "REPOSITORY_DAMAGED"],
    ] as const) {
      const backend = new MemoryBackend();
      await initRepository(backend, { password: "p", scrypt: CHEAP });
      const text = String(await backend.read("cyrvault.json", 65_536));
      expect(text).toContain(from);
      await backend.replace("cyrvault.json", Buffer.from(text.replace(from, to)));
      const hint = expect.stringMatching(code === "REPOSITORY_DAMAGED" ? /any copy of this/ : /version/);
      await expect(open(backend, "p")).rejects.toMatchObject({ code, hint });
    }
  });

  test("a repository whose cyrvault.json says that it is not encrypted any more does not take a password in silence", async () => {
    const backend = new MemoryBackend();
    await initRepository(backend, { password: "p", scrypt: CHEAP });
    const other = new MemoryBackend();
    await initRepository(other, { noEncryption: true });
    await backend.replace("cyrvault.json", (await other.read("cyrvault.json", 65_536)) as Buffer);
    await expect(open(backend, "p")).rejects.toMatchObject({ code: "PASSWORD_UNUSED" });
  });

  test.each(["before", "after"] as const)(
    "an init that fails %s any of its calls leaves no repository or a whole one, and can be repeated",
    async (when) => {
      for (let n = 1; ; n++) {
        const inner = new MemoryBackend();
        const backend = faultyBackend(inner, { failAt: (call) => call === n, when });
        const failed = await initRepository(backend, { password: "p", scrypt: CHEAP }).then(
          () => false,
          () => true,
        );
        if (!failed) break;
        const isThere = (await inner.size("cyrvault.json")) !== undefined;
        if (!isThere) {
          await expect(open(inner, "p")).rejects.toMatchObject({ code: "REPOSITORY_NOT_FOUND" });
          await initRepository(inner, { password: "p", scrypt: CHEAP });
        }
        const repository = await open(inner, "p");
        await backUp(repository, [content("a")]);
        expect(await readEverything(await open(inner, "p"))).toBe(1);
      }
    },
  );
});

describe("docs/formats/repository.md", () => {
  test("shows the cyrvault.json that is written", async () => {
    const backend = new MemoryBackend();
    await initRepository(backend, {
      noEncryption: true,
      clock: new SimulatedClock({ startMs: Date.UTC(2026, 0, 2, 3, 4, 5) }),
      random: (count) => Buffer.alloc(count, 0xab),
    });
    const page = readFileSync(new URL("../../../docs/formats/repository.md", import.meta.url), "utf8");
    const shown = /^```json\n(.*?)^```$/ms.exec(page)?.[1];
    expect(shown).toBe(String(await backend.read("cyrvault.json", 65_536)));
  });
});

describe("Repository", () => {
  test("reads back what a run has stored, encrypted and not", async () => {
    for (const password of [undefined, "p"]) {
      const backend = new MemoryBackend();
      await initRepository(
        backend,
        password === undefined ? { noEncryption: true } : { password, scrypt: CHEAP },
      );
      const contents = [content("a"), content("b", 5000), Buffer.alloc(0)];
      const { backup, ids } = await backUp(await open(backend, password), contents);
      const again = await open(backend, password);
      expect((await again.listBackups()).map(({ id }) => id)).toEqual([backup]);
      for (const [i, id] of ids.entries()) expect(await again.objects.get("data", id)).toEqual(contents[i]);
      expect(await names(backend, "runs/")).toEqual([]);
      expect(await names(backend, "checkpoints/")).toEqual([]);
    }
  });

  test("stores nothing twice, in one backup or in the next", async () => {
    const backend = new MemoryBackend();
    const repository = await newPlain(backend);
    expect((await backUp(repository, [content("a"), content("a"), content("b")])).stored).toBe(2);
    expect((await backUp(repository, [content("a"), content("b"), content("c")])).stored).toBe(1);
    expect((await backUp(await openPlain(backend), [content("c"), content("a")])).stored).toBe(0);
    expect(await readEverything(await openPlain(backend))).toBe(3);
  });

  test("names what is not there", async () => {
    const repository = await newPlain();
    await expect(repository.readBackup("20260101T000000Z-00000000")).rejects.toMatchObject({
      code: "BACKUP_NOT_FOUND",
    });
    await expect(repository.readBackup("../x")).rejects.toMatchObject({ code: "BACKUP_NOT_FOUND" });
  });

  test("looks once what packs there are, however many ask at the same time, and writes nothing to read", async () => {
    const inner = new MemoryBackend();
    const { ids } = await backUp(await newPlain(inner), [content("a"), content("b")]);
    const backend = faultyBackend(readOnly(inner), { failAt: () => false });
    const repository = await openPlain(backend);
    await Promise.all([...ids, ...ids, ...ids].map((id) => repository.objects.get("data", id)));
    expect(backend.calls.filter((call) => call === "list packs/").length).toBe(1);
    expect(await readEverything(repository)).toBe(1);
  });

  test("sees a backup that another opener has made since", async () => {
    const backend = new MemoryBackend();
    const reader = await newPlain(backend);
    expect(await readEverything(reader)).toBe(0);
    const writer = await openPlain(backend);
    for (let count = 1; count <= 3; count++) {
      await backUp(writer, [content(`new ${count}`)]);
      expect(await readEverything(reader)).toBe(count);
    }
  });
});
