/**
 * Directories that hold mailboxes, joined: the message directory, the archive directory and the metadata
 * directories of one mailbox have the same path below their roots (imap/mboxname.c, mboxname_todir).
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { BigIntColumn, ByteColumn, KeyTable, NumberColumn } from "../base/columns.ts";
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
  readonly directories: readonly PlaceDirectory[];
}

const ROLES = { partition: "data", archivepartition: "archive", metapartition: "meta" } as const;
/** In the order of a place's directories. */
const ROLE_ORDER: readonly DirectoryRole[] = ["data", "archive", "meta"];

/** Places by number from 0 on, in the order of the walk. Kept in columns: objects are made when one is asked for. */
export class MailboxPlaces {
  readonly #texts = new ByteColumn();
  readonly #roots: ServerRoot[] = [];
  readonly #partitions: ByteString[] = [];
  readonly #table = new KeyTable();
  readonly #places = {
    partition: new NumberColumn("u32"),
    relative: new NumberColumn("u32"),
    firstDirectory: new NumberColumn("u32"),
  };
  readonly #directories = new DirectoryColumns();
  /** Of directories that do not lie below their root's real path: a mapping within a root. */
  readonly #otherRealPaths = new Map<number, ByteString>();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(root: ServerRoot, { path, realPath, stat, listed }: FoundDirectory): void {
    const below = relativeTo(path, root.path);
    const logical = joinPath(root.logicalPath, below);
    const relative = relativeTo(logical, root.configuredPath);
    const belowText = this.#texts.add(below);
    const directory = this.#directories.add({
      root: numberOf(this.#roots, root),
      role: ROLE_ORDER.indexOf(ROLES[root.kind as keyof typeof ROLES]),
      below: belowText,
      stat,
      listed,
    });
    if (realPath !== joinPath(root.realPath, below)) this.#otherRealPaths.set(directory, realPath);
    const known = this.find(root.name, relative);
    if (known !== undefined) {
      this.#directories.append(this.#places.firstDirectory.get(known), directory);
      return;
    }
    const place = this.#length++;
    this.#places.partition.set(place, numberOf(this.#partitions, root.name));
    this.#places.relative.set(place, relative === below ? belowText : this.#texts.add(relative));
    this.#places.firstDirectory.set(place, directory);
    this.#table.add(relative, place);
  }

  find(partition: ByteString, relative: ByteString): number | undefined {
    return this.#table.find(
      relative,
      (place) =>
        this.#partitions[this.#places.partition.get(place)] === partition &&
        this.#texts.equals(this.#places.relative.get(place), relative),
    );
  }

  get(place: number): MailboxPlace {
    const directories: PlaceDirectory[] = [];
    const first = this.#places.firstDirectory.get(place);
    for (const directory of this.#directories.chain(first)) {
      const { root: at, role, below: text, stat, listed } = this.#directories.get(directory);
      const root = this.#roots[at] as ServerRoot;
      const below = this.#texts.get(text);
      const path = joinPath(root.path, below);
      const usual = root.realPath === root.path ? path : joinPath(root.realPath, below);
      const realPath = this.#otherRealPaths.get(directory) ?? usual;
      directories.push({ path, realPath, stat, listed, role: ROLE_ORDER[role] as DirectoryRole });
    }
    directories.sort((a, b) => ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role));
    return {
      partition: this.#partitions[this.#places.partition.get(place)] as ByteString,
      relative: this.#texts.get(this.#places.relative.get(place)),
      directories,
    };
  }

  *all(): Generator<MailboxPlace> {
    for (let place = 0; place < this.#length; place++) yield this.get(place);
  }
}

interface DirectoryRecord {
  readonly root: number;
  readonly role: number;
  readonly below: number;
  readonly stat: FileStat;
  readonly listed: boolean;
}

class DirectoryColumns {
  readonly #root = new NumberColumn("u32");
  readonly #role = new NumberColumn("u8");
  readonly #below = new NumberColumn("u32");
  readonly #listed = new NumberColumn("u8");
  /** The next directory of the same place, plus one; 0: there is none. */
  readonly #next = new NumberColumn("u32");
  readonly #mode = new NumberColumn("u32");
  readonly #uid = new NumberColumn("u32");
  readonly #gid = new NumberColumn("u32");
  readonly #size = new NumberColumn("f64");
  readonly #inode = new NumberColumn("f64");
  readonly #links = new NumberColumn("u32");
  readonly #mtimeNs = new BigIntColumn();
  readonly #ctimeNs = new BigIntColumn();
  #length = 0;

  add({ root, role, below, listed, stat }: DirectoryRecord): number {
    const at = this.#length++;
    this.#root.set(at, root);
    this.#role.set(at, role);
    this.#below.set(at, below);
    this.#listed.set(at, listed ? 1 : 0);
    this.#next.set(at, 0);
    this.#mode.set(at, stat.mode);
    this.#uid.set(at, stat.uid);
    this.#gid.set(at, stat.gid);
    this.#size.set(at, stat.size);
    this.#inode.set(at, stat.inode);
    this.#links.set(at, stat.links);
    this.#mtimeNs.set(at, stat.mtimeNs);
    this.#ctimeNs.set(at, stat.ctimeNs);
    return at;
  }

  append(first: number, directory: number): void {
    let last = first;
    for (const at of this.chain(first)) last = at;
    this.#next.set(last, directory + 1);
  }

  *chain(first: number): Generator<number> {
    for (let at = first + 1; at !== 0; at = this.#next.get(at - 1)) yield at - 1;
  }

  get(at: number): DirectoryRecord {
    return {
      root: this.#root.get(at),
      role: this.#role.get(at),
      below: this.#below.get(at),
      listed: this.#listed.get(at) === 1,
      stat: {
        mode: this.#mode.get(at),
        uid: this.#uid.get(at),
        gid: this.#gid.get(at),
        size: this.#size.get(at),
        mtimeNs: this.#mtimeNs.get(at),
        ctimeNs: this.#ctimeNs.get(at),
        inode: this.#inode.get(at),
        links: this.#links.get(at),
      },
    };
  }
}

/** Its position in a short list, to which it is added where it is new. */
function numberOf<T>(list: T[], value: T): number {
  const known = list.lastIndexOf(value);
  return known >= 0 ? known : list.push(value) - 1;
}
