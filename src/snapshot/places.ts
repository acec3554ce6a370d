/** What has to lie in the view: the roots of a server, and what stands in holes below them. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { type Filesystem, filesystemsOf } from "../source/host/filesystems.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { lookBelow } from "../source/host/look-below.ts";
import { type Mount, mountOf, parseMounts } from "../source/host/mounts.ts";
import type { ServerDescription } from "../source/server.ts";
import {
  isWithin,
  normalise,
  type PathMapping,
  parentOf,
  relativeTo,
  type SourceView,
} from "../source/view.ts";
import type { Places, TakenView } from "./method.ts";

/** Of the configdirectory: nothing of it is kept. */
const RUNTIME = /^(lock|proc|socket|run|stats)(\/|$)/;
/** Mounted there by ZFS when somebody looks in. */
const ZFS_SNAPSHOTS = "/.zfs/snapshot/";

/**
 * In the order in which they are best taken where that cannot be done at once: the configdirectory and metadata before
 * messages, so that each message an index names is there.
 *
 * @param server - as it is seen live. @param ours - where the repository, if it is a directory here, and our cache lie.
 */
export function placesOf(
  view: SourceView,
  { roots, layout }: Pick<ServerDescription, "roots" | "layout">,
  facts: Pick<HostFacts, "mountInfo">,
  ours: readonly ByteString[],
): Places {
  const places = new Set<ByteString>();
  const databases = new Set(Object.values(layout.databases).map(({ path }) => path));
  // What `--include` names need not lie where the mail does: it is read live then.
  const directories = roots.filter(({ kind }) => kind !== "file" && kind !== "include");
  const isMessages = (kind: string) => kind === "partition" || kind === "archivepartition";
  for (const root of roots)
    if (!isMessages(root.kind) && (directories.includes(root) || databases.has(root.logicalPath)))
      places.add(root.realPath);
  for (const root of directories) places.add(root.realPath);
  const within = (path: ByteString) => directories.find((root) => isWithin(path, root.realPath));
  for (const { point } of parseMounts(facts.mountInfo)) {
    if (point.includes(ZFS_SNAPSHOTS)) continue;
    const root = within(point);
    if (root !== undefined && !RUNTIME.test(relativeTo(point, root.realPath))) places.add(point);
  }
  for (const oddity of lookBelow(view, roots).oddities) {
    if (oddity.kind !== "symlink" || oddity.target === undefined) continue;
    const target = view.locate(oddity.target);
    if (within(target) === undefined) places.add(target);
  }
  return { roots: [...places], ours };
}

/** The filesystems that hold them, each once, in the same order. @throws {CyrvaultError} `USAGE`: the method cannot freeze one of them. */
export function filesystemsFor(
  method: "lvm" | "btrfs" | "zfs",
  { roots }: Places,
  facts: HostFacts,
): readonly Filesystem[] {
  const found = filesystemsOf(roots, parseMounts(facts.mountInfo), facts);
  for (const { mount, method: possible, paths } of found) {
    if (possible === method) continue;
    const [path] = paths;
    throw new CyrvaultError(
      "USAGE",
      `--snapshot ${method}: ${toText(path ?? mount.point)} lies on ${describeMount(mount)}, which ${WHY[method]}`,
      { hint: "`cyrvault doctor` says what this machine can do" },
    );
  }
  const known = found.flatMap(({ paths }) => paths);
  const lost = roots.find((path) => !known.includes(path));
  if (lost !== undefined)
    throw new CyrvaultError(
      "USAGE",
      `--snapshot ${method}: it is not known on which filesystem ${toText(lost)} lies`,
    );
  return found;
}

const WHY = {
  lvm: "is no logical volume itself (encryption, RAID or a loop device upon one is not looked through)",
  btrfs: "is not btrfs",
  zfs: "is not ZFS",
} as const;

export function describeMount({ type, source, point }: Mount): string {
  return `${toText(point)} (${type} on ${toText(source)})`;
}

/**
 * A mount of a part of a filesystem hides where in it that part lies.
 * @throws {CyrvaultError} `USAGE`
 */
export function refuseBindMount(method: string, mount: Mount): void {
  if (mount.root === "/") return;
  throw new CyrvaultError(
    "USAGE",
    `--snapshot ${method}: ${describeMount(mount)} is a bind mount of ${toText(mount.root)} in that filesystem`,
    {
      hint: "name the places in imapd.conf by where the filesystem itself is mounted, or use --snapshot command",
    },
  );
}

/** The view in which each of `mappings` replaces its place; that of `/` is the root. */
export function viewThrough(mappings: readonly PathMapping[]): Pick<TakenView, "root" | "mappings"> {
  const root = mappings.find(({ from }) => from === "/")?.to ?? ("/" as ByteString);
  return { root, mappings: mappings.filter(({ from }) => from !== "/") };
}

/** Which of ours lies on one of these devices (`MAJOR:MINOR`). It need not exist yet. */
export function oursOn(
  devices: ReadonlySet<string>,
  ours: readonly ByteString[],
  facts: HostFacts,
): ByteString | undefined {
  const mounts = parseMounts(facts.mountInfo);
  return ours.find((path) => {
    const existing = realPlaceOf(path, facts);
    const mount = mountOf(existing, mounts);
    return mount !== undefined && devices.has(mount.device);
  });
}

/** Of what exists of a path, links followed: by whatever name it is given, it lies where it lies. */
function realPlaceOf(path: ByteString, facts: HostFacts): ByteString {
  let existing = normalise(path);
  while (existing !== "/" && facts.stat(existing) === undefined) existing = parentOf(existing);
  return facts.realPath?.(existing) ?? existing;
}

/** `20261122-031500-3f2a`: for names of snapshots, which people and clean-up jobs read. */
export function snapshotStamp(nowMs: number, random: string): string {
  const time = new Date(nowMs)
    .toISOString()
    .slice(0, 19)
    .replaceAll("-", "")
    .replaceAll(":", "")
    .replace("T", "-");
  return `${time}-${random}`;
}

export function below(directory: ByteString, name: string): ByteString {
  return joinPath(directory, name as ByteString);
}
