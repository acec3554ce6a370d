import { describe, expect, test } from "vitest";
import { LocalBackend } from "../../../src/backend/local.ts";
import { type Fault, SimulatedDisk } from "../../support/simulated-disk.ts";

const bytes = Buffer.from("content");

function on(disk: SimulatedDisk): LocalBackend {
  return new LocalBackend("/repo", { fileSystem: disk });
}

const failing =
  (...kinds: readonly string[]): Fault =>
  ({ kind, changes }) =>
    !changes && kinds.includes(kind) ? "EIO" : undefined;

describe("LocalBackend on a disk that fails", () => {
  test("has read what it has read, though the close fails", async () => {
    const disk = new SimulatedDisk();
    const backend = on(disk);
    await backend.create("a", bytes);
    disk.fault = failing("close");
    expect(await backend.read("a", 100)).toEqual(bytes);
    await backend.create("b", bytes);
    expect(await backend.remove("b")).toBe(true);
  });

  test("writes, though old unfinished files cannot be looked for", async () => {
    const disk = new SimulatedDisk();
    disk.fault = failing("list");
    await on(disk).create("a", bytes);
    disk.fault = ({ kind, path }) => (kind === "stat" && path.includes("/tmp/") ? "EIO" : undefined);
    await on(disk).create("b", bytes);
    disk.fault = () => undefined;
    expect([...disk.files().keys()].sort()).toEqual(["/repo/a", "/repo/b"]);
  });

  test("aborts a file that is being written to, and leaves nothing of it", async () => {
    const disk = new SimulatedDisk();
    const writer = await on(disk).begin("a");
    const append = writer.append(bytes);
    await Promise.all([writer.abort(), writer.abort(), append]);
    expect([...disk.files().keys()]).toEqual([]);
    const committed = await on(disk).begin("b");
    const commit = committed.commit();
    await Promise.all([committed.abort(), commit]);
    expect([...disk.files().keys()]).toEqual(["/repo/b"]);
  });
});
