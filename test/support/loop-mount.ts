/** A filesystem in a file, mounted: real btrfs and XFS for tests. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** What keeps this machine from it; undefined: nothing. */
export function loopMountMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "only root mounts";
  if (!existsSync("/dev/loop-control")) return "there are no loop devices";
  for (const program of ["mkfs.btrfs", "mkfs.xfs", "fsfreeze"])
    if (!["/usr/sbin", "/usr/bin", "/sbin", "/bin"].some((place) => existsSync(join(place, program))))
      return `${program} is missing: apt-get install btrfs-progs xfsprogs util-linux`;
  return undefined;
}

/** @returns where it is mounted, until the test that made it ends. `image` is beside it. */
export function mountImage(directory: string, type: "btrfs" | "xfs", megabytes: number) {
  const image = join(directory, `${type}.image`);
  const at = join(directory, type);
  writeFileSync(image, "");
  truncateSync(image, megabytes * 1024 * 1024);
  execFileSync(`mkfs.${type}`, ["-q", image]);
  mkdirSync(at);
  execFileSync("mount", ["-o", "loop", image, at]);
  onTestFinished(() => {
    execFileSync("umount", [at]);
  });
  return { at, image };
}
