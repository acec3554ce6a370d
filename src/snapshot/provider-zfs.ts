/** `--snapshot zfs`: one `zfs snapshot` for all datasets of a pool, which is one moment; read through `.zfs/snapshot`. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Mount } from "../source/host/mounts.ts";
import { asArgument, runOrThrow } from "./command.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Provider, TakenView } from "./method.ts";
import { filesystemsFor, refuseBindMount, viewThrough } from "./places.ts";

interface PlannedPool {
  readonly pool: string;
  readonly mounts: readonly Mount[];
  /** `pool/dataset@name` each. */
  readonly names: readonly string[];
}

export class ZfsProvider implements Provider {
  readonly name = "zfs";
  readonly isFrozen = true;
  readonly #host: SnapshotHost;
  readonly #name: string;
  #pools: readonly PlannedPool[] = [];

  /** @param stamp - of the names of the snapshots. */
  constructor(host: SnapshotHost, stamp: string) {
    this.#host = host;
    this.#name = `cyrvault-${stamp}`;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const byPool = new Map<string, Mount[]>();
    for (const { mount } of filesystemsFor("zfs", places, this.#host.facts())) {
      refuseBindMount("zfs", mount);
      const pool = mount.source.split("/")[0] as string;
      byPool.set(pool, [...(byPool.get(pool) ?? []), mount]);
    }
    this.#pools = [...byPool].map(([pool, mounts]) => ({
      pool,
      mounts,
      names: mounts.map(({ source }) => `${asArgument(source)}@${this.#name}`),
    }));
    return this.#pools.map(({ names }) => `zfs snapshot ${names.join(" ")}`);
  }

  async take(_places: Places, holdings: Holdings): Promise<TakenView> {
    const cutMs = this.#host.nowMs();
    for (const { pool, names } of this.#pools) {
      await holdings.hold({ kind: "zfs-snapshots", names }, () =>
        runOrThrow(this.#host, `cannot take snapshots in the pool ${pool}`, ["zfs", "snapshot", ...names]),
      );
    }
    const mappings = this.#pools.flatMap(({ mounts }) =>
      mounts.map(({ point }) => ({ from: point, to: this.#placeOf(point) })),
    );
    const check = async () => {
      for (const { to } of mappings) this.#look(to);
    };
    await check();
    return { ...viewThrough(mappings), cutMs, isAtomic: this.#pools.length === 1, torn: undefined, check };
  }

  /** There also where `snapdir` is hidden: that only keeps it from listings. Not where it is disabled (openzfs 2.3). */
  #placeOf(point: ByteString): ByteString {
    return joinPath(point, `.zfs/snapshot/${this.#name}` as ByteString);
  }

  /** ZFS mounts it when somebody looks in, and takes the mount away after five minutes in which nobody has. */
  #look(at: ByteString): void {
    if (this.#host.facts().list(at) !== undefined) return;
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      `cannot look into ${toText(at)}: it is not mounted, or no longer there`,
      {
        hint: "in a container, .zfs/snapshot cannot be read: take the snapshot on the machine that has the pool; with snapdir=disabled nobody can (`zfs set snapdir=hidden`)",
      },
    );
  }
}
