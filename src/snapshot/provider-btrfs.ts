/** `--snapshot btrfs`: a read-only snapshot of each subvolume. A snapshot does not reach into subvolumes inside: each gets its own. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { SUBVOLUME_INODE } from "../source/host/filesystems.ts";
import type { Mount } from "../source/host/mounts.ts";
import { isOwnSnapshot, OWN_SNAPSHOT_PREFIX } from "../source/own-snapshot.ts";
import { baseName, isWithin, relativeTo } from "../source/view.ts";
import { asArgument, runOrThrow } from "./command.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Provider, TakenView } from "./method.ts";
import { below, describeMount, filesystemsFor, viewThrough } from "./places.ts";

interface PlannedSnapshot {
  readonly from: ByteString;
  readonly at: ByteString;
}

export class BtrfsProvider implements Provider {
  readonly name = "btrfs";
  readonly isFrozen = true;
  readonly #host: SnapshotHost;
  readonly #stamp: string;
  #planned: readonly PlannedSnapshot[] = [];

  /** @param stamp - of the names of the snapshots. */
  constructor(host: SnapshotHost, stamp: string) {
    this.#host = host;
    this.#stamp = stamp;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const facts = this.#host.facts();
    const found = new Map<ByteString, Mount>();
    for (const { place, mount } of filesystemsFor("btrfs", places, facts)) {
      if (facts.stat(place)?.inode !== SUBVOLUME_INODE) {
        throw new CyrvaultError(
          "USAGE",
          `--snapshot btrfs: ${toText(place)} is no subvolume, but a part of one`,
          {
            hint: `${describeMount(mount)} is a bind mount: name the places in imapd.conf by where the subvolume is mounted`,
          },
        );
      }
      found.set(place, mount);
    }
    for (const [place, mount] of found)
      for (const nested of await this.#nestedIn(place, places))
        if (!found.has(nested)) found.set(nested, mount);
    // Whatever holds the snapshots goes first: it must not hold the empty place of one that is already there.
    const order = [...found].sort(([a, inA], [b, inB]) => Number(b === inB.point) - Number(a === inA.point));
    this.#planned = order.map(([from, mount], at) => ({
      from,
      at: below(mount.point, `${OWN_SNAPSHOT_PREFIX}${this.#stamp}-${at + 1}`),
    }));
    return this.#planned.map(({ from, at }) => `a snapshot ${toText(at)} of the subvolume ${toText(from)}`);
  }

  async take(_places: Places, holdings: Holdings): Promise<TakenView> {
    const cutMs = this.#host.nowMs();
    for (const { from, at } of this.#planned) {
      const argv = ["btrfs", "subvolume", "snapshot", "-r", asArgument(from), asArgument(at)];
      await holdings.hold({ kind: "btrfs-snapshot", at }, () =>
        runOrThrow(this.#host, `cannot take a snapshot of ${toText(from)}`, argv),
      );
    }
    return {
      ...viewThrough(this.#planned.map(({ from, at }) => ({ from, to: at }))),
      cutMs,
      isAtomic: this.#planned.length === 1,
      torn: undefined,
      check: async () => {
        const gone = this.#planned.find(({ at }) => this.#host.facts().stat(at) === undefined);
        if (gone === undefined) return;
        throw new CyrvaultError(
          "SNAPSHOT_FAILED",
          `the snapshot ${toText(gone.at)} has been deleted meanwhile`,
        );
      },
    };
  }

  /** Subvolumes below `place`, at any depth, that lie in a root. */
  async #nestedIn(place: ByteString, places: Places): Promise<ByteString[]> {
    const what = `cannot list the subvolumes in ${toText(place)}`;
    const shown = await runOrThrow(this.#host, what, ["btrfs", "subvolume", "show", asArgument(place)]);
    // `/` or `<FS_TREE>` for the one at the top, by version.
    const first = shown.split("\n")[0]?.trim() ?? "";
    const own = (first === "/" || first === "<FS_TREE>" ? "" : first.replace(/^\//, "")) as ByteString;
    const listed = await runOrThrow(this.#host, what, [
      "btrfs",
      "subvolume",
      "list",
      "-o",
      asArgument(place),
    ]);
    const nested: ByteString[] = [];
    for (const line of listed.split("\n")) {
      // `<FS_TREE>/` precedes it where a version says from where it counts.
      const path = / path (?:<FS_TREE>\/)?(.+)$/.exec(line)?.[1] as ByteString | undefined;
      if (path === undefined || (own !== "" && !isWithin(path, own))) continue;
      const inside = own === "" ? path : relativeTo(path, own);
      const at = joinPath(place, inside);
      if (inside === "" || isOwnSnapshot(baseName(at))) continue;
      if (!places.roots.some((root) => isWithin(at, root) || isWithin(root, at))) continue;
      nested.push(at, ...(await this.#nestedIn(at, places)));
    }
    return nested;
  }
}
