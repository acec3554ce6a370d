/**
 * Walks the server's roots beside the parent backup's record of them, and sorts what it meets: files to keep,
 * things to leave out, directories that hold mailboxes.
 *
 * A directory that is as the parent saw it is not listed again: its children are those that the parent knows.
 * Items come in the order of `pathKey`, which is the order of the parent's entries too.
 */
import { type ByteString, joinPath, pathKey, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { FileClass, FileEntry, FileStat, ManifestRoot } from "../manifest/model.ts";
import { EMPTY_LISTING, type Listing, listDirectory } from "../source/list-directory.ts";
import { lstatSource, readLinkSource, sameStat } from "../source/read-file.ts";
import { holdsMailboxes, outermostRoots, type ServerRoot } from "../source/roots.ts";
import { baseName, isWithin, parentOf, relativeTo, type SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";
import type { MailboxPlaces } from "./mailbox-places.ts";
import type { PageCursor } from "./page-cursor.ts";

export interface SurveyItem {
  readonly type: "directory" | "file" | "symlink";
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly stat: FileStat;
  readonly fileClass: FileClass;
  readonly leftOut?: string;
  readonly target?: ByteString;
  readonly mailboxDirectory?: boolean;
  /** What lies in this directory is not known: the next run must list it, though nothing seems to have changed. */
  readonly unlisted?: boolean;
  /** The parent backup's entry for the same path. */
  readonly before: FileEntry | undefined;
}

export interface Keep {
  readonly fileClass: FileClass;
  /** Why it is left out; undefined: it is kept. */
  readonly leftOut: string | undefined;
}

export interface SurveyInput {
  readonly view: SourceView;
  readonly roots: readonly ServerRoot[];
  readonly parentFiles: PageCursor<FileEntry>;
  readonly parentRoots: ManifestRoot["roots"];
  readonly places: MailboxPlaces;
  readonly findings: FindingSink;
  /** What becomes of a file or a whole directory, by its root and its path from there. */
  readonly decide: (root: ServerRoot, relative: ByteString) => Keep;
}

/** Symlinks lead to places outside all roots: they become roots of their own, and the walk begins again. */
export class RootsDiscovered extends Error {
  readonly roots: readonly ServerRoot[];
  constructor(roots: readonly ServerRoot[]) {
    super(`further roots: ${roots.map(({ path }) => toText(path)).join(", ")}`);
    this.roots = roots;
  }
}

interface OpenDirectory {
  readonly root: ServerRoot;
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly device: bigint;
  /** What is in it, undefined where the directory was not listed: the parent's entries tell. */
  readonly names: readonly ByteString[] | undefined;
  at: number;
}

export interface SurveyCounts {
  directories: number;
  directoriesListed: number;
}

export class Survey {
  readonly counts: SurveyCounts = { directories: 0, directoriesListed: 0 };
  readonly #input: SurveyInput;
  readonly #rootAt: Map<ByteString, ServerRoot>;
  /** Kind and path: elsewhere the parent may have seen files where mailboxes are now. */
  readonly #parentRoots: ReadonlySet<string>;
  readonly #wereRoots = new Map<ServerRoot, boolean>();
  /** Places that lie elsewhere than the directory above them: in a snapshot there is an empty directory in their stead. */
  readonly #mappedAt: ReadonlyMap<ByteString, ByteString>;
  readonly #discovered: ServerRoot[] = [];
  /** The directories that the walk is in, the innermost last. */
  readonly #open: OpenDirectory[] = [];

  constructor(input: SurveyInput) {
    this.#input = input;
    this.#parentRoots = new Set(input.parentRoots.map(({ kind, path }) => `${kind}\0${path}`));
    this.#mappedAt = new Map(input.view.mappings.map(({ from, to }) => [from, to]));
    this.#rootAt = new Map([...input.roots].reverse().map((root) => [root.path, root]));
  }

  /** @throws {RootsDiscovered} at the end: what came is worth nothing then. */
  async *items(): AsyncGenerator<SurveyItem> {
    const { parentFiles } = this.#input;
    const tops = outermostRoots(this.#input.roots).sort((a, b) =>
      pathKey(a.path) < pathKey(b.path) ? -1 : 1,
    );
    for (const top of tops) {
      const before = await parentFiles.take(pathKey(top.path));
      const first = this.#visit(top, top.path, top.realPath, undefined, before);
      if (first !== undefined) yield first;
      // One generator and a stack: generators in each other would pass every item through all that are open.
      for (let open = this.#open.at(-1); open !== undefined; open = this.#open.at(-1)) {
        const item =
          open.names === undefined
            ? await this.#nextOfParent(open)
            : await this.#nextListed(open, open.names);
        if (item !== undefined) yield item;
      }
    }
    if (this.#discovered.length > 0) throw new RootsDiscovered(this.#discovered);
  }

  async #nextListed(open: OpenDirectory, names: readonly ByteString[]): Promise<SurveyItem | undefined> {
    const name = names[open.at++];
    if (name === undefined) {
      this.#open.pop();
      return undefined;
    }
    const path = joinPath(open.path, name);
    const before = await this.#input.parentFiles.take(pathKey(path));
    return this.#visit(open.root, path, realPathIn(open, path, name), open.device, before);
  }

  /** The directory was not listed: what the parent recorded in it is still there. */
  async #nextOfParent(open: OpenDirectory): Promise<SurveyItem | undefined> {
    const { parentFiles } = this.#input;
    for (;;) {
      if (!parentFiles.isLoaded) await parentFiles.load();
      const before = parentFiles.current;
      if (before === undefined || !isWithin(before.path, open.path)) {
        this.#open.pop();
        return undefined;
      }
      parentFiles.step();
      if (parentOf(before.path) !== open.path) continue;
      const { path } = before;
      return this.#visit(open.root, path, realPathIn(open, path, baseName(path)), open.device, before);
    }
  }

  #visit(
    outer: ServerRoot,
    path: ByteString,
    placePath: ByteString,
    outerDevice: bigint | undefined,
    before: FileEntry | undefined,
  ): SurveyItem | undefined {
    const root = this.#rootAt.get(path) ?? outer;
    const realPath = this.#mappedAt.get(path) ?? placePath;
    const found = this.#lstat(path, realPath);
    if (found === undefined) return undefined;
    const { type, stat, device } = found;
    if (type === "special") {
      this.#input.findings.add("special-file", "note", path, "a socket, pipe or device is left out");
      return undefined;
    }
    const { fileClass, leftOut } =
      path === root.path ? KEPT : this.#input.decide(root, relativeTo(path, root.path));
    if (leftOut !== undefined) {
      const item = { type, path, realPath, stat, fileClass, before, leftOut };
      return type === "symlink" ? { ...item, target: readLinkSource(realPath) } : item;
    }
    if (type === "symlink") {
      const target = readLinkSource(realPath);
      this.#followLink(root, path);
      return { type, path, realPath, stat, fileClass, before, target };
    }
    if (type === "file") return { type, path, realPath, stat, fileClass, before };
    this.#requireSameFilesystem(path, device, outerDevice);
    return this.#visitDirectory(root, { type, path, realPath, stat, fileClass, before }, device);
  }

  #visitDirectory(root: ServerRoot, item: SurveyItem, device: bigint): SurveyItem {
    const { path, realPath, stat, before } = item;
    const mayBeMailbox = holdsMailboxes(root);
    this.counts.directories++;
    const unchanged =
      before !== undefined &&
      before.leftOut === undefined &&
      !before.racy &&
      sameStat(before.stat, stat) &&
      this.#wasRoot(root) &&
      (before.mailboxDirectory !== true || mayBeMailbox);
    if (unchanged) {
      const isMailbox = before.mailboxDirectory === true;
      if (isMailbox) this.#input.places.add(root, { path, realPath, stat, listed: false });
      this.#open.push({ root, path, realPath, device, names: undefined, at: 0 });
      return isMailbox ? { ...item, mailboxDirectory: true } : item;
    }
    this.counts.directoriesListed++;
    const found = this.#list(item, mayBeMailbox ? "count" : "none");
    const listing = found ?? EMPTY_LISTING;
    const isMailbox = mayBeMailbox && looksLikeMailbox(listing);
    if (isMailbox) this.#input.places.add(root, { path, realPath, stat, listed: true });
    const names = [
      ...listing.directories,
      ...listing.symlinks,
      ...listing.specials,
      ...(isMailbox ? [] : listing.files),
    ].sort();
    this.#open.push({ root, path, realPath, device, names, at: 0 });
    return {
      ...item,
      ...(isMailbox ? { mailboxDirectory: true } : {}),
      ...(found === undefined ? { unlisted: true } : {}),
    };
  }

  /** The parent saw this place as a root of the same kind. */
  #wasRoot(root: ServerRoot): boolean {
    let was = this.#wereRoots.get(root);
    if (was === undefined) {
      was = this.#parentRoots.has(`${root.kind}\0${root.path}`);
      this.#wereRoots.set(root, was);
    }
    return was;
  }

  #lstat(path: ByteString, realPath: ByteString): ReturnType<typeof lstatSource> {
    try {
      return lstatSource(realPath);
    } catch (error) {
      this.#unreadable(path, error);
      return undefined;
    }
  }

  #list({ path, realPath, stat }: SurveyItem, messages: "count" | "none"): Listing | undefined {
    try {
      const listing = listDirectory(realPath, messages, stat.size);
      if (listing !== undefined) return listing;
      this.#input.findings.add("file-vanished", "warning", path, "the directory vanished while it was read");
    } catch (error) {
      this.#unreadable(path, error);
    }
    return undefined;
  }

  #unreadable(path: ByteString, error: unknown): void {
    if (!(error instanceof CyrvaultError)) throw error;
    this.#input.findings.add("file-unreadable", "error", path, error.message);
  }

  #followLink(root: ServerRoot, path: ByteString): void {
    const { view, findings, roots } = this.#input;
    const resolved = view.resolve(path);
    if (resolved === undefined) {
      if (view.isMapped && holdsMailboxes(root)) {
        throw new CyrvaultError(
          "SOURCE_INVALID",
          `${toText(path)} is a symbolic link to a place that the snapshot does not hold`,
          { hint: "give its place in the snapshot: --map TARGET=/where/it/is/frozen" },
        );
      }
      findings.add("symlink-directory", "note", path, "a symbolic link to nothing, kept as it is");
      return;
    }
    const known = [...roots, ...this.#discovered];
    if (known.some((one) => isWithin(resolved.serverPath, one.path))) return;
    const target = lstatSource(resolved.realPath);
    if (target === undefined || target.type === "special") return;
    view.requireSameDevice(resolved, `the symbolic link ${toText(path)}`);
    this.#discovered.push({
      kind: target.type === "directory" ? root.kind : "file",
      name: root.name,
      path: resolved.serverPath,
      realPath: resolved.realPath,
      logicalPath: joinPath(root.logicalPath, relativeTo(path, root.path)),
      configuredPath: root.configuredPath,
    });
  }

  /** Whoever reads a snapshot of one filesystem must not slip into another one, which may be the live one. */
  #requireSameFilesystem(path: ByteString, device: bigint, outerDevice: bigint | undefined): void {
    const { view } = this.#input;
    if (outerDevice === undefined || device === outerDevice || !view.isMapped) return;
    if (view.mappings.some(({ from }) => from === path)) return;
    throw new CyrvaultError(
      "SOURCE_INVALID",
      `another filesystem is mounted at ${toText(path)}, inside what is being read`,
      {
        hint: `a snapshot does not reach into it: freeze that one too and give --map ${toText(path)}=/where/it/is/frozen`,
      },
    );
  }
}

/** The same string where the server's own tree is read: there is one of each for every mailbox. */
function realPathIn(open: OpenDirectory, path: ByteString, name: ByteString): ByteString {
  return open.realPath === open.path ? path : joinPath(open.realPath, name);
}

/** In the roots of partitions: a directory with Cyrus's files, or with messages whose cyrus.header is lost or elsewhere. */
function looksLikeMailbox(listing: Listing): boolean {
  return listing.messageCount > 0 || listing.files.some((name) => name.startsWith("cyrus."));
}

const KEPT: Keep = { fileClass: "critical", leftOut: undefined };
