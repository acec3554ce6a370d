/** The places that hold a server's data, as they are for this run. */
import type { ByteString } from "../base/byte-string.ts";
import type { RootRecord } from "../manifest/model.ts";
import { isWithin } from "./view.ts";

export type RootKind = RootRecord["kind"];

export interface ServerRoot {
  readonly kind: RootKind;
  /** Partition, for the three kinds that hold mailboxes; else "". */
  readonly name: ByteString;
  /** As on the server, symlinks resolved. */
  readonly path: ByteString;
  /** What to open. */
  readonly realPath: ByteString;
  /**
   * Where the server's configuration says this is: differs from `path` where a symlink lies between them. The
   * path of a mailbox, and with it the name of an old one, is counted from here.
   */
  readonly logicalPath: ByteString;
  /** The configured path of the partition (or other place) that this belongs to. */
  readonly configuredPath: ByteString;
}

/** Whether directories below are mailboxes. */
export function holdsMailboxes(root: ServerRoot): boolean {
  return root.kind === "partition" || root.kind === "metapartition" || root.kind === "archivepartition";
}

/** Roots that lie in no other root, in the order of a walk. What lies inside another is met on the way. */
export function outermostRoots(roots: readonly ServerRoot[]): ServerRoot[] {
  return roots.filter(
    (root, position) =>
      !roots.some((other, otherPosition) =>
        other.path === root.path ? otherPosition < position : isWithin(root.path, other.path),
      ),
  );
}
