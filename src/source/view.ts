/**
 * Where the server's paths lie for us: `--root` (the mount point of a frozen snapshot) and `--map FROM=TO`.
 *
 * A path is resolved as if the root were `/`: an absolute symlink inside a snapshot points back into the
 * snapshot, never at the live tree. Nothing here opens a file; `lstat` and `readlink` only.
 */
import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { type ByteString, fromText, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";

/** Both absolute, normalised, without a slash at the end. */
export interface PathMapping {
  readonly from: ByteString;
  readonly to: ByteString;
}

export interface ResolvedPath {
  /** As the server would name it after following every symlink. */
  readonly serverPath: ByteString;
  /** What to open. */
  readonly realPath: ByteString;
  /** The symlinks that were followed on the way, as on the server: without them the path means nothing after a restore. */
  readonly links: readonly ByteString[];
}

/** As the kernel: more links than this in one path is a loop. */
const SYMLINKS_MAX = 40;

export class SourceView {
  readonly root: ByteString;
  /** The longest FROM first; links on this machine (`/mnt/current`) in TO are followed. */
  readonly mappings: readonly PathMapping[];
  readonly #mappingsAsGiven: readonly PathMapping[];

  /** @param root - `/` when the server's own tree is read. */
  constructor(root: ByteString, mappings: readonly PathMapping[]) {
    this.root = normalise(root);
    this.#mappingsAsGiven = mappings
      .map((m) => ({ from: normalise(m.from), to: normalise(m.to) }))
      .sort((a, b) => b.from.length - a.from.length);
    this.mappings = this.#mappingsAsGiven.map(({ from, to }) => ({ from, to: realPathOf(to) }));
  }

  /** True when what is read may be a snapshot: then the live server's mounts say nothing about it. */
  get isMapped(): boolean {
    return this.root !== "/" || this.mappings.length > 0;
  }

  /** The longest mapping that covers a path decides; without one, the root. Follows no symlink. */
  locate(serverPath: ByteString): ByteString {
    for (const { from, to } of this.mappings) {
      if (isWithin(serverPath, from)) return joinPath(to, relativeTo(serverPath, from));
    }
    return this.root === "/" ? serverPath : joinPath(this.root, serverPath.slice(1) as ByteString);
  }

  /** The directory of ours below which a server path is looked up: the mapping's TO, or the root. */
  baseOf(serverPath: ByteString): ByteString {
    return this.mappings.find(({ from }) => isWithin(serverPath, from))?.to ?? this.root;
  }

  /**
   * Follows symlinks the way the server would.
   * @returns undefined when a component does not exist.
   * @throws {CyrvaultError} `SOURCE_INVALID` for a symlink loop; `IO`.
   */
  resolve(serverPath: ByteString): ResolvedPath | undefined {
    const pending = serverPath.split("/").filter(Boolean).reverse() as ByteString[];
    let current = "/" as ByteString;
    const links: ByteString[] = [];
    while (pending.length > 0) {
      const component = pending.pop() as ByteString;
      if (component === ".") continue;
      if (component === "..") {
        current = parentOf(current);
        continue;
      }
      const next = joinPath(current, component);
      const real = this.locate(next);
      const stat = lstat(real);
      if (stat === undefined) {
        // A directory above a mapped path need not exist in the root.
        if (!this.mappings.some(({ from }) => isWithin(from, next))) return undefined;
      } else if (stat.isSymbolicLink()) {
        links.push(next);
        if (links.length > SYMLINKS_MAX) {
          throw new CyrvaultError(
            "SOURCE_INVALID",
            `cannot resolve ${toText(serverPath)}: a loop of symbolic links`,
          );
        }
        const target = readlinkSync(toFsPath(real), { encoding: "latin1" }) as ByteString;
        pending.push(...(target.split("/").filter(Boolean).reverse() as ByteString[]));
        if (target.startsWith("/")) current = "/" as ByteString;
        continue;
      }
      current = next;
    }
    const realPath = this.locate(current);
    return lstat(realPath) === undefined ? undefined : { serverPath: current, realPath, links };
  }

  /** The server's name of one of our paths that lies below the root or a mapping; undefined for others. */
  serverPathOf(ourPath: ByteString): ByteString | undefined {
    const path = normalise(ourPath);
    for (const { from, to } of [...this.mappings, ...this.#mappingsAsGiven]) {
      if (isWithin(path, to)) return joinPath(from, relativeTo(path, to));
    }
    if (!isWithin(path, this.root)) return undefined;
    return joinPath("/" as ByteString, relativeTo(path, this.root));
  }

  /**
   * A snapshot of one filesystem does not hold another one that was mounted inside it. If the resolved place is
   * on another device than the base it was looked up under, then the base does not cover it.
   */
  requireSameDevice(resolved: Pick<ResolvedPath, "serverPath" | "realPath">, setting: string): void {
    if (!this.isMapped) return;
    const base = this.baseOf(resolved.serverPath);
    if (base === "/") return;
    const baseDevice = statSync(toFsPath(base), { bigint: true }).dev;
    const device = statSync(toFsPath(resolved.realPath), { bigint: true }).dev;
    if (device === baseDevice) return;
    throw new CyrvaultError(
      "SOURCE_INVALID",
      `${setting}: ${toText(resolved.serverPath)} lies on another filesystem than ${toText(base)}, so a snapshot mounted there does not hold it`,
      {
        hint: `if that place is frozen too, say so: --map ${toText(resolved.serverPath)}=${toText(resolved.realPath)}`,
      },
    );
  }
}

/** `FROM=TO` of the command line. */
export function parseMapping(text: string): PathMapping {
  const at = text.indexOf("=");
  const [from, to] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || !from.startsWith("/") || !to.startsWith("/")) {
    throw new CyrvaultError(
      "USAGE",
      `cannot use the mapping «${text}»: it must be FROM=TO with two absolute paths`,
      {
        hint: "for example --map /var/spool/cyrus/mail=/mnt/snapshot",
      },
    );
  }
  return { from: normalise(fromText(from)), to: normalise(fromText(to)) };
}

/** Absolute, single slashes, no `.`, `..` taken away textually, no slash at the end but for `/`. */
export function normalise(path: ByteString): ByteString {
  const out: string[] = [];
  for (const component of path.split("/")) {
    if (component === "..") out.pop();
    else if (component !== "" && component !== ".") out.push(component);
  }
  return `/${out.join("/")}` as ByteString;
}

/** Equal, or below. */
export function isWithin(path: ByteString, ancestor: ByteString): boolean {
  if (ancestor === "/") return path.startsWith("/");
  return path === ancestor || (path.startsWith(ancestor) && path[ancestor.length] === "/");
}

/** The rest of a path below an ancestor, "" for the ancestor itself. */
export function relativeTo(path: ByteString, ancestor: ByteString): ByteString {
  if (path === ancestor) return "" as ByteString;
  return path.slice(ancestor === "/" ? 1 : ancestor.length + 1) as ByteString;
}

export function parentOf(path: ByteString): ByteString {
  const at = path.lastIndexOf("/");
  return (at <= 0 ? "/" : path.slice(0, at)) as ByteString;
}

export function baseName(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1) as ByteString;
}

/** What is not there stays as it was given: whoever looks it up says so. */
function realPathOf(path: ByteString): ByteString {
  try {
    return realpathSync.native(toFsPath(path), { encoding: "latin1" }) as ByteString;
  } catch {
    return path;
  }
}

function lstat(path: ByteString): Stats | undefined {
  try {
    return lstatSync(toFsPath(path));
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new CyrvaultError("IO", `cannot look at ${toText(path)}: ${String(code)}`, { cause: error });
  }
}
