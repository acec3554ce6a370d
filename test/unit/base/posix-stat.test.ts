import { lstatSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fromText, joinPath } from "../../../src/base/byte-string.ts";
import { lstatNs } from "../../../src/base/posix.ts";
import { nativeLibc } from "../../../src/base/posix-native.ts";
import { statNoFollow } from "../../../src/base/posix-stat.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

describe("statNoFollow()", () => {
  test("says of every kind of file what Node's lstat says", () => {
    mkdirSync(dir.in("directory"));
    writeFileSync(dir.in("file"), "12345");
    writeFileSync(dir.in("long ago"), "");
    utimesSync(dir.in("long ago"), -5.25, -100_000.75);
    writeFileSync(dir.in("in times to come"), "");
    utimesSync(dir.in("in times to come"), 2 ** 33, 2 ** 33);
    symlinkSync("nowhere", dir.in("link"));
    writeFileSync(dir.in("größe"), "x");
    const paths = [
      ...readdirSync(dir.path).map((name) => dir.in(name)),
      "/dev/null",
      "/proc/self",
      "/proc/self/status",
      "/",
      ...readdirSync("/dev").map((name) => `/dev/${name}`),
    ];
    for (const path of paths) {
      const { dev } = lstatSync(path, { bigint: true });
      const found = statNoFollow(fromText(path));
      expect(found?.device, path).toBe(dev);
      // Times of what belongs to the system may move between two looks.
      if (path.startsWith(dir.path)) expect(found?.stat, path).toEqual(lstatNs(fromText(path)));
      else expect(found?.stat.mode, path).toBe(Number(lstatSync(path).mode));
    }
    expect(nativeLibc().libc?.statx).toBeDefined();
  });

  test("answers undefined where there is nothing, and throws what Node throws", () => {
    writeFileSync(dir.in("file"), "");
    expect(statNoFollow(fromText(dir.in("no file")))).toBeUndefined();
    const longest = fromText(`${dir.path}/${"x".repeat(300)}`);
    expect(() => statNoFollow(longest)).toThrow(/ENAMETOOLONG/);
    expect(() => statNoFollow(joinPath(fromText(dir.path), fromText("./".repeat(3000))))).toThrow(
      /ENAMETOOLONG/,
    );
    expect(() => statNoFollow(fromText(`${dir.in("file")}\0x`))).toThrow();
  });
});
