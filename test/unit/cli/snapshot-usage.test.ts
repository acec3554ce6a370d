import { expect, test } from "vitest";
import type { BackupMode } from "../../../src/cli/backup-mode.ts";
import type { SnapshotGiven } from "../../../src/cli/snapshot-options.ts";
import { requireSnapshotUsage } from "../../../src/cli/snapshot-usage.ts";

const WRONG: [message: string, given: SnapshotGiven, mode?: BackupMode][] = [
  ["--snapshot-size goes with --snapshot lvm", { snapshot: "btrfs", snapshotSize: "5G" }],
  ["--snapshot-same-volume goes with --snapshot lvm", { snapshot: "none", snapshotSameVolume: true }],
  ["--snapshot-command goes with --snapshot command", { snapshotCommand: "make" }, "live"],
  ["--snapshot-remove goes with --snapshot command", { snapshot: "lvm", snapshotRemove: "remove" }],
  ["--stop-command goes with --quiesce stop", { stopCommand: "stop" }, "live"],
  ["--start-command goes with --quiesce stop", { quiesce: "freeze", startCommand: "start" }],
  ["--wait goes with --quiesce stop", { quiesce: "none", wait: "5m" }],
  ["--max-downtime goes with --quiesce stop or withlock", { snapshot: "btrfs", maxDowntime: "5m" }],
  ["--allow-torn goes with a tree", { snapshot: "btrfs", allowTorn: true }],
  ["--allow-torn goes with a tree", { quiesce: "stop", allowTorn: true }],
  ["--allow-torn goes with a tree", { allowTorn: true }, "live"],
];

test.each(WRONG.map(([message, given, mode = "snapshot"]) => ({ message, given, mode })))(
  "$message, and is wrong usage elsewhere: $mode $given",
  ({ message, given, mode }) => {
    expect(() => requireSnapshotUsage(mode, given)).toThrow(
      expect.objectContaining({ code: "USAGE", message: expect.stringContaining(message) }),
    );
  },
);

test("what says something is allowed", () => {
  requireSnapshotUsage("snapshot", { snapshot: "lvm", snapshotSize: "5G", snapshotSameVolume: true });
  requireSnapshotUsage("snapshot", { snapshot: "command", snapshotCommand: "a", snapshotRemove: "b" });
  requireSnapshotUsage("snapshot", { snapshot: "btrfs", wait: "5m" });
  requireSnapshotUsage("two-pass", { quiesce: "stop", wait: "5m", maxDowntime: "1m" });
  requireSnapshotUsage("snapshot", { snapshot: "none", quiesce: "none", allowTorn: true });
  requireSnapshotUsage("live", {});
});
