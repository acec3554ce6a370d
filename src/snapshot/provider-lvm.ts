/** `--snapshot lvm`: one snapshot for each logical volume, mounted read-only beside the live filesystem. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Filesystem } from "../source/host/filesystems.ts";
import type { PathMapping } from "../source/view.ts";
import { asArgument, runOrThrow } from "./command.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import { isLost, type LogicalVolume, readFreeBytes, readLogicalVolume } from "./lvm-report.ts";
import type { Places, Provider, TakenView } from "./method.ts";
import { below, filesystemsFor, oursOn, refuseBindMount, viewThrough } from "./places.ts";
import { LVM_TAG } from "./undo.ts";

export interface LvmOptions {
  /** Of a snapshot that is not thin: bytes, or a share of the volume. */
  readonly size: { readonly bytes: number } | { readonly share: number };
  /** Repository and cache may lie on a volume of which a snapshot is taken. */
  readonly sameVolume: boolean;
  /** Of the names of the snapshots. */
  readonly stamp: string;
  /** Where they are mounted, each in a directory of its own. */
  readonly mountsBelow: ByteString;
}

/** A thin snapshot takes room from the pool from its first minute on. */
const POOL_PERCENT_MAX = 80;
/** What is written meanwhile may come faster than we look. */
const FULL_PERCENT = 95;
const EXTENT_SLACK_BYTES = 4 * 1024 * 1024;

interface PlannedSnapshot {
  readonly filesystem: Filesystem;
  readonly group: string;
  readonly origin: string;
  readonly name: string;
  /** undefined: thin. */
  readonly bytes: number | undefined;
  readonly pool: string | undefined;
  readonly at: ByteString;
}

export class LvmProvider implements Provider {
  readonly name = "lvm";
  readonly isFrozen = true;
  readonly #options: LvmOptions;
  readonly #host: SnapshotHost;
  #planned: readonly PlannedSnapshot[] = [];

