/** On which filesystems the places of a server lie, and how each can be frozen. */
import { type ByteString, toText } from "../../base/byte-string.ts";
import { isWithin, parentOf } from "../view.ts";
import type { HostFacts, Space } from "./host-facts.ts";
import { type Mount, mountOf } from "./mounts.ts";

export type SnapshotMethod = "lvm" | "btrfs" | "zfs" | "none";

export interface Filesystem {
  /** Where it is mounted; of btrfs the subvolume, which is what can be frozen. */
  readonly place: ByteString;
  readonly mount: Mount;
  readonly method: SnapshotMethod;
  readonly volume: { readonly group: string; readonly name: string } | undefined;
  readonly space: Space | undefined;
  /** What of the server lies there. */
  readonly paths: readonly ByteString[];
}

/** @param paths - as on this machine. Those that lie on no known mount are left out. */
export function filesystemsOf(
  paths: readonly ByteString[],
  mounts: readonly Mount[],
  facts: Pick<HostFacts, "stat" | "space" | "deviceMapper">,
): Filesystem[] {
  const found = new Map<ByteString, Filesystem & { readonly paths: ByteString[] }>();
  for (const path of paths) {
    const mount = mountOf(path, mounts);
    if (mount === undefined) continue;
    const place = mount.type === "btrfs" ? subvolumeOf(path, mount.point, facts) : mount.point;
    const known = found.get(place);
    if (known !== undefined) {
      known.paths.push(path);
      continue;
    }
    const volume = logicalVolume(mount, facts);
    const method =
      mount.type === "btrfs" || mount.type === "zfs" ? mount.type : volume === undefined ? "none" : "lvm";
    found.set(place, { place, mount, method, volume, space: facts.space(place), paths: [path] });
  }
  return [...found.values()];
}

/** The top directory of a btrfs subvolume, and no other, has inode 256 (btrfs: BTRFS_FIRST_FREE_OBJECTID). */
export const SUBVOLUME_INODE = 256n;

function subvolumeOf(path: ByteString, point: ByteString, facts: Pick<HostFacts, "stat">): ByteString {
  for (let at = path; at !== point && isWithin(at, point); at = parentOf(at)) {
    const stat = facts.stat(at);
    if (stat?.type === "directory" && stat.inode === SUBVOLUME_INODE) return at;
  }
  return point;
}

/** The device mapper writes `group-volume`, and a hyphen within either as two. */
function logicalVolume(
  mount: Mount,
  facts: Pick<HostFacts, "deviceMapper">,
): { readonly group: string; readonly name: string } | undefined {
  const mapped = facts.deviceMapper(mount.device);
  if (mapped === undefined || !mapped.uuid.startsWith("LVM-")) return undefined;
  const match = /^((?:[^-]|--)+)-((?:[^-]|--)+)$/.exec(mapped.name);
  if (match === null) return undefined;
  const [, group = "", name = ""] = match;
  return { group: group.replaceAll("--", "-"), name: name.replaceAll("--", "-") };
}

export function describeFilesystem({ place, mount, method, space, paths }: Filesystem): object {
  return {
    mountPoint: toText(mount.point),
    place: toText(place),
    type: mount.type,
    source: toText(mount.source),
    snapshots: method,
    freeBytes: space?.freeBytes ?? null,
    totalBytes: space?.totalBytes ?? null,
    paths: paths.map(toText),
  };
}
