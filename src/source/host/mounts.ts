/** The mount table as values (proc(5), /proc/PID/mountinfo), and on which filesystem a path lies. */
import type { ByteString } from "../../base/byte-string.ts";
import { isWithin } from "../view.ts";

export interface Mount {
  readonly point: ByteString;
  /** `MAJOR:MINOR`; of btrfs, ZFS and network filesystems an anonymous one. */
  readonly device: string;
  readonly type: string;
  /** What of the filesystem is mounted: `/`, or the part that a bind mount shows; of btrfs the subvolume. */
  readonly root: ByteString;
  /** A device file, a dataset, `host:/export`. */
  readonly source: ByteString;
}

export function parseMounts(mountInfo: ByteString): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountInfo.split("\n")) {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [, , device, root, point] = fields;
    const type = fields[separator + 1];
    const source = fields[separator + 2];
    if (separator < 0 || device === undefined || root === undefined || point === undefined) continue;
    if (type === undefined || source === undefined) continue;
    mounts.push({
      device,
      root: unescapeField(root),
      point: unescapeField(point),
      type,
      source: unescapeField(source),
    });
  }
  return mounts;
}

/** The mount that hides the others: the deepest, of several at one place the last. */
export function mountOf(path: ByteString, mounts: readonly Mount[]): Mount | undefined {
  let best: Mount | undefined;
  for (const mount of mounts) {
    if (!isWithin(path, mount.point)) continue;
    if (best === undefined || mount.point.length >= best.point.length) best = mount;
  }
  return best;
}

function unescapeField(field: string): ByteString {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  ) as ByteString;
}
