/** Directory trees as values, and what differs between two of them. For trees of a sample server's size. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { lstatNs } from "../base/posix.ts";

/** By absolute path. The text says everything that a restore must bring back: type, mode, owner, time, content. */
export type Tree = ReadonlyMap<ByteString, string>;

const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const FILE = 0o100000;
const SYMLINK = 0o120000;

export function readTree(roots: readonly ByteString[]): Tree {
  const tree = new Map<ByteString, string>();
  const visit = (path: ByteString): void => {
    const stat = lstatNs(path);
    if (stat === undefined) return;
    const type = stat.mode & TYPE_BITS;
    const attributes = `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs}`;
    tree.set(path, `${attributes} ${contentOf(path, type)}`);
    if (type !== DIRECTORY) return;
    for (const name of readdirSync(toFsPath(path), { encoding: "latin1" }))
      visit(joinPath(path, name as ByteString));
  };
  roots.forEach(visit);
  return tree;
}

export interface Exceptions {
  /** Left out on purpose, with all that lies below. */
  readonly leftOut: ReadonlySet<ByteString>;
  /** Directories of which only single files are kept: they come back, with attributes of their own. */
  readonly onTheWay: ReadonlySet<ByteString>;
}

/**
 * @param actual - the same paths, but below `target`.
 * @returns a line for each difference.
 */
export function compareTrees(
  expected: Tree,
  actual: Tree,
  target: ByteString,
  { leftOut, onTheWay }: Exceptions,
): { readonly compared: number; readonly differences: readonly string[] } {
  const differences: string[] = [];
  let compared = 0;
  for (const [path, entry] of expected) {
    if (isLeftOut(path, leftOut)) continue;
    compared++;
    const restored = actual.get((target + path) as ByteString);
    if (restored === undefined) differences.push(`${toText(path)} is missing`);
    else if (restored !== entry && !onTheWay.has(path))
      differences.push(`${toText(path)} is ${restored}, was ${entry}`);
  }
  for (const path of actual.keys())
    if (!expected.has(path.slice(target.length) as ByteString))
      differences.push(`${toText(path)} was not there`);
  return { compared, differences };
}

function contentOf(path: ByteString, type: number): string {
  if (type === FILE)
    return createHash("sha256")
      .update(readFileSync(toFsPath(path)))
      .digest("hex");
  if (type === SYMLINK) return readlinkSync(toFsPath(path), { encoding: "latin1" });
  return "";
}

function isLeftOut(path: ByteString, leftOut: ReadonlySet<ByteString>): boolean {
  for (let at: string = path; at !== ""; at = at.slice(0, at.lastIndexOf("/")))
    if (leftOut.has(at as ByteString)) return true;
  return false;
}
