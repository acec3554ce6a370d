/** Room for snapshots, and where the repository lies. */
import { type ByteString, toText } from "../base/byte-string.ts";
import type { Filesystem } from "../source/host/filesystems.ts";
import type { HostFacts, Space } from "../source/host/host-facts.ts";
import type { Check } from "./check.ts";
import type { Estimate } from "./estimate.ts";

/** Of the volume: what a snapshot gets, and what should be free for it. */
const SNAPSHOT_SHARE = 0.15;
const FREE_SHARE_MIN = 0.05;

export function judgeSnapshots(filesystems: readonly Filesystem[], facts: Pick<HostFacts, "run">): Check[] {
  const checks: Check[] = [];
  const groups = filesystems.some(({ method }) => method === "lvm") ? freeByGroup(facts) : undefined;
  for (const { place, mount, method, volume, space } of filesystems) {
    const path = toText(place);
    if (method === "none") {
      checks.push({
        code: "no-snapshots",
        severity: "note",
        path,
        message: `${path} (${mount.type} on ${toText(mount.source)}) is neither on LVM nor btrfs nor ZFS: nothing here can freeze it`,
        advice:
          "stop Cyrus for as long as the backup reads, or take a snapshot in the storage or virtual machine below: --snapshot command, or --root and --map",
      });
    } else if (method === "lvm" && volume !== undefined) {
      const free = groups?.get(volume.group);
      if (free === undefined) {
        checks.push({
          code: "snapshot-space-unknown",
          severity: "note",
          path,
          message: `how much room volume group ${volume.group} has for a snapshot of ${path} is not known: vgs is absent, or not for this user`,
          advice: "run as root",
        });
      } else if (space !== undefined) {
        const wanted = space.totalBytes * SNAPSHOT_SHARE;
        checks.push(
          room(
            path,
            free,
            wanted,
            `volume group ${volume.group} has ${gib(free)} free, and a snapshot of ${path} may take ${gib(wanted)}`,
            "make room in the volume group, or stop Cyrus for as long as the backup reads (a thin volume needs room in its pool instead)",
          ),
        );
      }
    } else if (space !== undefined) {
      const wanted = space.totalBytes * FREE_SHARE_MIN;
      checks.push(
        room(
          path,
          space.freeBytes,
          wanted,
          `${path} has ${gib(space.freeBytes)} free, from which a snapshot grows while mail changes`,
          "make room before snapshots are kept",
        ),
      );
    }
  }
  return checks;
}

function room(path: string, free: number, wanted: number, message: string, advice: string): Check {
  return free < wanted
    ? { code: "snapshot-space", severity: "warning", path, message, advice }
    : { code: "snapshot-space", severity: "ok", path, message };
}

/** vgs(8) asks, and changes nothing. */
function freeByGroup(facts: Pick<HostFacts, "run">): Map<string, number> | undefined {
  const text = facts.run("vgs", ["--noheadings", "--units", "b", "--nosuffix", "-o", "vg_name,vg_free"]);
  if (text === undefined) return undefined;
  const groups = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^\s*(\S+)\s+(\d+)\s*$/.exec(line);
    if (match !== null) groups.set(match[1] as string, Number(match[2]));
  }
  return groups;
}

/** Where something lies: two things that share a device or a disk are lost together. */
export interface Lair {
  readonly path: ByteString;
  readonly device: bigint;
  readonly disks: readonly string[];
}

export function judgeRepository(
  repository: Lair,
  server: readonly Lair[],
  space: Space | undefined,
  estimate: Estimate | undefined,
): Check[] {
  const path = toText(repository.path);
  const beside = server.find(({ device }) => device === repository.device);
  const shared = server.find(({ disks }) => disks.some((disk) => repository.disks.includes(disk)));
  const checks: Check[] = [];
  if (beside !== undefined || shared !== undefined) {
    const what = beside === undefined ? "disk" : "filesystem";
    checks.push({
      code: "repository-same-disk",
      severity: "warning",
      path,
      message: `the repository ${path} is on the same ${what} as ${toText((beside ?? shared)?.path ?? repository.path)}: what destroys one destroys both`,
      advice: "put the repository, or a copy of it, on another disk, better on another machine",
    });
  } else if (repository.disks.length > 0 && server.every(({ disks }) => disks.length > 0)) {
    checks.push({
      code: "repository-same-disk",
      severity: "ok",
      path,
      message: `the repository ${path} is on other disks than the server`,
    });
  }
  if (estimate !== undefined && space !== undefined && space.freeBytes < estimate.storedBytes.high) {
    checks.push({
      code: "repository-space",
      severity: space.freeBytes < estimate.storedBytes.low ? "warning" : "note",
      path,
      message: `${gib(space.freeBytes)} are free at the repository; a first backup may take ${gib(estimate.storedBytes.low)} to ${gib(estimate.storedBytes.high)}`,
      advice: "`cyrvault analyze` tells more exactly what it will take",
    });
  }
  return checks;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
