/**
 * Directories that hold mailboxes, joined: the message directory, the archive directory and the metadata
 * directories of one mailbox have the same path below their roots (imap/mboxname.c, mboxname_todir).
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import type { DirectoryRole, FileStat } from "../manifest/model.ts";
import type { ServerRoot } from "../source/roots.ts";
import { relativeTo } from "../source/view.ts";

export interface FoundDirectory {
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly stat: FileStat;
  /** False: it is as the parent backup saw it, and was not listed. */
  readonly listed: boolean;
}

export interface PlaceDirectory extends FoundDirectory {
  readonly role: DirectoryRole;
}

export interface MailboxPlace {
  readonly partition: ByteString;
  /** Below the partition's configured path. */
  readonly relative: ByteString;
  /** In the order data, archive, meta. */
  readonly directories: PlaceDirectory[];
}

const ROLES = { partition: "data", archivepartition: "archive", metapartition: "meta" } as const;
const ROLE_ORDER: Readonly<Record<DirectoryRole, number>> = { data: 0, archive: 1, meta: 2 };

export class MailboxPlaces {
  /** By partition, then by the path below it. */
  readonly #partitions = new Map<ByteString, Map<ByteString, MailboxPlace>>();

  readonly #all: MailboxPlace[] = [];

  add(root: ServerRoot, directory: FoundDirectory): void {
    const role = ROLES[root.kind as keyof typeof ROLES];
    const logical = joinPath(root.logicalPath, relativeTo(directory.path, root.path));
    const relative = relativeTo(logical, root.configuredPath);
    let places = this.#partitions.get(root.name);
    if (places === undefined) {
      places = new Map();
      this.#partitions.set(root.name, places);
    }
    const { path, realPath, stat, listed } = directory;
    const found = { path, realPath, stat, listed, role };
    const known = places.get(relative);
    if (known === undefined) {
      const place = { partition: root.name, relative, directories: [found] };
      places.set(relative, place);
      this.#all.push(place);
      return;
    }
    known.directories.push(found);
    known.directories.sort((a, b) => ROLE_ORDER[a.role] - ROLE_ORDER[b.role]);
  }

  find(partition: ByteString, relative: ByteString): MailboxPlace | undefined {
    return this.#partitions.get(partition)?.get(relative);
  }

  all(): Iterable<MailboxPlace> {
    return this.#all;
  }
}
