import { expect, test } from "vitest";
import { KnownLinks } from "../../../src/backup/pipeline/known-links.ts";
import type { FileStat } from "../../../src/base/file-stat.ts";
import { asObjectId } from "../../../src/store/object.ts";

const STAT: FileStat = {
  mode: 0o100600,
  uid: 1,
  gid: 2,
  size: 3,
  mtimeNs: 4n,
  ctimeNs: 5n,
  inode: 6,
  links: 2,
};
const known = (fill: number) => ({
  id: asObjectId(Buffer.alloc(32, fill)),
  guid: Buffer.alloc(20, fill + 1),
});

test("a file is known as long as it is the same", () => {
  const links = new KnownLinks(4);
  links.remember("1:6", STAT, known(7));
  expect(links.find("1:6", { ...STAT })).toEqual(known(7));
  expect(links.find("1:6", { ...STAT, ctimeNs: 6n })).toBeUndefined();
  expect(links.find("2:6", STAT)).toBeUndefined();
});

test("what was found stays as it is when its place is given to another", () => {
  const links = new KnownLinks(1);
  links.remember("a", STAT, known(1));
  const found = links.find("a", STAT);
  links.remember("b", STAT, known(50));
  expect(found).toEqual(known(1));
});

test("the oldest is forgotten first, and a file remembered anew takes no second place", () => {
  const links = new KnownLinks(3);
  for (const key of ["a", "b", "c", "a"]) links.remember(key, STAT, known(key.charCodeAt(0)));
  expect(["a", "b", "c"].map((key) => links.find(key, STAT) !== undefined)).toEqual([true, true, true]);
  links.remember("d", STAT, known(3));
  expect(["a", "b", "c", "d"].map((key) => links.find(key, STAT) !== undefined)).toEqual([
    false,
    true,
    true,
    true,
  ]);
});
