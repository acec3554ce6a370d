/**
 * Where a restore writes. Roots are resolved once, when the restore is planned; below a root no symlink is
 * followed, whatever the repository or somebody at the target has put there. Nothing is written outside.
 */
import { chmodSync, lchownSync, lstatSync, mkdirSync, realpathSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { baseName, isWithin, normalise, type PathMapping, parentOf, relativeTo } from "../source/view.ts";

interface TargetRoot {
  /** As on the server. */
  readonly from: ByteString;
  /** Real, without symlinks. */
  readonly to: ByteString;
}

/** Directories found or made, so that each is looked at once. */
const KNOWN_MAX = 20_000;

export class TargetTree {
  readonly roots: readonly TargetRoot[];
  readonly target: ByteString;
  readonly #mappings: readonly PathMapping[];
  readonly #known = new Set<ByteString>();
  /** Roots that lie in no other: the way down to them is the administrator's, what lies below is ours. */
  readonly #outermost: ReadonlySet<ByteString>;

  /** @param rootPaths - as on the server; files have their directory as a root. */
  constructor(target: ByteString, mappings: readonly PathMapping[], rootPaths: readonly ByteString[]) {
    this.target = normalise(target);
    this.#mappings = [...mappings].sort((a, b) => b.from.length - a.from.length);
    this.roots = rootPaths
      .map((from) => ({ from, to: resolveExisting(this.#place(from)) }))
      .sort((a, b) => b.from.length - a.from.length);
    const places = this.roots.map(({ to }) => to);
    this.#outermost = new Set(
      places.filter((to) => !places.some((other) => other !== to && isWithin(to, other))),
    );
  }

  /** The real path for a path of the server. @throws {CyrvaultError} `REPOSITORY_DAMAGED` for one that leaves its root. */
  locate(serverPath: ByteString): ByteString {
    if (!serverPath.startsWith("/") || normalise(serverPath) !== serverPath || serverPath.includes("\0")) {
      throw new CyrvaultError(
        "REPOSITORY_DAMAGED",
        `the backup holds a path that can't be one: ${toText(serverPath)}`,
      );
    }
    const root = this.roots.find(({ from }) => isWithin(serverPath, from));
    if (root === undefined) {
      throw new CyrvaultError(
        "REPOSITORY_DAMAGED",
        `the backup holds a path outside its own roots: ${toText(serverPath)}`,
      );
    }
    return joinPath(root.to, relativeTo(serverPath, root.from));
  }

  /**
   * Makes a directory and what is missing above it, down from its root, and makes sure that none of them is a
   * symlink. New ones get mode 0700 until they are finished.
   */
  ensureDirectory(realPath: ByteString): void {
    if (this.#known.has(realPath)) return;
    if (this.#outermost.has(realPath)) {
      this.#makeAll(realPath);
    } else {
      this.ensureDirectory(parentOf(realPath));
      this.#makeOne(realPath);
    }
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.add(realPath);
  }

  /** The directory that everything lies below: made if it is not there. */
  ensureTarget(): void {
    this.#makeAll(this.target);
  }

  #makeOne(realPath: ByteString): void {
    try {
      mkdirSync(toFsPath(realPath), 0o700);
      return;
    } catch (error) {
      if (systemCode(error) !== "EEXIST")
        throw ioError(`cannot make the directory ${toText(realPath)}`, error);
    }
    const found = lstatSync(toFsPath(realPath));
    if (found.isDirectory()) return;
    throw new CyrvaultError(
      "TARGET_REFUSED",
      `${toText(realPath)} is ${found.isSymbolicLink() ? "a symbolic link" : "no directory"}, and a directory must be there`,
      {
        hint: "nothing is written through it; move it away, or choose another target",
      },
    );
  }

  /** Roots themselves: the way down to them was resolved when the restore was planned. */
  #makeAll(realPath: ByteString): void {
    try {
      mkdirSync(toFsPath(realPath), { recursive: true, mode: 0o755 });
    } catch (error) {
      throw ioError(`cannot make the directory ${toText(realPath)}`, error);
    }
  }

  #place(serverPath: ByteString): ByteString {
    const mapping = this.#mappings.find(({ from }) => isWithin(serverPath, from));
    const mapped =
      mapping === undefined ? serverPath : joinPath(mapping.to, relativeTo(serverPath, mapping.from));
    return this.target === "/" ? mapped : joinPath(this.target, mapped.slice(1) as ByteString);
  }
}

/** Symlinks on the way are the administrator's own; what does not exist yet is added as it is. */
function resolveExisting(path: ByteString): ByteString {
  let rest = "" as ByteString;
  for (let current = path; ; current = parentOf(current)) {
    try {
      const real = realpathSync(toFsPath(current), { encoding: "latin1" }) as ByteString;
      return joinPath(real, rest);
    } catch (error) {
      if (systemCode(error) !== "ENOENT" || current === "/")
        throw ioError(`cannot look at ${toText(current)}`, error);
      rest = joinPath(baseName(current), rest);
    }
  }
}

export function applyOwner(realPath: ByteString, uid: number, gid: number): boolean {
  try {
    lchownSync(toFsPath(realPath), uid, gid);
    return true;
  } catch (error) {
    if (systemCode(error) === "EPERM") return false;
    throw ioError(`cannot set the owner of ${toText(realPath)}`, error);
  }
}

/** After the owner: changing that takes away set-id bits. */
export function applyMode(realPath: ByteString, mode: number): void {
  try {
    chmodSync(toFsPath(realPath), mode & 0o7777);
  } catch (error) {
    throw ioError(`cannot set the mode of ${toText(realPath)}`, error);
  }
}
