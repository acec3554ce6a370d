/** Gives one held thing back, whoever took it and however far they came. What is not there is given back already. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { SUBVOLUME_INODE } from "../source/host/filesystems.ts";
import { parseMounts } from "../source/host/mounts.ts";
import { runningMasters } from "../source/host/running-master.ts";
import { OWN_SNAPSHOT_PREFIX } from "../source/own-snapshot.ts";
import { baseName, isWithin } from "../source/view.ts";
import { asArgument, commandFailed } from "./command.ts";
import type { HeldThing } from "./held.ts";
import type { CommandResult, SnapshotHost } from "./host.ts";
import { mastersOf } from "./quiesce-holders.ts";
import { asTyped } from "./quiesce-unit.ts";

/** Whoever read there has closed it by then: nine attempts, some 25 s. */
const BUSY_PAUSES_MS = [50, 100, 200, 500, 1000, 2000, 5000, 8000, 8000];
const BUSY = /busy|in use/i;
/** fsfreeze(8) of what is not frozen. */
const NOT_FROZEN = /invalid argument/i;
const NO_SUCH_VOLUME =
  /failed to find logical volume|volume group "[^"]*" not found|cannot process volume group/i;
/** openzfs 2.4, cmd/zfs/zfs_main.c: zfs_do_destroy; lib/libzfs/libzfs_util.c: zfs_standard_error_fmt. Busy: the same. */
const NO_SUCH_DATASET = /dataset does not exist|could not find any snapshots/i;

/** Between tries to start what runs. Nine seconds: a master that was told to end has ended, or does not. */
const RUNS_PAUSES_MS = [500, 500, 1000, 2000, 2000, 3000];

/** A start command that takes longer may be the server itself. */
const START_MS_USUAL = 15_000;

/** What every logical volume of ours is tagged with: another one is never removed. */
export const LVM_TAG = "cyrvault";

/** @throws {CyrvaultError} `SNAPSHOT_FAILED`: it is still held. */
export async function undo(thing: HeldThing, host: SnapshotHost): Promise<void> {
  switch (thing.kind) {
    case "mount":
      return await unmount(thing.at, host);
    case "directory":
      return await removeDirectory(thing.at, host);
    case "lvm-snapshot":
      return await removeLogicalVolume(`${thing.group}/${thing.name}`, host);
    case "btrfs-snapshot":
      return await deleteSubvolume(thing.at, host);
    case "zfs-snapshots":
      return await destroyAll(thing.names, host);
    case "command-view":
      return await mustDo(thing, thing.remove, host, { environment: thing.environment });
    case "stopped":
      return await startCyrus(thing, host);
    case "frozen":
      return await thaw(thing.at, host);
  }
}

/** For a person. */
export function describeHeld(thing: HeldThing): string {
  switch (thing.kind) {
    case "mount":
      return `the mount at ${toText(thing.at)}`;
    case "directory":
      return `the directory ${toText(thing.at)}`;
    case "lvm-snapshot":
      return `the logical volume ${thing.group}/${thing.name}`;
    case "btrfs-snapshot":
      return `the btrfs snapshot ${toText(thing.at)}`;
    case "zfs-snapshots":
      return `the ZFS snapshots ${thing.names.join(", ")}`;
    case "command-view":
      return "the view that --snapshot-command made";
    case "stopped":
      return "Cyrus, which is stopped";
    case "frozen":
      return `the frozen filesystem ${toText(thing.at)}`;
  }
}

async function unmount(at: ByteString, host: SnapshotHost): Promise<void> {
  const isMounted = () => parseMounts(host.facts().mountInfo).some(({ point }) => point === at);
  const argv = ["umount", asArgument(at)];
  await whileBusy(host, argv, async () => {
    if (!isMounted()) return undefined;
    const result = await host.run(argv);
    return result.exitCode === 0 || !isMounted() ? undefined : result;
  }).catch((error: unknown) => {
    throw withReaders(error, at, host);
  });
}

/** Who keeps a mount busy is what one asks next. */
function withReaders(error: unknown, at: ByteString, host: SnapshotHost): unknown {
  if (!(error instanceof CyrvaultError)) return error;
  const facts = host.facts();
  const readers = facts.processes.filter(({ pid }) =>
    facts.openFiles(pid)?.some((file) => isWithin(file, at)),
  );
  if (readers.length === 0) return error;
  const who = readers.map(({ pid, args }) => `${toText(args[0] ?? ("?" as ByteString))} (${pid})`).join(", ");
  return new CyrvaultError(error.code, `${error.message}; it is open in ${who}`, {
    context: error.context,
    cause: error,
  });
}

async function removeDirectory(at: ByteString, host: SnapshotHost): Promise<void> {
  if (host.facts().stat(at) === undefined) return;
  const argv = ["rmdir", asArgument(at)];
  const result = await host.run(argv);
  if (result.exitCode === 0 || host.facts().stat(at) === undefined) return;
  throw commandFailed(`cannot remove the directory ${toText(at)}`, argv, result);
}

