import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { estimateFrom } from "../../../src/doctor/estimate.ts";
import { judgeRepository, judgeSnapshots, type Lair } from "../../../src/doctor/judge-storage.ts";
import { recommend } from "../../../src/doctor/recommend.ts";
import { filesystemsOf } from "../../../src/source/host/filesystems.ts";
import type { HostFacts } from "../../../src/source/host/host-facts.ts";
import { mountOf, parseMounts } from "../../../src/source/host/mounts.ts";
import { parseMapping } from "../../../src/source/view.ts";
import { directory, madeUpHost, mountInfo } from "./made-up-host.ts";

const GIB = 2 ** 30;
const REQUEST = {
  repository: "/backup",
  config: fromText("/etc/imapd.conf"),
  isDefaultConfig: true,
  root: fromText("/"),
  mappings: [],
};

/** Configuration and spool on two logical volumes with XFS. */
function lvmHost(vgs: string | undefined): HostFacts {
  return madeUpHost({
    mountInfo: mountInfo(
      ["/", "ext4", "/dev/sda1"],
      ["/var/lib/cyrus", "xfs", "/dev/mapper/vg0-cyrus--config", "253:0"],
      ["/var/spool/cyrus", "xfs", "/dev/mapper/vg0-spool", "253:1"],
    ),
    deviceMapper: (device) =>
      ({
        "253:0": { uuid: "LVM-a", name: "vg0-cyrus--config" },
        "253:1": { uuid: "LVM-b", name: "vg0-spool" },
      })[device],
    space: () => ({ freeBytes: 50 * GIB, totalBytes: 100 * GIB }),
    run: (program) => (program === "vgs" ? vgs : undefined),
  });
}

function filesystems(facts: HostFacts, ...paths: string[]) {
  return filesystemsOf(paths.map(fromText), parseMounts(facts.mountInfo), facts);
}

describe("LVM", () => {
  const paths = ["/var/lib/cyrus", "/var/spool/cyrus"];

  test("volumes are told by the device mapper, hyphens in names and all", () => {
    const found = filesystems(lvmHost(undefined), ...paths);
    expect(found.map(({ method, volume }) => [method, volume])).toEqual([
      ["lvm", { group: "vg0", name: "cyrus-config" }],
      ["lvm", { group: "vg0", name: "spool" }],
    ]);
  });

  test.each([
    [`  vg0 ${20 * GIB}\n`, "snapshot-space", "ok"],
    [`  vg0 ${10 * GIB}\n`, "snapshot-space", "warning"],
    [`  vg1 ${90 * GIB}\n`, "snapshot-space-unknown", "note"],
    [undefined, "snapshot-space-unknown", "note"],
  ])("vgs says %j: %s, %s", (vgs, code, severity) => {
    const facts = lvmHost(vgs);
    expect(judgeSnapshots(filesystems(facts, "/var/spool/cyrus"), facts)).toMatchObject([{ code, severity }]);
  });

  test("a view of both volumes is recommended, with Cyrus stopped for as long as that takes", () => {
    expect(recommend({ ...REQUEST, filesystems: filesystems(lvmHost(undefined), ...paths) })).toBe(
      "cyrvault backup --repo /backup --snapshot lvm --quiesce stop",
    );
  });

  test("an encrypted device of the device mapper is no volume", () => {
    const facts = {
      ...lvmHost(undefined),
      deviceMapper: () => ({ uuid: "CRYPT-LUKS2-x", name: "sda3-crypt" }),
    };
    expect(filesystems(facts, "/var/spool/cyrus").map(({ method }) => method)).toEqual(["none"]);
  });
});

