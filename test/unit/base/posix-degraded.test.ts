import { closeSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import {
  listXattrs,
  lstatNs,
  posixCapabilities,
  renameNoReplace,
  setMtimeNs,
  syncFilesystem,
  tryLock,
} from "../../../src/base/posix.ts";
import { groupId, groupName, userId, userName } from "../../../src/base/posix-owners.ts";
import { tempDir } from "../../support/temp-dir.ts";

vi.mock("../../../src/base/posix-native.ts", () => ({
  nativeLibc: () => ({ libc: undefined, reason: "a test took it away" }),
}));

test("without the C library everything that is missing is said", () => {
  expect(posixCapabilities()).toEqual({
    nanosecondTimes: false,
    ofdLocks: false,
    xattrs: false,
    renameNoReplace: false,
    reason: "a test took it away",
  });
  expect(listXattrs(fromText("/"))).toBeUndefined();
  expect(renameNoReplace(fromText("/a"), fromText("/b"))).toBe("unsupported");
  expect(() => tryLock(0, "read")).toThrow(/no file locks: a test took it away/);
});

test("without the C library times are right to about a microsecond, also of symlinks, and access times stay", () => {
  using dir = tempDir();
  writeFileSync(dir.in("a"), "x");
  symlinkSync("a", dir.in("link"));
  for (const name of ["a", "link"])
    for (const ns of [1_700_000_000_123_456_789n, 0n, 86_400_000_000_001n]) {
      setMtimeNs(fromText(dir.in(name)), ns);
      const set = lstatNs(fromText(dir.in(name)))?.mtimeNs ?? 0n;
      expect(Math.abs(Number(set - ns))).toBeLessThan(1500);
    }
  expect(readFileSync(dir.in("link"), "utf8")).toBe("x");
});

test("without the C library names of owners come from getent", () => {
  expect([userName(0), userId("root"), groupName(0), groupId("root")]).toEqual(["root", 0, "root", 0]);
  expect([userName(4_000_000_001), userId("no-such-user"), userId("0")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("without the C library a filesystem is made durable by sync", () => {
  using dir = tempDir();
  const fd = openSync(dir.path, "r");
  syncFilesystem(fd);
  closeSync(fd);
});
