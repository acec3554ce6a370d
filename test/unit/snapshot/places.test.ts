import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { oursOn, placesOf, viewThrough } from "../../../src/snapshot/places.ts";
import { describeServer } from "../../../src/source/server.ts";
import { SourceView } from "../../../src/source/view.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { directory, madeUpHost, mountInfo } from "../doctor/made-up-host.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  for (const place of ["conf/lock", "spool/b", "meta", "disk2/a", "databases", "etc", "more"])
    mkdirSync(dir.in(place), { recursive: true });
  writeFileSync(dir.in("databases/mailboxes.db"), "");
  writeFileSync(
    dir.in("etc/imapd.conf"),
    [
      `configdirectory: ${dir.in("conf")}`,
      `partition-default: ${dir.in("spool")}`,
      `metapartition-default: ${dir.in("meta")}`,
      `mboxlist_db_path: ${dir.in("databases/mailboxes.db")}`,
      "",
    ].join("\n"),
  );
});
afterEach(() => dir.remove());

function places(mounts: readonly string[]) {
  const view = new SourceView(fromText("/"), []);
  const server = describeServer({
    view,
    config: fromText(dir.in("etc/imapd.conf")),
    includes: [fromText(dir.in("more"))],
    withSearch: false,
  });
  const facts = {
    mountInfo: mountInfo(["/", "ext4", "a"], ...mounts.map((at) => [at, "xfs", "b"] as const)),
  };
  return placesOf(view, server, facts, []).roots;
}

test("configuration, databases and metadata come before messages; what is only included need not be frozen", () => {
  expect(places([])).toEqual([
    dir.in("conf"),
    dir.in("meta"),
    dir.in("databases/mailboxes.db"),
    dir.in("spool"),
  ]);
});

test("what stands in holes below the roots is to be frozen too: filesystems, and where links lead", () => {
  symlinkSync(dir.in("disk2/a"), dir.in("spool/a"));
  symlinkSync(dir.in("meta"), dir.in("spool/known"));
  const found = places([
    dir.in("spool/b"),
    dir.in("conf/lock"),
    dir.in("spool/.zfs/snapshot/x"),
    dir.in("elsewhere"),
  ]);
  expect(found.slice(4)).toEqual([dir.in("spool/b"), dir.in("disk2/a")]);
});

test("the filesystem at the top is the root of the view, the others are mapped", () => {
  const [top, spool] = [
    { from: fromText("/"), to: fromText("/v/1") },
    { from: fromText("/spool"), to: fromText("/v/2") },
  ];
  expect(viewThrough([spool, top])).toEqual({ root: "/v/1", mappings: [spool] });
  expect(viewThrough([spool])).toEqual({ root: "/", mappings: [spool] });
});

test("a repository that is not made yet lies where it will be made", () => {
  const facts = madeUpHost({
    mountInfo: mountInfo(["/", "ext4", "a", "8:1"], ["/backup", "ext4", "b", "8:2"]),
    stat: (path) => (path === "/backup" || path === "/" ? directory(1) : undefined),
  });
  const ours = ["/var/cache/cyrvault", "/backup/new/repository"].map(fromText);
  expect(oursOn(new Set(["8:2"]), ours, facts)).toBe("/backup/new/repository");
  expect(oursOn(new Set(["8:3"]), ours, facts)).toBeUndefined();
});

test("a repository behind a link lies where that leads", () => {
  const mountInfo = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /spool rw - xfs /dev/sda2 rw\n";
  const facts = madeUpHost({
    mountInfo: fromText(mountInfo),
    stat: (path) => (path === "/backup" ? { type: "symlink", device: 1n, inode: 2n, uid: 0 } : undefined),
    realPath: (path) => (path === "/backup" ? fromText("/spool/backup") : undefined),
  });
  expect(oursOn(new Set(["8:2"]), [fromText("/backup/cyrus")], facts)).toBe("/backup/cyrus");
  expect(oursOn(new Set(["8:1"]), [fromText("/backup/cyrus")], facts)).toBeUndefined();
});
