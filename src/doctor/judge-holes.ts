/** What is empty, or missing, in a snapshot of a root: other filesystems, subvolumes and symlinks below it. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { SUBVOLUME_INODE } from "../source/host/filesystems.ts";
import type { LookedBelow } from "../source/host/look-below.ts";
import { LEVELS, LISTINGS_MAX } from "../source/host/look-below.ts";
import type { Mount } from "../source/host/mounts.ts";
import type { ServerRoot } from "../source/roots.ts";
import { isWithin, type PathMapping, relativeTo } from "../source/view.ts";
import type { Check } from "./check.ts";

export interface HolesInput {
  readonly roots: readonly Pick<ServerRoot, "kind" | "path">[];
  readonly mounts: readonly Mount[];
  readonly below: LookedBelow;
  readonly mappings: readonly Pick<PathMapping, "from">[];
  /** What is read is a frozen view, not the live tree: then a hole is no longer a matter of caution. */
  readonly isMapped: boolean;
}

export interface Holes {
  readonly checks: readonly Check[];
  /** Places that need a snapshot and a mapping of their own. */
  readonly places: readonly ByteString[];
}

/** Of the configdirectory: nothing of it is kept. */
const RUNTIME = /^(lock|proc|socket|run|stats)(\/|$)/;

export function judgeHoles({ roots, mounts, below, mappings, isMapped }: HolesInput): Holes {
  const checks: Check[] = [];
  const places = new Set<ByteString>();
  const inRoot = (path: ByteString) =>
    roots.find((root) => root.kind !== "file" && isWithin(path, root.path));
  const isMappedAt = (path: ByteString) => mappings.some(({ from }) => from === path);
  const add = (code: "hole-mount" | "hole-subvolume", path: ByteString, what: string): void => {
    const root = inRoot(path);
    if (root === undefined || roots.some((one) => one.path === path)) return;
    if (places.has(path) || isMappedAt(path) || RUNTIME.test(relativeTo(path, root.path))) return;
    places.add(path);
    checks.push({
      code,
      severity: isMapped ? "error" : "warning",
      path: toText(path),
      message: `${toText(path)} is ${what} inside ${toText(root.path)}: a snapshot of that does not hold it`,
      advice: `freeze it too, and give --map ${toText(path)}=/where/it/is/frozen`,
    });
  };
  const filesystem = ({ type }: Mount) => `a filesystem of its own (${type})`;
  for (const mount of mounts) add("hole-mount", mount.point, filesystem(mount));
  for (const oddity of below.oddities) {
    const { kind, path } = oddity;
    if (kind === "unreadable") {
      checks.push({
        code: "root-unreadable",
        severity: "error",
        path: toText(path),
        message: oddity.message,
        advice: "run as root, or as the user that Cyrus runs as",
      });
    } else if (kind === "other-device") {
      const mount = mounts.find(({ point }) => point === path);
      if (mount !== undefined) add("hole-mount", path, filesystem(mount));
      else if (oddity.inode === SUBVOLUME_INODE) add("hole-subvolume", path, "a btrfs subvolume of its own");
      else add("hole-mount", path, "on another device");
    } else if (oddity.target === undefined) {
      checks.push({
        code: "hole-symlink",
        severity: isMapped ? "error" : "note",
        path: toText(path),
        message: `${toText(path)} is a symbolic link to nothing`,
        ...(isMapped
          ? { advice: "freeze the place it leads to, and give --map TARGET=/where/it/is/frozen" }
          : {}),
      });
    } else if (inRoot(oddity.target) === undefined) {
      const target = toText(oddity.target);
      if (mappings.some(({ from }) => isWithin(oddity.target as ByteString, from))) continue;
      if (oddity.otherDevice) places.add(oddity.target);
      checks.push({
        code: "hole-symlink",
        severity: oddity.otherDevice ? "warning" : "note",
        path: toText(path),
        message: `${toText(path)} is a symbolic link to ${target}, ${oddity.otherDevice ? "on another filesystem: a snapshot of the root does not hold it" : "outside the root, on the same filesystem"}`,
        advice: oddity.otherDevice
          ? `freeze that too, and give --map ${target}=/where/it/is/frozen`
          : `where --map names the root alone, give one for ${target} too`,
      });
    }
  }
  if (!below.whole) {
    checks.push({
      code: "walk-limited",
      severity: "note",
      message: `only the first ${LISTINGS_MAX} directories, ${LEVELS} levels deep, were looked at for links and subvolumes`,
      advice: "a backup looks at all of them, and refuses what its snapshot does not hold",
    });
  }
  return { checks, places: [...places] };
}
