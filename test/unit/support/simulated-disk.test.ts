import { describe, expect, test } from "vitest";
import { SimulatedDisk } from "../../support/simulated-disk.ts";

const text = (value: string) => Buffer.from(value);
const ALL = Number.POSITIVE_INFINITY;

async function write(disk: SimulatedDisk, path: string, content: string, sync: boolean): Promise<void> {
  const file = await disk.create(path, 0o600);
  await file.write(text(content), 0, content.length, null);
  if (sync) await file.sync();
  await file.close();
}

async function sync(disk: SimulatedDisk, path: string): Promise<void> {
  await (await disk.open(path)).sync();
}

function show(disk: SimulatedDisk): Record<string, string> {
  return Object.fromEntries([...disk.files()].map(([path, bytes]) => [path, bytes.toString("latin1")]));
}

/** All that some power cut leaves. */
function outcomes(disk: SimulatedDisk): Set<string> {
  const seeds = [...Array(200).keys()];
  return new Set(seeds.map((seed) => JSON.stringify(show(disk.cutAfter(ALL, seed).disk))));
}

describe("SimulatedDisk", () => {
  test("loses content that was not synced and names whose directory was not, or keeps them", async () => {
    const disk = new SimulatedDisk();
    await write(disk, "/a", "synced", true);
    await sync(disk, "/");
    await write(disk, "/b", "unnamed", true);
    await write(disk, "/c", "x", false);
    expect(show(disk.cutAfter(ALL, "nothing").disk)).toEqual({ "/a": "synced" });
    expect(show(disk.cutAfter(ALL, "everything").disk)).toEqual({
      "/a": "synced",
      "/b": "unnamed",
      "/c": "x",
    });
    const b = { "/a": "synced", "/b": "unnamed" };
    for (const some of [{ "/a": "synced" }, b, { ...b, "/c": "" }, { ...b, "/c": "\0" }, { ...b, "/c": "x" }])
      expect(outcomes(disk)).toContain(JSON.stringify(some));
  });

  test("loses a new directory with all in it when its own name was not synced", async () => {
    const disk = new SimulatedDisk();
    await disk.mkdir("/d", 0o700);
    await write(disk, "/d/a", "x", true);
    await sync(disk, "/d");
    expect(outcomes(disk)).toEqual(new Set(["{}", '{"/d/a":"x"}']));
    await sync(disk, "/");
    expect(outcomes(disk)).toEqual(new Set(['{"/d/a":"x"}']));
  });

  test("gives a replaced name the old content or the new, and may bring back what was removed", async () => {
    const disk = new SimulatedDisk();
    await write(disk, "/a", "old", true);
    await write(disk, "/gone", "x", true);
    await sync(disk, "/");
    await write(disk, "/new", "new", true);
    await disk.rename("/new", "/a");
    await disk.unlink("/gone");
    const found = [...outcomes(disk)].map((outcome) => JSON.parse(outcome) as Record<string, string>);
    expect(new Set(found.map((files) => files["/a"]))).toEqual(new Set(["old", "new"]));
    expect(new Set(found.map((files) => files["/gone"]))).toEqual(new Set(["x", undefined]));
  });

  test("tears what was not synced at the borders of sectors", async () => {
    const disk = new SimulatedDisk();
    const content = "s".repeat(512) + "t".repeat(512) + "u".repeat(10);
    await write(disk, "/a", content, false);
    await sync(disk, "/");
    const found = [...outcomes(disk)].map((outcome) => (JSON.parse(outcome) as { "/a": string })["/a"]);
    expect(found).toContain("s".repeat(512) + "\0".repeat(512) + "u".repeat(10));
    expect(found).toContain("\0".repeat(512) + "t".repeat(512) + "\0".repeat(10));
    expect(found.some((some) => some.length % 512 !== 0 && content.startsWith(some))).toBe(true);
  });

  test("shows the disk after each change, and what it left is durable", async () => {
    const disk = new SimulatedDisk();
    await write(disk, "/a", "12", false);
    expect(disk.changes.map(({ kind }) => kind)).toEqual(["create", "write"]);
    expect(show(disk.cutAfter(0, "everything").disk)).toEqual({});
    expect(show(disk.cutAfter(1, "everything").disk)).toEqual({ "/a": "" });
    const { disk: left } = disk.cutAfter(2, "everything");
    expect(left.changes).toEqual([]);
    expect(show(left.cutAfter(0, "nothing").disk)).toEqual({ "/a": "12" });
    await left.unlink("/a");
    expect(show(disk)).toEqual({ "/a": "12" });
  });

  test("fails where it is told to; half of a failing write is done", async () => {
    const disk = new SimulatedDisk();
    const file = await disk.create("/a", 0o600);
    disk.fault = ({ kind }) => (kind === "write" ? "ENOSPC" : undefined);
    await expect(file.write(text("1234"), 0, 4, null)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(show(disk)).toEqual({ "/a": "12" });
  });
});
