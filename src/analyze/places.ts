/**
 * The mailboxes of a spool as directories, one after the other: nothing is kept of those that went by. A mailbox's
 * archive and metadata lie at the same path below their roots (imap/mboxname.c, mboxname_todir).
 */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { EMPTY_LISTING, type Listing, listDirectory } from "../source/list-directory.ts";
import { lstatSource } from "../source/read-file.ts";
import type { ServerRoot } from "../source/roots.ts";
import { isWithin, relativeTo, type SourceView } from "../source/view.ts";

export interface PlaceDirectory {
  readonly role: "data" | "archive" | "meta";
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly listing: Listing;
}

export interface MailboxPlace {
  readonly partition: ByteString;
  /** Below the partition's configured path. */
  readonly relative: ByteString;
  /** In the order data, archive, meta. */
  readonly directories: readonly PlaceDirectory[];
}

export interface PlacesInput {
  readonly view: SourceView;
  readonly roots: readonly ServerRoot[];
  /** What cannot be read is left out, and told. */
  readonly onUnreadable: (path: ByteString, error: CyrvaultError) => void;
}

interface Directory {
  readonly path: ByteString;
  readonly realPath: ByteString;
  /** From the root's configured path, symlinks on the way not resolved. */
  readonly relative: ByteString;
}

const ROLES = { partition: "data", archivepartition: "archive", metapartition: "meta" } as const;
const STAGING = /^(stage|sync)\.(\/|$)/;

export class Places {
  readonly #input: PlacesInput;
  readonly #linked = new Set<ByteString>();

  constructor(input: PlacesInput) {
    this.#input = input;
  }

  /** In the order of a walk of each partition, by bytes. */
  *all(): Generator<MailboxPlace> {
    this.#linked.clear();
    for (const kind of ["partition", "archivepartition"] as const) {
      for (const root of this.#input.roots) {
        if (root.kind !== kind) continue;
        const relative = relativeTo(root.logicalPath, root.configuredPath);
        yield* this.#visit(root, { path: root.path, realPath: root.realPath, relative });
      }
    }
  }

  *#visit(root: ServerRoot, directory: Directory): Generator<MailboxPlace> {
    const { path, realPath, relative } = directory;
    if (STAGING.test(relative)) return;
    const listing = this.#list(path, realPath);
    if (listing === undefined) return;
    const place = this.#placeAt(root, directory, listing);
    if (place !== undefined) yield place;
    for (const name of listing.directories) {
      const child = joinPath(path, name);
      // Another root is walked in its own turn.
      if (this.#input.roots.some((other) => other.path === child)) continue;
      yield* this.#visit(root, {
        path: child,
        realPath: joinPath(realPath, name),
        relative: joinPath(relative, name),
      });
    }
    for (const name of listing.symlinks) {
      const target = this.#input.view.resolve(joinPath(path, name));
      if (target === undefined || this.#linked.has(target.serverPath)) continue;
      if (this.#input.roots.some((other) => isWithin(target.serverPath, other.path))) continue;
      if (lstatSource(target.realPath)?.type !== "directory") continue;
      this.#linked.add(target.serverPath);
      yield* this.#visit(root, {
        path: target.serverPath,
        realPath: target.realPath,
        relative: joinPath(relative, name),
      });
    }
  }

  #placeAt(root: ServerRoot, directory: Directory, listing: Listing): MailboxPlace | undefined {
    const own = { role: ROLES[root.kind as keyof typeof ROLES], ...directory, listing };
    const elsewhere = this.#input.roots
      .filter((other) => other !== root && other.name === root.name && other.kind in ROLES)
      .flatMap((other) => this.#counterpart(other, directory.relative));
    // An archive is met with its mailbox, or alone if that has no directory.
    if (own.role === "archive" && elsewhere.some(({ role }) => role === "data")) return undefined;
    const directories = [own, ...elsewhere.filter(({ role }) => role !== "data")];
    if (!directories.some(({ listing: one }) => holdsMail(one))) return undefined;
    return { partition: root.name, relative: directory.relative, directories };
  }

  #counterpart(root: ServerRoot, relative: ByteString): PlaceDirectory[] {
    const path = joinPath(root.path, relative);
    const realPath = joinPath(root.realPath, relative);
    if (lstatSource(realPath)?.type !== "directory") return [];
    const listing = this.#list(path, realPath);
    return listing === undefined
      ? []
      : [{ role: ROLES[root.kind as keyof typeof ROLES], path, realPath, listing }];
  }

  #list(path: ByteString, realPath: ByteString): Listing | undefined {
    try {
      return listDirectory(realPath, "collect") ?? EMPTY_LISTING;
    } catch (error) {
      if (!(error instanceof CyrvaultError)) throw error;
      this.#input.onUnreadable(path, error);
      return undefined;
    }
  }
}

function holdsMail({ messageCount, files }: Listing): boolean {
  return messageCount > 0 || files.some((name) => name.startsWith("cyrus."));
}

/** For messages to people. */
export function placeName({ partition, relative }: MailboxPlace): string {
  return `${toText(partition)}:${toText(relative)}`;
}