describe("btrfs, ZFS and neither", () => {
  test("a nested subvolume is a place of its own", () => {
    const facts = madeUpHost({
      mountInfo: mountInfo(["/", "btrfs", "/dev/sda2", "0:25"]),
      stat: (path) => directory(1, path === "/var" ? 256 : 300),
      space: () => ({ freeBytes: GIB, totalBytes: 100 * GIB }),
    });
    const found = filesystems(facts, "/var/spool/cyrus", "/srv/meta");
    expect(found.map(({ place, method }) => [place, method])).toEqual([
      ["/var", "btrfs"],
      ["/", "btrfs"],
    ]);
    expect(judgeSnapshots(found, facts).map(({ severity }) => severity)).toEqual(["warning", "warning"]);
    expect(recommend({ ...REQUEST, filesystems: found })).toContain("--snapshot btrfs");
  });

  test("of ZFS, a view by ZFS", () => {
    const facts = madeUpHost({
      mountInfo: mountInfo(["/a", "zfs", "tank/a", "0:30"], ["/b", "zfs", "tank/b", "0:31"]),
    });
    expect(recommend({ ...REQUEST, filesystems: filesystems(facts, "/a/conf", "/b/spool") })).toContain(
      "--snapshot zfs",
    );
  });

  test("where one of them cannot be frozen, Cyrus is stopped for all of the backup", () => {
    const facts = madeUpHost({
      mountInfo: mountInfo(["/", "ext4", "/dev/sda1"], ["/spool", "zfs", "tank/s"]),
    });
    const found = filesystems(facts, "/var/lib/cyrus", "/spool/x");
    expect(judgeSnapshots(found, facts)).toMatchObject([
      { code: "no-snapshots", severity: "note", path: "/" },
    ]);
    expect(
      recommend({
        ...REQUEST,
        isDefaultConfig: false,
        config: fromText("/etc/my imapd.conf"),
        filesystems: found,
      }),
    ).toBe("cyrvault backup --repo /backup --config '/etc/my imapd.conf' --quiesce stop");
  });

  test("a backup that takes longer than Cyrus may be down reads twice; a list alone needs no stop", () => {
    const plain = madeUpHost({ mountInfo: mountInfo(["/", "ext4", "/dev/sda1"]) });
    const found = filesystems(plain, "/var/lib/cyrus");
    const line = (given: Partial<Parameters<typeof recommend>[0]>) =>
      recommend({ ...REQUEST, filesystems: found, ...given });
    expect(line({ seconds: 300 })).toBe("cyrvault backup --repo /backup --quiesce stop");
    expect(line({ seconds: 301 })).toBe("cyrvault backup --repo /backup --mode two-pass");
    expect(line({ needsCommands: true })).toBe(
      "cyrvault backup --repo /backup --quiesce stop --stop-command STOP --start-command START",
    );
    expect(line({ server: "mail 2" })).toBe(
      "cyrvault backup --repo /backup --server 'mail 2' --quiesce stop",
    );
    const only = "mailbox-list";
    expect(line({ only, needsCommands: true, seconds: 301 })).toBe(
      "cyrvault backup --repo /backup --only mailbox-list --mode live",
    );
    const zfs = filesystems(madeUpHost({ mountInfo: mountInfo(["/", "zfs", "t/a", "0:30"]) }), "/var");
    expect(line({ only, filesystems: zfs })).toBe(
      "cyrvault backup --repo /backup --only mailbox-list --snapshot zfs",
    );
    expect(line({ seconds: 301, filesystems: zfs })).toContain("--snapshot zfs --quiesce stop");
  });

  test("what is frozen already is only read", () => {
    const mappings = [parseMapping("/spool=/mnt/s")];
    expect(
      recommend({ ...REQUEST, root: fromText("/mnt/r"), mappings, repository: undefined, filesystems: [] }),
    ).toBe("cyrvault backup --repo REPOSITORY --root /mnt/r --map /spool=/mnt/s");
  });
});

test("of mounts at one place the last one counts, and a name that only begins alike does not", () => {
  const mounts = parseMounts(mountInfo(["/", "ext4", "a"], ["/spool", "ext4", "b"], ["/spool", "xfs", "c"]));
  expect(mountOf(fromText("/spool/x"), mounts)?.source).toBe("c");
  expect(mountOf(fromText("/spoolx"), mounts)?.source).toBe("a");
  expect(parseMounts(fromText("36 35 98:0 / /mnt\n\nnonsense - - -\n"))).toEqual([]);
});

describe("the repository", () => {
  const lair = (path: string, device: number, ...disks: string[]): Lair => ({
    path: fromText(path),
    device: BigInt(device),
    disks,
  });
  const server = [lair("/var/lib/cyrus", 1, "sda"), lair("/spool", 2, "sdb", "sdc")];

  test.each([
    ["on the spool's filesystem", lair("/spool/backup", 2, "sdb", "sdc"), "warning"],
    ["on another filesystem of one of its disks", lair("/backup", 3, "sdc"), "warning"],
    ["on another disk", lair("/backup", 3, "sdd"), "ok"],
  ])("%s", (_, repository, severity) => {
    expect(judgeRepository(repository, server, undefined, undefined)).toMatchObject([
      { code: "repository-same-disk", severity },
    ]);
  });

  test("where the disks are not known, nothing is said of them", () => {
    expect(judgeRepository(lair("/nfs", 9), server, undefined, undefined)).toEqual([]);
  });

  test.each([
    [GIB, "warning"],
    [50 * GIB, "note"],
    [90 * GIB, undefined],
  ])("%d bytes free for a first backup of 100 GiB: %s", (freeBytes, severity) => {
    const estimate = estimateFrom({ mailboxes: 10, sampled: 10, messages: 1000, bytes: 100 * GIB });
    const checks = judgeRepository(lair("/b", 9), server, { freeBytes, totalBytes: 999 * GIB }, estimate);
    expect(checks.map((check) => check.severity)).toEqual(severity === undefined ? [] : [severity]);
  });
});

test("an estimate is a range that says what it assumes, and nothing where no index was read", () => {
  const estimate = estimateFrom({ mailboxes: 2, sampled: 1, messages: 2000, bytes: 610e6 });
  expect(estimate).toMatchObject({
    firstBackupSeconds: { low: 10, high: 20 },
    restoreSeconds: { low: 7, high: 17 },
  });
  expect(estimate?.assumptions.length).toBeGreaterThan(2);
  expect(estimateFrom({ mailboxes: 2, sampled: 0, messages: 0, bytes: 0 })).toBeUndefined();
});
