import { describe, expect, test } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";

export interface BackendUnderTest {
  /** Opens it (again): every backend opened from the same one sees the same files. */
  open(): Promise<Backend>;
  /** Puts something in the place of `name` that is there and cannot be read as a file, where that can be done. */
  plantUnreadable?(name: string): Promise<void>;
  /** What of unfinished files can be found by looking behind the backend. */
  leftovers?(): Promise<readonly string[]>;
  remove?(): Promise<void>;
}

const MIB = 1024 * 1024;
const text = (value: string) => Buffer.from(value);

/** What every backend and every wrapper that writes must do. `make` gives an empty one for each test. */
export function backendConformance(name: string, make: () => Promise<BackendUnderTest>): void {
  const check = (promise: string, body: (backend: Backend, under: BackendUnderTest) => Promise<void>) => {
    test(promise, async () => {
      const under = await make();
      try {
        const backend = await under.open();
        await body(backend, under);
        await backend.close();
      } finally {
        await under.remove?.();
      }
    });
  };

  describe(`backend ${name}`, () => {
    check("gives back what was created, whole and in ranges", async (backend) => {
      await backend.create("packs/00/a", text("0123456789"));
      expect(await backend.read("packs/00/a", 10)).toEqual(text("0123456789"));
      expect(await backend.size("packs/00/a")).toBe(10);
      expect(await backend.readRange("packs/00/a", 0, 10)).toEqual(text("0123456789"));
      expect(await backend.readRange("packs/00/a", 3, 4)).toEqual(text("3456"));
      expect(await backend.readRange("packs/00/a", 10, 0)).toEqual(text(""));
    });

    check("counts a negative offset from the end", async (backend) => {
      await backend.create("a", text("0123456789"));
      expect(await backend.readRange("a", -3, 3)).toEqual(text("789"));
      expect(await backend.readRange("a", -10, 2)).toEqual(text("01"));
    });

    check("calls a range damaged that is not wholly inside the file", async (backend) => {
      await backend.create("a", text("0123456789"));
      for (const [offset, length] of [
        [0, 11],
        [10, 1],
        [11, 0],
        [-11, 1],
        [-1, 2],
        [1e15, 1],
        [0, 1e15],
      ] as const)
        await expect(backend.readRange("a", offset, length), `${offset}+${length}`).rejects.toMatchObject({
          code: "REPOSITORY_DAMAGED",
        });
    });

    check("calls a file damaged that is larger than it can be", async (backend) => {
      await backend.create("a", text("0123456789"));
      await expect(backend.read("a", 9)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
    });

    check("answers undefined, false or nothing for what is absent", async (backend) => {
      expect(await backend.read("packs/00/a", 10)).toBeUndefined();
      expect(await backend.readRange("packs/00/a", 0, 1)).toBeUndefined();
      expect(await backend.readRange("packs/00/a", -1, 1)).toBeUndefined();
      expect(await backend.size("packs/00/a")).toBeUndefined();
      expect(await backend.remove("packs/00/a")).toBe(false);
      expect(await names(backend, "packs/")).toEqual([]);
      expect(await names(backend, "")).toEqual([]);
    });

    check("refuses to create a name twice and keeps what is there", async (backend, under) => {
      await backend.create("packs/00/a", text("first"));
      await expect(backend.create("packs/00/a", text("second"))).rejects.toMatchObject({
        code: "NAME_EXISTS",
      });
      expect(await backend.read("packs/00/a", 100)).toEqual(text("first"));
      expect((await under.leftovers?.()) ?? []).toEqual([]);
    });

    check("replaces what is there and makes what is not", async (backend) => {
      await backend.replace("config", text("first"));
      expect(await backend.read("config", 100)).toEqual(text("first"));
      await backend.replace("config", text("2"));
      expect(await backend.read("config", 100)).toEqual(text("2"));
      await backend.create("created", text("first"));
      await backend.replace("created", text("second"));
      expect(await backend.read("created", 100)).toEqual(text("second"));
      expect(await names(backend, "")).toEqual(["config", "created"]);
    });

    check("keeps empty files", async (backend) => {
      await backend.create("runs/empty", text(""));
      const writer = await backend.begin("runs/begun");
      await writer.commit();
      for (const empty of ["runs/empty", "runs/begun"]) {
        expect(await backend.read(empty, 0)).toEqual(text(""));
        expect(await backend.size(empty)).toBe(0);
        expect(await backend.readRange(empty, 0, 0)).toEqual(text(""));
        await expect(backend.readRange(empty, -1, 1)).rejects.toMatchObject({ code: "REPOSITORY_DAMAGED" });
      }
      expect(await names(backend, "runs/")).toEqual(["runs/begun", "runs/empty"]);
    });

    check(
      "keeps a file of 40 MB written in parts, though each part's memory is used again",
      async (backend) => {
        const writer = await backend.begin("packs/ff/large");
        const part = Buffer.alloc(MIB);
        for (let i = 0; i < 40; i++) {
          part.fill(i + 1);
          await writer.append(part);
        }
        expect(await backend.size("packs/ff/large")).toBeUndefined();
        await writer.commit();
        expect(await backend.size("packs/ff/large")).toBe(40 * MIB);
        const seam = await backend.readRange("packs/ff/large", 7 * MIB - 2, 4);
        expect(seam).toEqual(Buffer.from([7, 7, 8, 8]));
        const whole = await backend.read("packs/ff/large", 40 * MIB);
        for (let i = 0; i < 40; i++) {
          part.fill(i + 1);
          expect(whole?.subarray(i * MIB, (i + 1) * MIB).equals(part)).toBe(true);
        }
      },
    );

    check("does not list or show what is not committed", async (backend) => {
      const writer = await backend.begin("packs/00/a");
      await writer.append(text("half"));
      expect(await names(backend, "")).toEqual([]);
      expect(await backend.read("packs/00/a", 100)).toBeUndefined();
      expect(await backend.size("packs/00/a")).toBeUndefined();
      await writer.commit();
      expect(await names(backend, "")).toEqual(["packs/00/a"]);
    });

    check("leaves nothing after an abort", async (backend, under) => {
      const writer = await backend.begin("packs/00/a");
      await writer.append(text("half"));
      await writer.abort();
      await writer.abort();
      expect(await backend.read("packs/00/a", 100)).toBeUndefined();
      expect((await under.leftovers?.()) ?? []).toEqual([]);
      await backend.create("packs/00/a", text("whole"));
      expect(await backend.read("packs/00/a", 100)).toEqual(text("whole"));
    });

    check("ignores abort and a second commit after a commit", async (backend) => {
      const writer = await backend.begin("a");
      await writer.append(text("whole"));
      await writer.commit();
      await writer.abort();
      await writer.commit();
      expect(await backend.read("a", 100)).toEqual(text("whole"));
    });

    check("refuses to commit over a name that has come meanwhile", async (backend, under) => {
      const writer = await backend.begin("packs/00/a");
      await writer.append(text("late"));
      await backend.create("packs/00/a", text("early"));
      await expect(writer.commit()).rejects.toMatchObject({ code: "NAME_EXISTS" });
      await writer.abort();
      expect(await backend.read("packs/00/a", 100)).toEqual(text("early"));
      expect((await under.leftovers?.()) ?? []).toEqual([]);
    });

    check("lets exactly one of many writers have a name", async (backend, under) => {
      const other = await under.open();
      const attempts = [...Array(8).keys()].map(async (i) => {
        const content = text(`writer ${i} `.repeat(1000));
        try {
          await (i % 2 === 0 ? backend : other).create("gc/1", content);
          return content;
        } catch (error) {
          expect(error).toMatchObject({ code: "NAME_EXISTS" });
          return undefined;
        }
      });
      const winners = (await Promise.all(attempts)).filter((content) => content !== undefined);
      expect(winners).toHaveLength(1);
      expect(await backend.read("gc/1", 100_000)).toEqual(winners[0]);
      await other.close();
    });

    check("lists by prefix, with sizes, across directories", async (backend) => {
      const all = ["cyrvault.json", "keys/k.json", "packs/00/a", "packs/00/b", "packs/0f/c", "segments/s"];
      for (const file of all) await backend.create(file, text(file));
      expect(await names(backend, "")).toEqual(all);
      expect(await names(backend, "packs/")).toEqual(["packs/00/a", "packs/00/b", "packs/0f/c"]);
      expect(await names(backend, "packs/00/")).toEqual(["packs/00/a", "packs/00/b"]);
      expect(await names(backend, "packs/0")).toEqual(["packs/00/a", "packs/00/b", "packs/0f/c"]);
      expect(await names(backend, "packs/00/b")).toEqual(["packs/00/b"]);
      expect(await names(backend, "packs/11/")).toEqual([]);
      for await (const file of backend.list("")) expect(file.bytes).toBe(file.name.length);
    });

    check("lists several hundred files, and lets a reader stop early", async (backend) => {
      const all = [...Array(300).keys()].map((i) => `segments/${String(i).padStart(3, "0")}`);
      for (let i = 0; i < all.length; i += 20)
        await Promise.all(all.slice(i, i + 20).map((file) => backend.create(file, text("x"))));
      expect(await names(backend, "segments/")).toEqual(all);
      let seen = 0;
      for await (const _ of backend.list("segments/")) if (++seen === 5) break;
      expect(seen).toBe(5);
    });

    check("removes a file once", async (backend) => {
      await backend.create("runs/a", text("x"));
      await backend.create("runs/b", text("x"));
      expect(await backend.remove("runs/a")).toBe(true);
      expect(await backend.remove("runs/a")).toBe(false);
      expect(await backend.read("runs/a", 1)).toBeUndefined();
      expect(await names(backend, "")).toEqual(["runs/b"]);
      await backend.create("runs/a", text("again"));
      expect(await backend.read("runs/a", 10)).toEqual(text("again"));
    });

    check("shows everything to the next one that opens it", async (backend, under) => {
      await backend.create("packs/00/a", text("a"));
      await backend.replace("config", text("c"));
      const writer = await backend.begin("packs/00/b");
      await writer.append(text("bb"));
      await writer.commit();
      await backend.close();
      const again = await under.open();
      expect(await names(again, "")).toEqual(["config", "packs/00/a", "packs/00/b"]);
      expect(await again.read("packs/00/b", 2)).toEqual(text("bb"));
      await again.close();
    });

    check("never calls absent what is there and cannot be read", async (backend, under) => {
      if (under.plantUnreadable === undefined) return;
      await under.plantUnreadable("packs/00/a");
      await expect(backend.read("packs/00/a", 10)).rejects.toMatchObject({ code: "IO" });
      await expect(backend.readRange("packs/00/a", 0, 1)).rejects.toMatchObject({ code: "IO" });
      await expect(backend.size("packs/00/a")).rejects.toMatchObject({ code: "IO" });
      await expect(backend.remove("packs/00/a")).rejects.toMatchObject({ code: "IO" });
      await expect(backend.replace("packs/00/a", text("x"))).rejects.toMatchObject({ code: "IO" });
      await expect(backend.create("packs/00/a", text("x"))).rejects.toMatchObject({ code: "NAME_EXISTS" });
    });

    check("takes a name that is not the store's own for a bug", async (backend) => {
      const bad = ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "ü", "a\0", "a\n"];
      for (const name of [...bad, "tmp/a", "index/a", "tmp", `a/${"b".repeat(300)}`]) {
        await expect(backend.create(name, text("x")), name).rejects.toThrow(TypeError);
        await expect(backend.begin(name), name).rejects.toThrow(TypeError);
        await expect(backend.replace(name, text("x")), name).rejects.toThrow(TypeError);
        await expect(backend.read(name, 1), name).rejects.toThrow(TypeError);
        await expect(backend.readRange(name, 0, 1), name).rejects.toThrow(TypeError);
        await expect(backend.size(name), name).rejects.toThrow(TypeError);
        await expect(backend.remove(name), name).rejects.toThrow(TypeError);
      }
      await expect(names(backend, "../")).rejects.toThrow(TypeError);
      expect(await names(backend, "")).toEqual([]);
    });
  });
}

async function names(backend: Backend, prefix: string): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of backend.list(prefix)) all.push(name);
  return all.sort();
}
