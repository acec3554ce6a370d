import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, test } from "vitest";
import { LocalBackend } from "../../../src/backend/local.ts";
import { temporaryName } from "../../../src/backend/local-temporary.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

const bytes = Buffer.from("content");

describe("LocalBackend", () => {
  test("makes nothing by opening and reading", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.in("absent"));
    expect(await backend.read("cyrvault.json", 100)).toBeUndefined();
    expect(await list(backend)).toEqual([]);
    await backend.close();
    expect(existsSync(dir.in("absent"))).toBe(false);

    mkdirSync(dir.in("there"));
    utimesSync(dir.in("there"), 1000, 1000);
    const there = new LocalBackend(dir.in("there"));
    expect(await there.size("cyrvault.json")).toBeUndefined();
    expect(await there.remove("cyrvault.json")).toBe(false);
    expect(await list(there)).toEqual([]);
    expect(statSync(dir.in("there")).mtimeMs).toBe(1_000_000);
  });

  test("lets nobody else in: files 0600, directories 0700", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.in("repo"));
    await backend.create("packs/00/a", bytes);
    await backend.replace("config", bytes);
    for (const path of ["packs/00/a", "config"]) expect(mode(dir, path)).toBe(0o600);
    for (const path of ["", "packs", "packs/00", "tmp"]) expect(mode(dir, path)).toBe(0o700);
  });

  test("lists only what can be its own", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.in("repo"));
    await backend.create("packs/00/a", bytes);
    for (const directory of ["index", "lost+found", ".snapshots"]) {
      mkdirSync(dir.in("repo", directory));
      writeFileSync(dir.in("repo", directory, "000001.ldb"), "x");
    }
    writeFileSync(dir.in("repo", "packs", ".hidden"), "x");
    writeFileSync(dir.in("repo", "packs", "with space"), "x");
    symlinkSync("nowhere", dir.in("repo", "packs", "dangling"));
    expect(await list(backend)).toEqual(["packs/00/a"]);
  });

  test("follows a symlink to a directory that holds a part of it", async () => {
    using dir = tempDir();
    mkdirSync(dir.in("elsewhere"));
    mkdirSync(dir.in("repo"));
    symlinkSync(dir.in("elsewhere"), dir.in("repo", "packs"));
    const backend = new LocalBackend(dir.in("repo"));
    await backend.create("packs/00/a", bytes);
    expect(readFileSync(dir.in("elsewhere", "00", "a"))).toEqual(bytes);
    expect(await list(backend)).toEqual(["packs/00/a"]);
  });

  test("fails where a file is in the way of a directory, and succeeds once it is gone", async () => {
    using dir = tempDir();
    mkdirSync(dir.in("repo"));
    writeFileSync(dir.in("repo", "packs"), "");
    const backend = new LocalBackend(dir.in("repo"));
    await expect(backend.create("packs/00/a", bytes)).rejects.toMatchObject({ code: "IO" });
    await expect(backend.read("packs/00/a", 100)).rejects.toMatchObject({ code: "IO" });
    expect(await backend.remove("packs")).toBe(true);
    await backend.create("packs/00/a", bytes);
    expect(await backend.read("packs/00/a", 100)).toEqual(bytes);
  });

  test("clears away unfinished files of dead processes a day later, at its first write", async () => {
    using dir = tempDir();
    const tmp = dir.in("repo", "tmp");
    mkdirSync(tmp, { recursive: true });
    const mine = temporaryName();
    const dead = mine.replace(/-\d+-/, "-4194399-"); // beyond the kernel's largest process id
    const otherHost = `0${mine.slice(1)}`.replace(/^0(.)/, (_, c) => (c === "0" ? "01" : "00"));
    const claim = `claim-${"a".repeat(32)}`;
    const young = temporaryName().replace(/-\d+-/, "-4194399-");
    for (const name of [mine, dead, otherHost, claim, young, "not-ours"])
      writeFileSync(dir.in("repo", "tmp", name), "x");
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
    for (const name of [mine, dead, otherHost, claim, "not-ours"])
      utimesSync(dir.in("repo", "tmp", name), twoDaysAgo, twoDaysAgo);

    const backend = new LocalBackend(dir.in("repo"));
    expect(await list(backend)).toEqual([]);
    expect(readdirSync(tmp)).toHaveLength(6);
    await backend.create("a", bytes);
    expect(readdirSync(tmp).sort()).toEqual([mine, young, "not-ours"].sort());
  });

  test("finishes a commit that failed half way when it is asked again", async () => {
    using dir = tempDir();
    const backend = new LocalBackend(dir.in("repo"));
    const writer = await backend.begin("packs/a");
    await writer.append(bytes);
    renameSync(dir.in("repo", "packs"), dir.in("repo", "away"));
    await expect(writer.commit()).rejects.toMatchObject({ code: "IO" });
    renameSync(dir.in("repo", "away"), dir.in("repo", "packs"));
    await writer.commit();
    expect(await backend.read("packs/a", 100)).toEqual(bytes);
    expect(readdirSync(dir.in("repo", "tmp"))).toEqual([]);
  });

  test("takes overlapping calls of one writer, and an append after commit, for bugs", async () => {
    using dir = tempDir();
    const writer = await new LocalBackend(dir.path).begin("a");
    const first = writer.append(bytes);
    await expect(writer.append(bytes)).rejects.toThrow(/overlap/);
    await first;
    await writer.commit();
    await expect(writer.append(bytes)).rejects.toThrow(TypeError);
  });

  test("fails when its place is not writable", async () => {
    const backend = new LocalBackend("/proc/cyrvault-test");
    await expect(backend.create("a", bytes)).rejects.toMatchObject({ code: "IO" });
  });
});

function mode(dir: TempDir, path: string): number {
  return statSync(dir.in("repo", path)).mode & 0o777;
}

async function list(backend: LocalBackend): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of backend.list("")) names.push(name);
  return names.sort();
}