  constructor(options: LvmOptions, host: SnapshotHost) {
    this.#options = options;
    this.#host = host;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const facts = this.#host.facts();
    const filesystems = filesystemsFor("lvm", places, facts);
    for (const { mount } of filesystems) refuseBindMount("lvm", mount);
    this.#refuseOurs(filesystems, places);
    const planned: PlannedSnapshot[] = [];
    const wanted = new Map<string, number>();
    for (const filesystem of oncePerVolume(filesystems)) {
      const { group, name: origin } = filesystem.volume ?? { group: "", name: "" };
      const volume = await readLogicalVolume(this.#host, group, origin);
      if (volume.pool !== undefined) await this.#requireRoomInPool(group, volume.pool);
      const bytes = volume.pool === undefined ? this.#sizeOf(volume) : undefined;
      wanted.set(group, (wanted.get(group) ?? 0) + (bytes ?? 0));
      const name = `cyrvault-${this.#options.stamp}-${planned.length + 1}`;
      const at = below(this.#options.mountsBelow, name);
      planned.push({ filesystem, group, origin, name, bytes, pool: volume.pool, at });
    }
    for (const [group, bytes] of wanted) if (bytes > 0) await this.#requireRoom(group, bytes);
    this.#planned = planned;
    return planned.map(
      ({ filesystem: { place, mount }, group, origin, name, bytes }) =>
        `a snapshot ${group}/${name} of ${group}/${origin} (${toText(place)}, ${mount.type}), ${bytes === undefined ? "thin" : gib(bytes)}`,
    );
  }

  async take(_places: Places, holdings: Holdings): Promise<TakenView> {
    const cutMs = this.#host.nowMs();
    // All of them first, and as close together as can be; mounting takes its time.
    for (const one of this.#planned) await this.#create(one, holdings);
    const mappings: PathMapping[] = [];
    for (const one of this.#planned) {
      await this.#mount(one, holdings);
      mappings.push({ from: one.filesystem.place, to: one.at });
    }
    return {
      ...viewThrough(mappings),
      cutMs,
      isAtomic: this.#planned.length === 1,
      torn: undefined,
      check: () => this.#check(),
    };
  }

  async #create({ group, origin, name, bytes }: PlannedSnapshot, holdings: Holdings): Promise<void> {
    const size = bytes === undefined ? [] : ["--size", `${bytes}b`];
    const what = `cannot take a snapshot of ${group}/${origin}`;
    const create = ["lvcreate", "--yes", "--snapshot", "--name", name, "--addtag", LVM_TAG, ...size];
    await holdings.hold({ kind: "lvm-snapshot", group, name }, async () => {
      await runOrThrow(this.#host, what, [...create, `${group}/${origin}`]);
      // LVM makes thin snapshots so that they are not activated by the way.
      if (bytes === undefined)
        await runOrThrow(this.#host, what, [
          "lvchange",
          "--activate",
          "y",
          "--ignoreactivationskip",
          `${group}/${name}`,
        ]);
    });
  }

  /**
   * Read-only for whoever reads, while the volume itself is writable: the filesystem's journal is replayed into the snapshot.
   * Without that (`norecovery`, `noload`) what is only in the journal would be missing. Of two XFS with one UUID the second needs `nouuid`.
   */
  async #mount(
    { filesystem: { mount }, group, name, at }: PlannedSnapshot,
    holdings: Holdings,
  ): Promise<void> {
    const what = `cannot mount the snapshot ${group}/${name}`;
    const options = ["ro", "nodev", "nosuid", "noexec", ...(mount.type === "xfs" ? ["nouuid"] : [])].join(
      ",",
    );
    const directory = asArgument(at);
    await holdings.hold({ kind: "directory", at }, () =>
      runOrThrow(this.#host, what, ["mkdir", "--parents", "--mode=0700", directory]),
    );
    await holdings.hold({ kind: "mount", at }, () =>
      runOrThrow(this.#host, what, [
        "mount",
        "-t",
        mount.type,
        "-o",
        options,
        `/dev/${group}/${name}`,
        directory,
      ]),
    );
  }

  async #check(): Promise<void> {
    for (const { group, name, pool } of this.#planned) {
      const snapshot = await readLogicalVolume(this.#host, group, name);
      if (isLost(snapshot)) throw lost(`the snapshot ${group}/${name} has overflowed`);
      if (pool === undefined) {
        const full = snapshot.dataPercent ?? 0;
        if (full >= FULL_PERCENT) throw lost(`the snapshot ${group}/${name} is ${full} % full`);
        continue;
      }
      const room = await readLogicalVolume(this.#host, group, pool);
      const full = fullest(room);
      if (isLost(room) || full >= FULL_PERCENT)
        throw lost(`the thin pool ${group}/${pool} is ${full} % full`);
    }
  }

  #refuseOurs(filesystems: readonly Filesystem[], { ours }: Places): void {
    if (this.#options.sameVolume) return;
    const devices = new Set(filesystems.map(({ mount }) => mount.device));
    const found = oursOn(devices, ours, this.#host.facts());
    if (found === undefined) return;
    throw new CyrvaultError(
      "USAGE",
      `${toText(found)} lies on a volume of which a snapshot would be taken: what the backup writes would fill that`,
      { hint: "put repository and cache elsewhere (--repo, --cache-dir), or say --snapshot-same-volume" },
    );
  }

  #sizeOf({ bytes }: LogicalVolume): number {
    const { size } = this.#options;
    return "bytes" in size
      ? size.bytes
      : Math.ceil((bytes * size.share) / EXTENT_SLACK_BYTES) * EXTENT_SLACK_BYTES;
  }

  async #requireRoom(group: string, bytes: number): Promise<void> {
    const free = await readFreeBytes(this.#host, group);
    if (free >= bytes) return;
    throw new CyrvaultError(
      "NO_SPACE",
      `the volume group ${group} has ${gib(free)} free, and the snapshots would take ${gib(bytes)}`,
      { hint: "make room, or give --snapshot-size: it must hold what is written while the backup reads" },
    );
  }

  async #requireRoomInPool(group: string, pool: string): Promise<void> {
    const full = fullest(await readLogicalVolume(this.#host, group, pool));
    if (full <= POOL_PERCENT_MAX) return;
    throw new CyrvaultError(
      "NO_SPACE",
      `the thin pool ${group}/${pool} is ${full} % full: with a snapshot it might run full, and the live filesystem with it`,
      { hint: `extend it (lvextend) to below ${POOL_PERCENT_MAX} %` },
    );
  }
}

/** A volume that is mounted at several places needs one snapshot for each mount point's mapping, which is the same one. */
function oncePerVolume(filesystems: readonly Filesystem[]): Filesystem[] {
  const seen = new Map<string, Filesystem>();
  for (const filesystem of filesystems) {
    const { device } = filesystem.mount;
    const other = seen.get(device);
    if (other !== undefined) {
      throw new CyrvaultError(
        "USAGE",
        `--snapshot lvm: ${filesystem.volume?.group}/${filesystem.volume?.name} is mounted at ${toText(other.place)} and at ${toText(filesystem.place)}`,
        { hint: "name the places in imapd.conf by one of them" },
      );
    }
    seen.set(device, filesystem);
  }
  return [...seen.values()];
}

function fullest({ dataPercent, metadataPercent }: LogicalVolume): number {
  return Math.max(dataPercent ?? 0, metadataPercent ?? 0);
}

function lost(why: string): CyrvaultError {
  return new CyrvaultError("SNAPSHOT_FAILED", `${why}: what is read from it cannot be trusted any more`, {
    hint: "give it more room (--snapshot-size, or the pool), or take it when less is written",
  });
}

function gib(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** Where snapshots are mounted: gone after a restart, as are the mounts. */
export const MOUNTS_BELOW = fromText("/run/cyrvault");
