import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import type { CommandOptions, CommandResult, SnapshotHost } from "../../../src/snapshot/host.ts";
import type { HostFacts, HostStat } from "../../../src/source/host/host-facts.ts";
import { madeUpHost } from "../doctor/made-up-host.ts";

/** The process has been killed: nothing it does has an effect any more. */
export class Killed extends Error {}

export interface Fault {
  /** Which of the commands that change something, from 0. */
  readonly at: number;
  /** Whether it had its effect nevertheless. */
  readonly isDone: boolean;
  readonly kind: "fails" | "kills";
}

interface Volume {
  tags: string;
  attributes: string;
  bytes: number;
  pool: string;
  data: string;
  metadata: string;
}

/** A machine with LVM, btrfs and ZFS that understands the commands of the providers as the real ones do. */
export class Machine implements SnapshotHost {
  readonly commands: string[] = [];
  readonly volumes = new Map<string, Volume>();
  readonly mounts: { point: string; type: string; source: string; device: string; root: string }[] = [];
  readonly directories = new Map<string, HostStat>();
  readonly zfsSnapshots = new Set<string>();
  /** Why the next snapshots cannot be made or destroyed. */
  zfsProblem: string | undefined;
  fault: Fault | undefined;
  isKilled = false;
  /** So many times an unmount finds it busy. */
  busy = 0;
  slept = 0;
  freeBytes = 1e12;
  /** What the hook prints. */
  printed = "";
  hookState = "absent";
  hookEnvironment: Readonly<Record<string, string>> = {};
  #changes = 0;
  #inode = 1000n;

  volume(name: string, given: Partial<Volume> = {}): void {
    this.volumes.set(name, {
      tags: "",
      attributes: "-wi-ao----",
      bytes: 1e9,
      pool: "",
      data: "",
      metadata: "",
      ...given,
    });
  }

  mount(point: string, type: string, source: string, device: string, root = "/"): void {
    this.mounts.push({ point, type, source, device, root });
    this.directory(point);
  }

  directory(path: string, inode = this.#inode++): void {
    this.directories.set(path, { type: "directory", device: 1n, inode, uid: 0 });
  }

  facts(): HostFacts {
    if (this.isKilled) throw new Killed();
    const lines = this.mounts.map(
      ({ point, type, source, device, root }, at) =>
        `${30 + at} 1 ${device} ${root} ${point} rw - ${type} ${source} rw\n`,
    );
    return madeUpHost({
      mountInfo: fromText(lines.join("")),
      stat: (path) => this.directories.get(path),
      list: (path) =>
        this.directories.has(path) ||
        [...this.zfsSnapshots].some((name) => path.endsWith(name.split("@")[1] ?? "?"))
          ? []
          : undefined,
      deviceMapper: (device) => {
        const found = this.mounts.find((mount) => mount.device === device)?.source;
        const name = found === undefined ? undefined : /^\/dev\/mapper\/(.*)$/.exec(found)?.[1];
        return name === undefined ? undefined : { uuid: "LVM-x", name };
      },
    });
  }

  async run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    if (this.isKilled) throw new Killed();
    const line = argv.join(" ");
    this.commands.push(line);
    const [program = "", ...args] = argv;
    if (
      ["lvs", "vgs"].includes(program) ||
      line.startsWith("btrfs subvolume show") ||
      line.startsWith("btrfs subvolume list")
    )
      return this.#ask(program, args);
    const { fault } = this;
    if (fault === undefined || this.#changes++ !== fault.at) return this.#change(program, args, options);
    const result = fault.isDone ? this.#change(program, args, options) : undefined;
    if (fault.kind === "fails") return failure(1, `${program}: made to fail`);
    this.isKilled = true;
    throw new Killed(result?.stderr);
  }

  async sleep(ms: number): Promise<void> {
    this.slept += ms;
  }

  nowMs(): number {
    return 1_700_000_000_000 + this.slept;
  }

