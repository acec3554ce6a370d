import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  createFile,
  makeDirectories,
  makeDirectory,
  replaceFile,
  syncDirectory,
  syncFile,
  writeAll,
} from "../../../src/base/durable.ts";
import { type PlaceMethod, placeNew } from "../../../src/base/durable-place.ts";
import { ioError } from "../../../src/base/io-error.ts";
import { nodeFileSystem } from "../../../src/base/node-file-system.ts";
import { tempDir } from "../../support/temp-dir.ts";

describe("makeDirectories()", () => {
  test("makes what is missing with the mode asked for, and takes what is there", async () => {
    using dir = tempDir();
    await makeDirectories(nodeFileSystem, dir.in("a", "b", "c"), 0o700);
    await makeDirectories(nodeFileSystem, dir.in("a", "b", "c"), 0o700);
    expect(statSync(dir.in("a", "b", "c")).mode & 0o777).toBe(0o700);
    await Promise.all([1, 2, 3, 4].map((n) => makeDirectories(nodeFileSystem, dir.in("x", "y", `${n % 2}`))));
    expect(readdirSync(dir.in("x", "y")).sort()).toEqual(["0", "1"]);
    symlinkSync("a", dir.in("link"));
    await makeDirectories(nodeFileSystem, dir.in("link", "d"));
    expect(readdirSync(dir.in("a")).sort()).toEqual(["b", "d"]);
  });

  test("fails where a file is in the way", async () => {
    using dir = tempDir();
    writeFileSync(dir.in("file"), "");
    await expect(makeDirectories(nodeFileSystem, dir.in("file"))).rejects.toMatchObject({ code: "IO" });
    await expect(makeDirectories(nodeFileSystem, dir.in("file", "below"))).rejects.toMatchObject({
      code: "IO",
    });
    symlinkSync("nowhere", dir.in("dangling"));
    await expect(makeDirectories(nodeFileSystem, dir.in("dangling", "below"))).rejects.toMatchObject({
      code: "IO",
    });
  });
});

test("makeDirectory() says whether it made it, and needs the parent", async () => {
  using dir = tempDir();
  expect(await makeDirectory(nodeFileSystem, dir.in("a"))).toBe(true);
  expect(await makeDirectory(nodeFileSystem, dir.in("a"))).toBe(false);
  await expect(makeDirectory(nodeFileSystem, dir.in("no", "a"))).rejects.toMatchObject({ code: "IO" });
});

describe("createFile() and replaceFile()", () => {
  test("write the content with the mode asked for and leave nothing else", async () => {
    using dir = tempDir();
    await createFile(nodeFileSystem, dir.in("new"), Buffer.from("new"), { mode: 0o640 });
    await replaceFile(nodeFileSystem, dir.in("replaced"), Buffer.from("1"));
    await replaceFile(nodeFileSystem, dir.in("replaced"), Buffer.from("2"), { temporary: dir.in("t") });
    expect(readFileSync(dir.in("new"), "utf8")).toBe("new");
    expect(readFileSync(dir.in("replaced"), "utf8")).toBe("2");
    expect(statSync(dir.in("new")).mode & 0o777).toBe(0o640);
    expect(statSync(dir.in("replaced")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir.path).sort()).toEqual(["new", "replaced"]);
  });

  test("refuse, and leave what was there and nothing else", async () => {
    using dir = tempDir();
    writeFileSync(dir.in("there"), "old");
    mkdirSync(dir.in("directory"));
    const bytes = Buffer.from("new");
    await expect(createFile(nodeFileSystem, dir.in("there"), bytes)).rejects.toMatchObject({
      code: "NAME_EXISTS",
    });
    await expect(createFile(nodeFileSystem, dir.in("directory"), bytes)).rejects.toMatchObject({
      code: "NAME_EXISTS",
    });
    await expect(replaceFile(nodeFileSystem, dir.in("directory"), bytes)).rejects.toMatchObject({
      code: "IO",
    });
    await expect(createFile(nodeFileSystem, dir.in("no", "file"), bytes)).rejects.toMatchObject({
      code: "IO",
    });
    expect(readFileSync(dir.in("there"), "utf8")).toBe("old");
    expect(readdirSync(dir.path).sort()).toEqual(["directory", "there"]);
  });
});

