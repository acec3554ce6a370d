import { mkdirSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { LocalBackend } from "../../../src/backend/local.ts";
import { createFile, makeDirectories } from "../../../src/base/durable.ts";
import { nodeFileSystem } from "../../../src/base/node-file-system.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

/** What was asked of the filesystem, in order: `sync …`, `link … …`. Temporary names are written `tmp/*`. */
const trace: string[] = [];
/** An operation that shall fail once with EIO. */
let failing: string | undefined;

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const note = (operation: string, ...paths: unknown[]) => {
    trace.push([operation, ...paths].join(" "));
    if (failing !== operation) return;
    failing = undefined;
    throw Object.assign(new Error("EIO: planted"), { code: "EIO" });
  };
  return {
    ...real,
    mkdir: async (...args: Parameters<typeof real.mkdir>) => {
      const made = await real.mkdir(...args);
      note("mkdir", args[0]);
      return made;
    },
    link: async (from: string, to: string) => {
      note("link", from, to);
      await real.link(from, to);
    },
    rename: async (from: string, to: string) => {
      note("rename", from, to);
      await real.rename(from, to);
    },
    unlink: async (path: string) => {
      note("unlink", path);
      await real.unlink(path);
    },
    open: async (...args: Parameters<typeof real.open>) => {
      const handle = await real.open(...args);
      const { sync, write } = handle;
      handle.sync = async () => {
        note("sync", args[0]);
        await sync.call(handle);
      };
      handle.write = ((...parts: Parameters<typeof write>) => {
        note("write", args[0]);
        return write.apply(handle, parts);
      }) as typeof write;
      return handle;
    },
  };
});

afterEach(() => {
  trace.length = 0;
  failing = undefined;
});

function traced(dir: TempDir): string[] {
  const names = trace.map((line) =>
    line.replaceAll(dir.path, "").replace(/tmp\/[0-9a-f]{8}-\d+-[0-9a-f]+/g, "tmp/*"),
  );
  trace.length = 0;
  return names;
}

const bytes = Buffer.from("content");

describe("LocalBackend", () => {
  test("syncs the content before it has its name, the directory after, and new parents before that", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.in("repo"));
    await backend.create("packs/00/a", bytes);
    const parents = ["/repo", "/repo/tmp", "/repo/packs", "/repo/packs/00"];
    const above = ["", "/repo", "/repo", "/repo/packs"];
    const named = [
      "write /repo/tmp/*",
      "sync /repo/tmp/*",
      "link /repo/tmp/* /repo/packs/00/a",
      "unlink /repo/tmp/*",
      "sync /repo/packs/00",
    ];
    expect(traced(dir)).toEqual([
      ...parents.flatMap((path, i) => [`mkdir ${path}`, `sync ${above[i]}`]),
      ...named,
    ]);
    await backend.create("packs/00/b", bytes);
    expect(traced(dir)).toEqual(named.map((line) => line.replace(/a$/, "b")));
  });

  test("makes directories durable that it finds, for their maker may have died before doing so", async () => {
    using dir = tempDir();
    mkdirSync(dir.in("packs", "00"), { recursive: true });
    await new LocalBackend(dir.path).create("packs/00/a", bytes);
    expect(traced(dir).slice(0, 4)).toEqual(["mkdir /tmp", "sync ", "sync ", "sync /packs"]);
  });

  test("syncs what it replaces before, and the directory after; removes durably", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.path);
    await backend.replace("config", bytes);
    expect(traced(dir).slice(-4)).toEqual(["write /tmp/*", "sync /tmp/*", "rename /tmp/* /config", "sync "]);
    await backend.remove("config");
    expect(traced(dir)).toEqual(["unlink /config", "sync "]);
  });

  test("gives no name to what could not be synced, and does not trust a second sync", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.path);
    const writer = await backend.begin("a");
    await writer.append(bytes);
    failing = "sync";
    await expect(writer.commit()).rejects.toMatchObject({ code: "IO", context: { system: "EIO" } });
    await expect(writer.commit()).rejects.toMatchObject({ code: "IO" });
    await writer.abort();
    expect(await backend.size("a")).toBeUndefined();
    expect(traced(dir).filter((line) => line === "sync /tmp/*")).toHaveLength(1);
  });

  test.each(["link", "unlink"])(
    "finishes a commit whose %s failed when it is asked again",
    async (operation) => {
      using dir = tempDir();
      const backend = new LocalBackend(dir.path);
      const writer = await backend.begin("a");
      await writer.append(bytes);
      failing = operation;
      await expect(writer.commit()).rejects.toMatchObject({ code: "IO" });
      await writer.commit();
      expect(await backend.read("a", 100)).toEqual(bytes);
      expect(traced(dir).at(-1)).toBe("sync ");
    },
  );

  test("removes what could not be written", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.path);
    failing = "write";
    await expect(backend.create("a", bytes)).rejects.toMatchObject({ code: "IO" });
    expect(traced(dir).at(-1)).toBe("unlink /tmp/*");
    expect(await backend.size("a")).toBeUndefined();
  });
});

describe("durable files", () => {
  test("makeDirectories() syncs the parent of each new directory, and only of those", async () => {
    using dir = tempDir();
    await makeDirectories(nodeFileSystem, dir.in("a", "b"));
    expect(traced(dir)).toEqual(["mkdir /a", "sync ", "mkdir /a/b", "sync /a"]);
    await makeDirectories(nodeFileSystem, dir.in("a", "b"));
    expect(traced(dir)).toEqual([]);
  });

  test("createFile() syncs content, then names it, then syncs the directory", async () => {
    using dir = tempDir();
    await createFile(nodeFileSystem, dir.in("f"), bytes, { temporary: dir.in("t") });
    expect(traced(dir)).toEqual(["write /t", "sync /t", "link /t /f", "unlink /t", "sync "]);
  });
});
