/** Names of btrfs snapshots that backups take at the top of a mount, which may be the top of a root: nobody's data. */

export const OWN_SNAPSHOT_PREFIX = ".cyrvault-";
/** With `snapshotStamp` and a number. */
const OWN_SNAPSHOT = /^\.cyrvault-\d{8}-\d{6}-[0-9a-f]{4}-\d+$/;

/** Whoever else names something in a similar way keeps it in the backup. */
export function isOwnSnapshot(name: string): boolean {
  return OWN_SNAPSHOT.test(name);
}