  #ask(program: string, args: readonly string[]): CommandResult {
    const last = args.at(-1) ?? "";
    if (program === "btrfs") return success(args[1] === "show" ? "/\n" : "");
    if (program === "vgs") return success(`  ${this.freeBytes}\n`);
    const volume = this.volumes.get(last);
    if (volume === undefined) return failure(5, `  Failed to find logical volume "${last}"`);
    if (args.includes("lv_tags")) return success(`  ${volume.tags}\n`);
    const { attributes, bytes, pool, data, metadata } = volume;
    return success(`  ${attributes}|${bytes}|${pool}|${data}|${metadata}\n`);
  }

  #change(program: string, args: readonly string[], { environment = {} }: CommandOptions): CommandResult {
    const last = args.at(-1) ?? "";
    const after = (option: string) => args[args.indexOf(option) + 1] ?? "";
    switch (program) {
      case "lvcreate": {
        const group = last.split("/")[0];
        const origin = this.volumes.get(last);
        if (origin === undefined) return failure(5, "no origin");
        const isThin = !args.includes("--size");
        this.volume(`${group}/${after("--name")}`, {
          tags: after("--addtag"),
          attributes: isThin ? "Vwi---tz-k" : "swi-a-s---",
          pool: isThin ? origin.pool : "",
          data: "0.00",
        });
        return success();
      }
      case "lvchange":
        return this.volumes.has(last) ? success() : failure(5, "Failed to find logical volume");
      case "lvremove":
        if (this.mounts.some(({ source }) => source === `/dev/${last}`))
          return failure(5, `Logical volume ${last} contains a filesystem in use.`);
        this.volumes.delete(last);
        return success();
      case "sync":
        return success();
      case "mkdir":
        this.directory(last);
        return success();
      case "rmdir":
        this.directories.delete(last);
        return success();
      case "mount":
        this.mount(last, after("-t"), args.at(-2) ?? "", "253:99");
        return success();
      case "umount": {
        if (this.busy > 0) {
          this.busy--;
          return failure(32, `umount: ${last}: target is busy.`);
        }
        const at = this.mounts.findIndex(({ point }) => point === last);
        if (at < 0) return failure(32, `umount: ${last}: not mounted.`);
        this.mounts.splice(at, 1);
        return success();
      }
      case "btrfs":
        if (args[1] === "snapshot") this.directory(last, 256n);
        else this.directories.delete(last);
        return success();
      case "zfs":
        return this.#zfs(args);
      case "/bin/sh":
        this.hookEnvironment = environment;
        this.hookState = last;
        return success(last === "make" ? this.printed : "");
      default:
        throw new Error(`nobody knows ${program} here`);
    }
  }

  /**
   * What the tool says and how it ends, from openzfs 2.4 (master of 2026-08-21): cmd/zfs/zfs_main.c, zfs_do_snapshot,
   * zfs_do_destroy, usage; lib/libzfs/libzfs_dataset.c, zfs_open, zfs_snapshot_nvl, zfs_destroy_snaps_nvl;
   * lib/libzfs/libzfs_util.c, zfs_standard_error_fmt, zfs_verror (`ACTION: WHY`).
   */
  #zfs([what, ...names]: readonly string[]): CommandResult {
    const lost = names
      .map((name) => name.split("@")[0] as string)
      .find((dataset) => !this.mounts.some(({ type, source }) => type === "zfs" && source === dataset));
    if (lost !== undefined) {
      const complaint = `cannot open '${lost}': dataset does not exist\n`;
      // zfs_do_snapshot tells how it is used then, and ends with 2; zfs_do_destroy does not.
      return what === "snapshot" ? failure(2, `${complaint}${ZFS_USAGE}`) : failure(1, complaint);
    }
    if (what === "snapshot") {
      const why = names.flatMap((name) => {
        const problem = this.zfsSnapshots.has(name) ? "dataset already exists" : this.zfsProblem;
        return problem === undefined ? [] : [`cannot create snapshot '${name}': ${problem}\n`];
      });
      if (why.length > 0)
        return failure(1, why.join("") + (names.length > 1 ? "no snapshots were created\n" : ""));
      for (const name of names) this.zfsSnapshots.add(name);
      return success();
    }
    const [name = ""] = names;
    if (!this.zfsSnapshots.has(name))
      return failure(1, "could not find any snapshots to destroy; check snapshot names.\n");
    if (this.zfsProblem !== undefined)
      return failure(1, `cannot destroy snapshot ${name}: ${this.zfsProblem}\n`);
    if (this.busy > 0) {
      this.busy--;
      return failure(1, `cannot destroy snapshot ${name}: dataset is busy\n`);
    }
    this.zfsSnapshots.delete(name);
    return success();
  }
}

const ZFS_USAGE = `usage:
\tsnapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...

For the property list, run: zfs set|get

For the delegated permission list, run: zfs allow|unallow

For further help on a command or topic, run: zfs help [<topic>]
${"\n".repeat(500)}`;

function success(stdout = ""): CommandResult {
  return { exitCode: 0, stdout, stderr: "", reason: undefined };
}

function failure(exitCode: number, stderr: string): CommandResult {
  return { exitCode, stdout: "", stderr, reason: undefined };
}

/** What a view is to be taken of. */
export function placesAt(...roots: readonly string[]): { roots: ByteString[]; ours: ByteString[] } {
  return { roots: roots.map(fromText), ours: [] };
}
