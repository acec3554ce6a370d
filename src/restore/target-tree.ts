/**
 * Where a restore writes. Roots are resolved once, when the restore is planned, and lie in the target; below a root
 * no symlink is followed, whatever the repository or somebody at the target has put there.
 */
import { lstatSync, mkdirSync, realpathSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { baseName, isWithin, normalise, type PathMapping, parentOf, relativeTo } from "../source/view.ts";
import { toHeldPath } from "./held-directories.ts";
import type { PlaceToRestore } from "./places.ts";

export interface TargetRoot {
  /** As on the server. */
  readonly from: ByteString;
  /** Real: only its last component may be a symlink, if it is a file. */
  readonly to: ByteString;
  readonly isFile: boolean;
}

/** Directories found or made, so that each is looked at once. */
const KNOWN_MAX = 20_000;
const UNFINISHED_MODE = 0o700;

export class TargetTree {
  /** The longest first. */
  readonly roots: readonly TargetRoot[];
  readonly target: ByteString;
  /** Without symlinks. */
  readonly realTarget: ByteString;
  /** Directories that were not there before this restore, or its interrupted part: they need their attributes. */
  readonly made = new Set<ByteString>();
  readonly #mappings: readonly PathMapping[];
  readonly #known = new Set<ByteString>();
  readonly #resumes: boolean;
  /** The way down to these is the administrator's, what lies below is ours. */
  readonly #tops: ReadonlySet<ByteString>;

  /**
   * @param resumes - a directory with the mode of unfinished ones is taken for one.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED` for a place that can't be one, `TARGET_REFUSED` where a symlink leads
   *   out of the target.
   */
  constructor(
    target: ByteString,
    mappings: readonly PathMapping[],
    places: readonly PlaceToRestore[],
    resumes = false,
  ) {
    this.#resumes = resumes;
    this.target = normalise(target);
    this.#mappings = [...mappings].sort((a, b) => b.from.length - a.from.length);
    for (const { path } of places) {
      requirePath(path);
      if (path === "/") throw notAPath(path);
    }
    const realTarget = resolveExisting(this.target);
    this.realTarget = realTarget;
    const wanted = places.map(({ path, isFile }) => ({ from: path, place: this.#place(path), isFile }));
    const directories = wanted
      .filter(({ isFile }) => !isFile)
      .sort((a, b) => a.place.length - b.place.length);
    const tops = new Map<ByteString, ByteString>();
    const within = (place: ByteString): ByteString | undefined => {
      for (const [top, real] of tops) if (isWithin(place, top)) return joinPath(real, relativeTo(place, top));
      return undefined;
    };
    const resolve = (place: ByteString): ByteString => {
      const real = resolveExisting(place);
      if (!isWithin(real, realTarget)) throw leavesTarget(place, real, realTarget);
      tops.set(place, real);
      return real;
    };
    const roots: TargetRoot[] = [];
    // What lies in another root is reached through it, so a symlink that an earlier restore has made is not followed.
    for (const { from, place, isFile } of directories)
      roots.push({ from, to: within(place) ?? resolve(place), isFile });
    for (const { from, place, isFile } of wanted.filter((root) => root.isFile))
      roots.push({
        from,
        to: within(place) ?? joinPath(resolve(parentOf(place)), baseName(place)),
        isFile,
      });
    this.roots = roots.sort((a, b) => b.from.length - a.from.length);
    this.#tops = new Set(tops.values());
  }

  /** The real path for a path of the server. @throws {CyrvaultError} `REPOSITORY_DAMAGED` for one that lies in no root. */
  locate(serverPath: ByteString): ByteString {
    requirePath(serverPath);
    const root = this.roots.find(({ from, isFile }) =>
      isFile ? serverPath === from : isWithin(serverPath, from),
    );
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
    if (realPath !== "/") {
      const isTop = this.#tops.has(realPath);
      if (isTop) makeAll(parentOf(realPath));
      else this.ensureDirectory(parentOf(realPath));
      if (this.#makeOne(realPath)) this.made.add(realPath);
    } else if (!this.#tops.has(realPath)) throw notAPath(realPath);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.add(realPath);
  }

  /** The directory that everything lies below: made if it is not there. */
  ensureTarget(): void {
    makeAll(this.target);
  }

  /** @returns whether it was not there, or was left unfinished. */
  #makeOne(realPath: ByteString): boolean {
    try {
      mkdirSync(toHeldPath(realPath), UNFINISHED_MODE);
      return true;
    } catch (error) {
      if (systemCode(error) !== "EEXIST")
        throw ioError(`cannot make the directory ${toText(realPath)}`, error);
    }
    const found = lstatSync(toHeldPath(realPath));
    if (found.isDirectory()) return this.#resumes && (found.mode & 0o7777) === UNFINISHED_MODE;
    throw notADirectory(realPath, found.isSymbolicLink());
  }

  #place(serverPath: ByteString): ByteString {
    const mapping = this.#mappings.find(({ from }) => isWithin(serverPath, from));
    const mapped =
      mapping === undefined ? serverPath : joinPath(mapping.to, relativeTo(serverPath, mapping.from));
    return this.target === "/" ? mapped : joinPath(this.target, mapped.slice(1) as ByteString);
  }
}

function makeAll(realPath: ByteString): void {
  try {
    mkdirSync(toFsPath(realPath), { recursive: true, mode: 0o755 });
  } catch (error) {
    if (systemCode(error) === "EEXIST" || systemCode(error) === "ENOTDIR")
      throw notADirectory(realPath, false);
    throw ioError(`cannot make the directory ${toText(realPath)}`, error);
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
      const code = systemCode(error);
      if (code === "ENOTDIR") throw notADirectory(parentOf(current), false);
      if (code !== "ENOENT" || current === "/") throw ioError(`cannot look at ${toText(current)}`, error);
      if (lstatSync(toFsPath(current), { throwIfNoEntry: false }) !== undefined)
        throw notADirectory(current, true);
      rest = joinPath(baseName(current), rest);
    }
  }
}

function requirePath(path: ByteString): void {
  if (!path.startsWith("/") || path.includes("\0") || normalise(path) !== path) throw notAPath(path);
}

function notAPath(path: ByteString): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    `the backup holds a path that can't be one: ${toText(path)}`,
  );
}

function leavesTarget(place: ByteString, real: ByteString, target: ByteString): CyrvaultError {
  return new CyrvaultError(
    "TARGET_REFUSED",
    `cannot restore: ${toText(place)} leads to ${toText(real)}, which lies outside of ${toText(target)}`,
    { hint: "nothing is written outside of the target: remove the symbolic link, or mount that place there" },
  );
}

function notADirectory(realPath: ByteString, isLink: boolean): CyrvaultError {
  return new CyrvaultError(
    "TARGET_REFUSED",
    `${toText(realPath)} is ${isLink ? "a symbolic link" : "no directory"}, and a directory must be there`,
    { hint: "nothing is written through it; move it away, or choose another target" },
  );
}
