/**
 * Where everything of a server lies, as its configuration says: made by imapd-conf-layout.ts.
 *
 * Paths are as on the server, not below a snapshot. Which root a small file of a mailbox lies below: cyrus-imapd
 * 1f3a129, imap/mboxname.c, mboxname_metapath().
 */
import type { ByteString } from "../base/byte-string.ts";
import type { DatabaseName, PathRole } from "./imapd-conf-options.ts";

/** The kinds of files that `metapartition_files` can move. */
export const META_KINDS = [
  "header",
  "index",
  "cache",
  "expunge",
  "squat",
  "annotations",
  "lock",
  "dav",
  "archivecache",
] as const;
export type MetaKind = (typeof META_KINDS)[number];

export interface DatabasePlace {
  /** Undefined: the server keeps no such database. */
  readonly path: ByteString | undefined;
  /** As configured or by default: the file itself may be in another. Undefined where there is no choice. */
  readonly engine: string | undefined;
  readonly configured: boolean;
}

export interface SearchPartition {
  readonly tier: ByteString;
  readonly partition: ByteString;
  readonly path: ByteString;
}

export interface OtherPath {
  readonly key: string;
  readonly path: ByteString;
  readonly role: PathRole;
}

export interface UnknownLocation {
  readonly key: string;
  readonly value: ByteString;
  /** A sentence for people. */
  readonly reason: string;
}

export interface ServerLayout {
  readonly configDirectory: ByteString;
  /** Parent of the `user/` and `domain/` trees: configdirectory up to 3.12. */
  readonly userPath: ByteString;
  readonly partitions: ReadonlyMap<ByteString, ByteString>;
  readonly defaultPartition: ByteString | undefined;
  readonly metaPartitions: ReadonlyMap<ByteString, ByteString>;
  /** The kinds that a metapartition takes over. */
  readonly metaPartitionFiles: ReadonlySet<MetaKind>;
  /** `KIND-PARTITION` to path. */
  readonly metaDirs: ReadonlyMap<string, ByteString>;
  /** Also those that Cyrus does not use because `archiveEnabled` is off: files may still lie there. */
  readonly archivePartitions: ReadonlyMap<ByteString, ByteString>;
  readonly archiveEnabled: boolean;
  readonly searchPartitions: readonly SearchPartition[];
  readonly sieveDir: ByteString;
  /** Scripts are in `~user/.sieve`, outside every root. */
  readonly sieveUseHomeDir: boolean;
  /** Directories of the tree `quota/`, where the quota engine keeps a file per root; undefined for other engines. */
  readonly quotaDirectory: ByteString | undefined;
  readonly databases: Readonly<Record<DatabaseName, DatabasePlace>>;
  /** Engine by option, for databases of users and mailboxes. */
  readonly engines: ReadonlyMap<string, string>;
  readonly hashImapSpool: boolean;
  readonly fullDirHash: boolean;
  readonly virtDomains: "off" | "userid" | "on";
  readonly defaultDomain: ByteString | undefined;
  readonly unixHierarchySep: boolean;
  readonly altNamespace: boolean;
  /** New mailboxes get name-based directories. Always so before 3.6. */
  readonly legacyDirs: boolean;
  readonly deletedPrefix: ByteString;
  readonly deleteMode: string;
  readonly expungeMode: string;
  readonly lockPath: ByteString;
  readonly procPath: ByteString;
  /** Undefined: the host's name. */
  readonly serverName: ByteString | undefined;
  readonly searchEngine: string;
  readonly otherPaths: readonly OtherPath[];
  readonly unknownLocations: readonly UnknownLocation[];
}

/**
 * The root below which files of this kind lie for mailboxes of a partition.
 * @returns undefined: the partition is not configured.
 */
export function metaRootFor(
  layout: ServerLayout,
  kind: MetaKind,
  partition: ByteString,
): ByteString | undefined {
  const own = layout.metaDirs.get(`${kind === "annotations" ? "index" : kind}-${partition}`);
  if (own !== undefined) return own;
  const meta = layout.metaPartitions.get(partition);
  if (meta !== undefined && layout.metaPartitionFiles.has(kind)) return meta;
  const archive = layout.archivePartitions.get(partition);
  if (kind === "archivecache" && layout.archiveEnabled && archive !== undefined) return archive;
  return layout.partitions.get(partition);
}
