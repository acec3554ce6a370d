/** Options that say something only together with others: what would be passed over in silence is wrong usage. */
import { CyrvaultError } from "../base/errors.ts";
import type { BackupMode } from "./backup-mode.ts";
import type { SnapshotGiven } from "./snapshot-options.ts";

/** @param mode - with what it brings along itself in `given`. @throws {CyrvaultError} `USAGE`. */
export function requireSnapshotUsage(mode: BackupMode, given: SnapshotGiven): void {
  const snapshot = given.snapshot ?? "none";
  const quiesce = given.quiesce ?? "none";
  const isAsItIs = snapshot === "none" && quiesce === "none" && mode === "snapshot";
  const isOneByOne = quiesce === "none" && (snapshot === "lvm" || snapshot === "btrfs");
  const rules: readonly (readonly [option: string, value: unknown, isFor: boolean, what: string])[] = [
    ["--snapshot-size", given.snapshotSize, snapshot === "lvm", "--snapshot lvm"],
    ["--snapshot-same-volume", given.snapshotSameVolume, snapshot === "lvm", "--snapshot lvm"],
    ["--snapshot-command", given.snapshotCommand, snapshot === "command", "--snapshot command"],
    ["--snapshot-remove", given.snapshotRemove, snapshot === "command", "--snapshot command"],
    ["--stop-command", given.stopCommand, quiesce === "stop", "--quiesce stop"],
    ["--start-command", given.startCommand, quiesce === "stop", "--quiesce stop"],
    ["--wait", given.wait, quiesce === "stop" || isOneByOne, "--quiesce stop, and --snapshot lvm or btrfs"],
    [
      "--max-downtime",
      given.maxDowntime,
      quiesce === "stop" || quiesce === "withlock",
      "--quiesce stop or withlock",
    ],
    [
      "--allow-torn",
      given.allowTorn,
      isAsItIs,
      "a tree that is read as it is: without --snapshot, --quiesce and --mode",
    ],
  ];
  for (const [option, value, isFor, what] of rules)
    if (value !== undefined && !isFor) throw new CyrvaultError("USAGE", `${option} goes with ${what}`);
}
