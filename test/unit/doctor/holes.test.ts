import { mkdirSync, symlinkSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { type HolesInput, judgeHoles } from "../../../src/doctor/judge-holes.ts";
import { type LookedBelow, lookBelow, type Oddity } from "../../../src/source/host/look-below.ts";
import { parseMounts } from "../../../src/source/host/mounts.ts";
import { parseMapping, SourceView } from "../../../src/source/view.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { mountInfo, root } from "./made-up-host.ts";

const ROOTS = [root("config", "/var/lib/cyrus"), root("partition", "/spool", "default")];

function below(...oddities: Oddity[]): LookedBelow {
  return { oddities, listed: 10, whole: true };
}

function judge(given: Partial<HolesInput>) {
  const mounts = parseMounts(mountInfo(["/", "ext4", "/dev/sda1"], ["/spool", "xfs", "/dev/sdb1", "8:17"]));
  return judgeHoles({ roots: ROOTS, mounts, below: below(), mappings: [], isMapped: false, ...given });
}

function link(target: string | undefined, otherDevice: boolean): LookedBelow {
  return below({
    kind: "symlink",
    path: fromText("/spool/a"),
    target: target === undefined ? undefined : fromText(target),
    otherDevice,
  });
}

describe("holes below a root", () => {
  test("a server without any says nothing", () => {
    expect(judge({})).toEqual({ checks: [], places: [] });
  });

  test("a filesystem mounted inside a root is one, and needs a mapping", () => {
    const mounts = parseMounts(
      mountInfo(["/spool", "xfs", "/dev/sdb1"], ["/spool/b\\040c", "xfs", "/dev/sdc1"]),
    );
    const { checks, places } = judge({ mounts });
    expect(checks).toMatchObject([{ code: "hole-mount", severity: "warning", path: "/spool/b c" }]);
    expect(places).toEqual(["/spool/b c"]);
    expect(judge({ mounts, mappings: [parseMapping("/spool/b c=/mnt/b")] }).checks).toEqual([]);
    expect(judge({ mounts, isMapped: true }).checks).toMatchObject([{ severity: "error" }]);
  });

  test("a filesystem in memory for locks is none", () => {
    const mounts = parseMounts(
      mountInfo(["/var/lib/cyrus/proc", "tmpfs", "tmpfs"], ["/var/lib/cyrusother", "xfs", "x"]),
    );
    expect(judge({ mounts }).checks).toEqual([]);
  });

  test("a nested btrfs subvolume is one", () => {
    const oddity: Oddity = { kind: "other-device", path: fromText("/spool/user"), inode: 256n };
    const { checks, places } = judge({ below: below(oddity) });
    expect(checks).toMatchObject([{ code: "hole-subvolume", severity: "warning", path: "/spool/user" }]);
    expect(places).toEqual(["/spool/user"]);
  });

  test("what is met on the walk and is in the mount table is named once", () => {
    const mounts = parseMounts(mountInfo(["/spool", "xfs", "/dev/sdb1"], ["/spool/b", "xfs", "/dev/sdc1"]));
    const oddity: Oddity = { kind: "other-device", path: fromText("/spool/b"), inode: 128n };
    expect(judge({ mounts, below: below(oddity) }).checks.map(({ code }) => code)).toEqual(["hole-mount"]);
  });

  test("a symlink to another disk is one, with the place it leads to", () => {
    const { checks, places } = judge({ below: link("/disk2/a", true) });
    expect(checks).toMatchObject([{ code: "hole-symlink", severity: "warning", path: "/spool/a" }]);
    expect(checks[0]?.advice).toContain("--map /disk2/a=");
    expect(places).toEqual(["/disk2/a"]);
  });

  test("a symlink on the same filesystem is a note, one into a root or into a mapping nothing", () => {
    expect(judge({ below: link("/srv/a", false) }).checks).toMatchObject([{ severity: "note" }]);
    expect(judge({ below: link("/spool/other", false) }).checks).toEqual([]);
    expect(
      judge({ below: link("/disk2/a", true), mappings: [parseMapping("/disk2=/mnt/2")] }).checks,
    ).toEqual([]);
  });

  test("a symlink to nothing is an error in a snapshot only", () => {
    expect(judge({ below: link(undefined, false) }).checks).toMatchObject([{ severity: "note" }]);
    expect(judge({ below: link(undefined, false), isMapped: true }).checks).toMatchObject([
      { severity: "error" },
    ]);
  });

  test("what this user may not list is an error, and a walk that was cut short is said", () => {
    const oddity: Oddity = {
      kind: "unreadable",
      path: fromText("/spool/x"),
      message: "cannot list /spool/x: EACCES",
    };
    const { checks } = judge({ below: { ...below(oddity), whole: false } });
    expect(checks.map(({ code, severity }) => [code, severity])).toEqual([
      ["root-unreadable", "error"],
      ["walk-limited", "note"],
    ]);
  });
});

test("the walk finds links to directories, where they lead, and those to nothing", () => {
  using dir = tempDir();
  for (const name of ["spool/d/user", "disk2/a"]) mkdirSync(dir.in(name), { recursive: true });
  symlinkSync(dir.in("disk2/a"), dir.in("spool/d/a"));
  symlinkSync("gone", dir.in("spool/d/user/b"));
  // Mail on its way is not part of a backup.
  mkdirSync(dir.in("spool/stage."));
  symlinkSync("gone", dir.in("spool/stage./x"));
  const found = lookBelow(new SourceView(fromText("/"), []), [root("partition", dir.in("spool"), "default")]);
  expect(found).toEqual({
    listed: 3,
    whole: true,
    oddities: [
      { kind: "symlink", path: dir.in("spool/d/a"), target: dir.in("disk2/a"), otherDevice: false },
      { kind: "symlink", path: dir.in("spool/d/user/b"), target: undefined, otherDevice: false },
    ],
  });
});
