/**
 * A directory that held no message when the survey came by was none of a mailbox to it: on a live server the first
 * message may have come since. So each mailbox gets all its directories that are there.
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { lstatSource } from "../source/read-file.ts";
import { holdsMailboxes, type ServerRoot } from "../source/roots.ts";
import type { MailboxPlaces } from "./mailbox-places.ts";

export function completePlaces(places: MailboxPlaces, roots: readonly ServerRoot[]): void {
  const byPartition = new Map<ByteString, ServerRoot[]>();
  for (const root of roots)
    if (holdsMailboxes(root) && root.logicalPath === root.configuredPath)
      byPartition.set(root.name, [...(byPartition.get(root.name) ?? []), root]);
  const count = places.length;
  for (let at = 0; at < count; at++) {
    const { partition, relative, directories } = places.get(at);
    for (const root of byPartition.get(partition) ?? []) {
      const realPath = joinPath(root.realPath, relative);
      if (directories.some((directory) => directory.realPath === realPath)) continue;
      const found = lstatSource(realPath);
      if (found?.type !== "directory") continue;
      const path = joinPath(root.path, relative);
      places.add(root, { path, realPath, stat: found.stat, listed: true });
    }
  }
}
