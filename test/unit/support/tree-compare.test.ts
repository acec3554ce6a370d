import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { compareTrees, readTree } from "../../support/tree-compare.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "cyrvault-tree-"));
});

afterEach(() => rmSync(root, { recursive: true }));

function build(name: string): string {
  const top = join(root, name);
  mkdirSync(join(top, "d/empty"), { recursive: true });
  writeFileSync(join(top, "d/a"), "one");
  linkSync(join(top, "d/a"), join(top, "d/b"));
  writeFileSync(join(top, "d/c"), "two");
  symlinkSync("c", join(top, "d/s"));
  writeFileSync(Buffer.concat([Buffer.from(`${top}/d/`), Buffer.from([0xff, 0xfe])]), "odd name");
  settle(top);
  return top;
}

function settle(top: string): void {
  for (const path of ["d/a", "d/c", "d/empty", "d", "."])
    utimesSync(join(top, path), 1_500_000_000, 1_500_000_000);
  utimesSync(Buffer.concat([Buffer.from(`${top}/d/`), Buffer.from([0xff, 0xfe])]), 1, 1);
}

const notSymlinkTimes = (lines: string[]) => lines.filter((line) => !line.startsWith("d/s: mtime"));

test("two trees built the same way are equal, except for the time of a symlink that nobody set", () => {
  expect(notSymlinkTimes(compareTrees(readTree(build("x")), readTree(build("y"))))).toEqual([]);
});

test.each<[string, (top: string) => void, RegExp]>([
  ["a missing file", (top) => rmSync(join(top, "d/c")), /^d\/c: missing$/],
  [
    "a missing empty directory",
    (top) => rmSync(join(top, "d/empty"), { recursive: true }),
    /^d\/empty: missing$/,
  ],
  ["one more file", (top) => writeFileSync(join(top, "d/new"), ""), /^d\/new: was not there$/],
  ["other content of the same size", (top) => writeFileSync(join(top, "d/c"), "owt"), /^d\/c: content is/],
  ["another mode", (top) => chmodSync(join(top, "d/c"), 0o600), /^d\/c: mode is 600, was 644$/],
  ["another time of a file", (top) => utimesSync(join(top, "d/c"), 1, 1), /^d\/c: mtime/],
  ["another time of a directory", (top) => utimesSync(join(top, "d/empty"), 1, 1), /^d\/empty: mtime/],
  [
    "a hard link that became a copy",
    (top) => {
      rmSync(join(top, "d/b"));
      writeFileSync(join(top, "d/b"), "one");
    },
    /^d\/b: first name of the same file is d\/b, was d\/a$/,
  ],
  [
    "a symlink that leads elsewhere",
    (top) => {
      rmSync(join(top, "d/s"));
      symlinkSync("a", join(top, "d/s"));
    },
    /^d\/s: target is a, was c$/,
  ],
  [
    "a file where a directory was",
    (top) => {
      rmSync(join(top, "d/empty"), { recursive: true });
      writeFileSync(join(top, "d/empty"), "");
    },
    /^d\/empty: type is file, was directory$/,
  ],
])("%s is a difference", (_, change, line) => {
  const before = readTree(build("x"));
  const other = build("y");
  change(other);
  expect(compareTrees(before, readTree(other))).toContainEqual(expect.stringMatching(line));
});

test("another owner is a difference", () => {
  const before = readTree(build("x"));
  const entry = before.get("d/c");
  if (entry === undefined) throw new Error("the tree lacks d/c");
  const after = new Map(before).set("d/c", { ...entry, gid: entry.gid + 1 });
  expect(compareTrees(before, after)).toEqual([
    `d/c: owner is ${entry.uid}:${entry.gid + 1}, was ${entry.uid}:${entry.gid}`,
  ]);
});

test("what is ignored is ignored with all below it, and other names of a linked file still count", () => {
  const before = readTree(build("x"));
  const other = build("y");
  rmSync(join(other, "d/empty"), { recursive: true });
  rmSync(join(other, "d/a"));
  settleAfterRemoval(other);
  const ignore = (path: string) => path === "d/empty" || path === "d/a";
  expect(notSymlinkTimes(compareTrees(before, readTree(other), { ignore }))).toEqual([]);
});

function settleAfterRemoval(top: string): void {
  utimesSync(join(top, "d/b"), 1_500_000_000, 1_500_000_000);
  utimesSync(join(top, "d"), 1_500_000_000, 1_500_000_000);
  utimesSync(top, 1_500_000_000, 1_500_000_000);
}
