import { fromText } from "../../../src/base/byte-string.ts";
import type { Places, Provider } from "../../../src/snapshot/method.ts";
import { BtrfsProvider } from "../../../src/snapshot/provider-btrfs.ts";
import { CommandProvider } from "../../../src/snapshot/provider-command.ts";
import { LvmProvider } from "../../../src/snapshot/provider-lvm.ts";
import { ZfsProvider } from "../../../src/snapshot/provider-zfs.ts";
import { Machine, placesAt } from "./machine.ts";

export interface Site {
  readonly machine: Machine;
  readonly provider: Provider;
  readonly places: Places;
  /** How many commands change something until the view is taken. */
  readonly steps: number;
  /** What of ours is on the machine. */
  readonly left: () => readonly string[];
}

const STAMP = "20261122-031500-3f2a";

/** A server on each kind of storage, with its configuration on one filesystem and its mail on another. */
export const SITES: Readonly<Record<"lvm" | "lvm-thin" | "btrfs" | "zfs" | "command", () => Site>> = {
  lvm: () => lvmSite({}),
  "lvm-thin": () => lvmSite({ pool: "pool", attributes: "Vwi-aotz--" }),
  btrfs: () => {
    const machine = new Machine();
    machine.mount("/var/lib/cyrus", "btrfs", "/dev/sda2", "0:30", "/conf");
    machine.mount("/var/spool/cyrus", "btrfs", "/dev/sda2", "0:31", "/spool");
    machine.directory("/var/lib/cyrus", 256n);
    machine.directory("/var/spool/cyrus", 256n);
    return site(machine, new BtrfsProvider(machine, STAMP), 2);
  },
  zfs: () => {
    const machine = new Machine();
    machine.mount("/var/lib/cyrus", "zfs", "tank/conf", "0:40");
    machine.mount("/var/spool/cyrus", "zfs", "tank/spool", "0:41");
    return site(machine, new ZfsProvider(machine, STAMP), 1);
  },
  command: () => {
    const machine = new Machine();
    machine.mount("/", "ext4", "/dev/sda1", "8:1");
    machine.directory("/mnt/view");
    machine.printed = "/var=/mnt/view\n";
    return site(machine, new CommandProvider({ make: "make", remove: "remove", stamp: STAMP }, machine), 1);
  },
};

function lvmSite(volume: { readonly pool?: string; readonly attributes?: string }): Site {
  const machine = new Machine();
  machine.mount("/var/lib/cyrus", "ext4", "/dev/mapper/vg0-conf", "253:0");
  machine.mount("/var/spool/cyrus", "xfs", "/dev/mapper/vg0-spool", "253:1");
  machine.volume("vg0/conf", volume);
  machine.volume("vg0/spool", volume);
  machine.volume("vg0/pool", { attributes: "twi-aotz--", data: "40.00", metadata: "10.00" });
  const size = { share: 0.15 };
  const mountsBelow = fromText("/run/cyrvault");
  const provider = new LvmProvider({ size, sameVolume: false, stamp: STAMP, mountsBelow }, machine);
  return site(machine, provider, volume.pool === undefined ? 6 : 8);
}

function site(machine: Machine, provider: Provider, steps: number): Site {
  const left = () => [
    ...[...machine.volumes.keys(), ...machine.directories.keys()].filter((name) =>
      name.includes("cyrvault-"),
    ),
    ...machine.mounts.map(({ point }) => point).filter((point) => point.includes("cyrvault-")),
    ...machine.zfsSnapshots,
    ...(machine.hookState === "make" ? ["the command's view"] : []),
  ];
  return { machine, provider, places: placesAt("/var/lib/cyrus", "/var/spool/cyrus"), steps, left };
}
