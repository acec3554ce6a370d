/**
 * Directory trees as plain values, and what differs between two of them: names, types, modes, owners, sizes,
 * content, times to the nanosecond, hard links, symlink targets.
 */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";

export interface TreeEntry {
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly sizeBytes: number;
  /** Files only. */
  readonly sha256: string | undefined;
  /** Symlinks only; bytes as Latin-1. */
  readonly target: string | undefined;
  /** Files with the same text are one file with several names. */
  readonly inode: string;
}

/** By path below the root (bytes as Latin-1, "." is the root itself). */
export type Tree = ReadonlyMap<string, TreeEntry>;

/** @param path - below the root. What it is true of, and all below, is left out of a comparison. */
export type Ignore = (path: string) => boolean;

export interface Comparison {
  readonly ignore?: Ignore;
  /** Of these only presence and type are compared: directories on the way to what is of interest. */
  readonly presenceOnly?: Ignore;
}

export function readTree(root: string): Tree {
  const tree = new Map<string, TreeEntry>();
  const visit = (path: string): void => {
    const entry = readEntry(Buffer.from(path === "." ? root : `${root}/${path}`, "latin1"));
    tree.set(path, entry);
    if (entry.type !== "directory") return;
    const full = Buffer.from(path === "." ? root : `${root}/${path}`, "latin1");
    const names = readdirSync(full, { encoding: "buffer" }).map((name) => name.toString("latin1"));
    for (const name of names.sort()) visit(path === "." ? name : `${path}/${name}`);
  };
  visit(".");
  return tree;
}

/** One line for each difference, none if the trees are equal. */
export function compareTrees(expected: Tree, actual: Tree, options: Comparison = {}): string[] {
  const left = without(expected, options.ignore);
  const right = without(actual, options.ignore);
  const leftLinks = linkNames(left);
  const rightLinks = linkNames(right);
  const differences: string[] = [];
  for (const [path, entry] of left) {
    const other = right.get(path);
    if (other === undefined) {
      differences.push(`${path}: missing`);
      continue;
    }
    const compare = (what: string, a: unknown, b: unknown) => {
      if (a !== b) differences.push(`${path}: ${what} is ${String(b)}, was ${String(a)}`);
    };
    compare("type", entry.type, other.type);
    if (options.presenceOnly?.(path) === true) continue;
    compare("mode", entry.mode.toString(8), other.mode.toString(8));
    compare("owner", `${entry.uid}:${entry.gid}`, `${other.uid}:${other.gid}`);
    compare("mtime", entry.mtimeNs, other.mtimeNs);
    if (entry.type !== "directory") compare("size", entry.sizeBytes, other.sizeBytes);
    compare("content", entry.sha256, other.sha256);
    compare("target", entry.target, other.target);
    compare("first name of the same file", leftLinks.get(entry.inode), rightLinks.get(other.inode));
  }
  for (const path of right.keys()) if (!left.has(path)) differences.push(`${path}: was not there`);
  return differences;
}

function readEntry(path: Buffer): TreeEntry {
  const stat = lstatSync(path, { bigint: true });
  const type = stat.isFile()
    ? "file"
    : stat.isDirectory()
      ? "directory"
      : stat.isSymbolicLink()
        ? "symlink"
        : "other";
  return {
    type,
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    sizeBytes: Number(stat.size),
    sha256: type === "file" ? hashFile(path) : undefined,
    target: type === "symlink" ? readlinkSync(path, { encoding: "buffer" }).toString("latin1") : undefined,
    inode: `${stat.dev}:${stat.ino}`,
  };
}

function hashFile(path: Buffer): string {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(1 << 20);
  const file = openSync(path, "r");
  try {
    for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

function without(tree: Tree, ignore: Ignore | undefined): Tree {
  if (ignore === undefined) return tree;
  const left = new Map<string, TreeEntry>();
  for (const [path, entry] of tree) {
    const parts = path.split("/");
    const ignored = parts.some((_, i) => ignore(parts.slice(0, i + 1).join("/")));
    if (!ignored) left.set(path, entry);
  }
  return left;
}

/** Inode to the alphabetically first of its names: equal in two trees if the same names are linked. */
function linkNames(tree: Tree): Map<string, string> {
  const names = new Map<string, string>();
  for (const [path, entry] of tree) {
    if (entry.type === "directory") continue;
    const first = names.get(entry.inode);
    if (first === undefined || path < first) names.set(entry.inode, path);
  }
  return names;
}