test("a full disk is NO_SPACE, whoever writes", async () => {
  const handle = await open("/dev/full", "w"); // every write to it fails with ENOSPC
  const failure = await writeAll(handle, Buffer.from("x")).catch((cause) => ioError("cannot write x", cause));
  await handle.close();
  expect(failure).toMatchObject({ code: "NO_SPACE", context: { system: "ENOSPC" } });
});

test("syncFile() and syncDirectory() fail on what is not there", async () => {
  using dir = tempDir();
  writeFileSync(dir.in("a"), "x");
  await syncFile(nodeFileSystem, dir.in("a"));
  await syncDirectory(nodeFileSystem, dir.path);
  await expect(syncFile(nodeFileSystem, dir.in("absent"))).rejects.toMatchObject({ code: "IO" });
});

describe.each<PlaceMethod>(["link", "rename", "claim"])("placeNew() by %s", (method) => {
  test("gives the name once and keeps the content of the first", async () => {
    using dir = tempDir();
    writeFileSync(dir.in("t1"), "first");
    writeFileSync(dir.in("t2"), "second");
    await placeNew(nodeFileSystem, dir.in("t1"), dir.in("name"), [method]);
    await expect(placeNew(nodeFileSystem, dir.in("t2"), dir.in("name"), [method])).rejects.toMatchObject({
      code: "NAME_EXISTS",
    });
    expect(readFileSync(dir.in("name"), "utf8")).toBe("first");
    expect(statSync(dir.in("name")).nlink).toBe(1);
    expect(readdirSync(dir.path).sort()).toEqual(["name", "t2"]);
  });

  test("does not replace a dangling symlink or an empty directory either", async () => {
    using dir = tempDir();
    symlinkSync("nowhere", dir.in("dangling"));
    mkdirSync(dir.in("directory"));
    writeFileSync(dir.in("t"), "");
    for (const name of ["dangling", "directory"])
      await expect(placeNew(nodeFileSystem, dir.in("t"), dir.in(name), [method])).rejects.toMatchObject({
        code: "NAME_EXISTS",
      });
  });

  test("gives it to one of twenty at once", async () => {
    using dir = tempDir();
    const attempts = [...Array(20).keys()].map(async (n) => {
      writeFileSync(dir.in(`t${n}`), String(n));
      try {
        await placeNew(nodeFileSystem, dir.in(`t${n}`), dir.in("name"), [method]);
        return n;
      } catch (error) {
        expect(error).toMatchObject({ code: "NAME_EXISTS" });
        return undefined;
      }
    });
    const winners = (await Promise.all(attempts)).filter((n) => n !== undefined);
    expect(winners).toHaveLength(1);
    expect(readFileSync(dir.in("name"), "utf8")).toBe(String(winners[0]));
  });

  test("fails when the temporary file has gone, and gives no name", async () => {
    using dir = tempDir();
    await expect(placeNew(nodeFileSystem, dir.in("t"), dir.in("name"), [method])).rejects.toMatchObject({
      code: "IO",
    });
    expect(readdirSync(dir.path)).toEqual([]);
  });
});

test("placeNew() by link takes its own name, linked before the answer was lost, for success", async () => {
  using dir = tempDir();
  writeFileSync(dir.in("t"), "x");
  linkSync(dir.in("t"), dir.in("name"));
  await placeNew(nodeFileSystem, dir.in("t"), dir.in("name"), ["link"]);
  expect(readdirSync(dir.path)).toEqual(["name"]);
});

test("placeNew() names the hint for a repository on two filesystems", async () => {
  using here = tempDir();
  writeFileSync(here.in("t"), "x");
  await expect(
    placeNew(nodeFileSystem, here.in("t"), join("/dev/shm", `cyrvault-test-${process.pid}`)),
  ).rejects.toMatchObject({
    code: "IO",
    hint: expect.stringContaining("one filesystem"),
  });
});