async function removeLogicalVolume(volume: string, host: SnapshotHost): Promise<void> {
  const ask = ["lvs", "--noheadings", "--options", "lv_tags", volume];
  const argv = ["lvremove", "--yes", "--force", volume];
  await whileBusy(host, argv, async () => {
    const found = await host.run(ask);
    if (found.exitCode !== 0) {
      if (NO_SUCH_VOLUME.test(found.stderr)) return undefined;
      throw commandFailed(`cannot tell whether ${volume} is there`, ask, found);
    }
    if (!found.stdout.split(/[\s,]+/).includes(LVM_TAG)) {
      throw new CyrvaultError(
        "SNAPSHOT_FAILED",
        `${volume} does not carry the tag ${LVM_TAG}: it is not removed`,
      );
    }
    const result = await host.run(argv);
    return result.exitCode === 0 ? undefined : result;
  });
}

async function deleteSubvolume(at: ByteString, host: SnapshotHost): Promise<void> {
  // --commit-after: a power cut must not bring it back when it is no longer written down.
  const argv = ["btrfs", "subvolume", "delete", "--commit-after", asArgument(at)];
  await whileBusy(host, argv, async () => {
    const stat = host.facts().stat(at);
    if (stat === undefined) return undefined;
    if (
      stat.type !== "directory" ||
      stat.inode !== SUBVOLUME_INODE ||
      !baseName(at).startsWith(OWN_SNAPSHOT_PREFIX)
    )
      throw new CyrvaultError(
        "SNAPSHOT_FAILED",
        `${toText(at)} is no btrfs snapshot of ours: it is not removed`,
      );
    const result = await host.run(argv);
    return result.exitCode === 0 ? undefined : result;
  });
}

async function destroyAll(names: readonly string[], host: SnapshotHost): Promise<void> {
  for (const name of names) {
    // Without an @ that would be the dataset itself; with a % after it all its snapshots, with a comma several.
    if (!/^[^@#]+@cyrvault-[\w.:-]+$/.test(name))
      throw new CyrvaultError("SNAPSHOT_FAILED", `${name} is no ZFS snapshot of ours: it is not removed`);
    const argv = ["zfs", "destroy", name];
    await whileBusy(host, argv, async () => {
      const result = await host.run(argv);
      return result.exitCode === 0 || NO_SUCH_DATASET.test(result.stderr) ? undefined : result;
    });
  }
}

/**
 * What is wanted is that it runs. A command that only starts what does not run fails where somebody else has started it,
 * or where it was never stopped. One that is just ending must not be taken for one that serves: for a while it is asked
 * again, until it has started or there still is a master.
 */
async function startCyrus(thing: HeldThing & { kind: "stopped" }, host: SnapshotHost): Promise<void> {
  const runs = (): boolean => {
    const facts = host.facts();
    const { config } = thing;
    return (config === undefined ? runningMasters(facts.processes) : mastersOf(facts, config)).length > 0;
  };
  let ranBefore = runs();
  for (const pauseMs of [...RUNS_PAUSES_MS, undefined]) {
    // A server that it starts in the foreground serves for as long as it runs: ended, it would end that too.
    const result = await host.run(thing.start, {
      mayGoOn: { isEnough: runs, everyMs: START_MS_USUAL },
    });
    if (result.exitCode === 0 || result.isLeft === true) return;
    const isRunning = runs();
    if (pauseMs === undefined && isRunning) return;
    if (pauseMs === undefined || !(isRunning || ranBefore))
      throw commandFailed(
        `Cyrus is stopped, and \`${asTyped(thing.start)}\` did not start it`,
        thing.start,
        result,
      );
    ranBefore = isRunning;
    await host.sleep(pauseMs);
  }
}

async function thaw(at: ByteString, host: SnapshotHost): Promise<void> {
  // Frozen is what is mounted there: after a restart of the machine, or elsewhere, that may be nothing.
  if (host.facts().stat(at) === undefined) return;
  const argv = ["fsfreeze", "--unfreeze", asArgument(at)];
  const result = await host.run(argv);
  if (result.exitCode === 0 || NOT_FROZEN.test(result.stderr)) return;
  throw commandFailed(`cannot thaw ${toText(at)}`, argv, result);
}

async function mustDo(
  thing: HeldThing,
  argv: readonly string[],
  host: SnapshotHost,
  options: { readonly environment?: Readonly<Record<string, string>> },
): Promise<void> {
  const result = await host.run(argv, options);
  if (result.exitCode !== 0) throw commandFailed(`cannot give back ${describeHeld(thing)}`, argv, result);
}

/** @param attempt - answers undefined when it is done, else how the command failed. */
async function whileBusy(
  host: Pick<SnapshotHost, "sleep">,
  argv: readonly string[],
  attempt: () => Promise<CommandResult | undefined>,
): Promise<void> {
  for (const pauseMs of [...BUSY_PAUSES_MS, undefined]) {
    const failed = await attempt();
    if (failed === undefined) return;
    if (pauseMs === undefined || !BUSY.test(failed.stderr))
      throw commandFailed(`cannot give back ${argv.at(-1)}`, argv, failed);
    await host.sleep(pauseMs);
  }
}
