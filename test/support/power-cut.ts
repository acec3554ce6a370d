/**
 * What a disk holds after the power went: of all that was not synced anything may be there. Names: each may be what it
 * was at the last sync of its directory or at any time since, independently of all others. Content: what was not
 * synced is there, is not there, ends anywhere, or is there in some sectors and zero in others.
 */
import { contentOf, type DirectoryNode, type FileNode, type Node, type Nodes, ROOT } from "./disk-state.ts";

/** `nothing` and `everything` of what was not synced; a number: some of it, drawn by this seed. */
export type Survival = "nothing" | "everything" | number;

const SECTOR_BYTES = 512;

export interface Survived {
  /** All of it is durable. Of unreachable files nothing is left. */
  readonly nodes: Nodes;
  /** Equal for two cuts of one disk after which everything is the same, except below directories that `ignore` names. */
  readonly signature: string;
}

export function afterPowerCut(
  nodes: ReadonlyMap<number, Node>,
  survival: Survival,
  ignore: (path: string) => boolean = () => false,
): Survived {
  const random = typeof survival === "number" ? randomOf(survival) : () => 0;
  const left: Nodes = new Map();
  const fates = new Map<number, string>();
  const lines: string[] = [];

  const visit = (inode: number, path: string): void => {
    const node = nodes.get(inode) as Node;
    if (node.kind === "file") {
      let fate = fates.get(inode);
      if (fate === undefined) {
        const file = contentAfter(node, survival, random);
        left.set(inode, file.node);
        fate = file.fate;
        fates.set(inode, fate);
      }
      if (!ignore(path)) lines.push(`${path} ${inode} ${fate}`);
      return;
    }
    const entries = namesAfter(node, survival, random);
    left.set(inode, { ...node, entries, unsure: new Map() });
    if (!ignore(path)) lines.push(`${path}/`);
    for (const [name, child] of entries) visit(child, `${path}/${name}`);
  };
  visit(ROOT, "");
  return { nodes: left, signature: lines.sort().join("\n") };
}

function namesAfter(node: DirectoryNode, survival: Survival, random: () => number): Map<string, number> {
  const entries = new Map(node.entries);
  if (survival === "everything") return entries;
  for (const [name, states] of node.unsure) {
    const inode = states[Math.floor(random() * states.length)];
    if (inode === undefined) entries.delete(name);
    else entries.set(name, inode);
  }
  return entries;
}

function contentAfter(
  file: FileNode,
  survival: Survival,
  random: () => number,
): { readonly node: FileNode; readonly fate: string } {
  const whole = { node: { ...file, synced: file.length }, fate: `${file.length}` };
  if (file.synced === file.length || survival === "everything") return whole;
  if (survival === "nothing") return cutAt(file, file.synced);
  const unsynced = file.length - file.synced;
  switch (Math.floor(random() * 4)) {
    case 0:
      return cutAt(file, file.synced);
    case 1:
      return whole;
    case 2:
      return cutAt(file, file.synced + Math.floor(random() * (unsynced + 1)));
    default:
      return tornFrom(file, random);
  }
}

function cutAt(file: FileNode, length: number): { readonly node: FileNode; readonly fate: string } {
  const bytes = Buffer.from(contentOf(file).subarray(0, length));
  return { node: { ...file, parts: [bytes], length, synced: length }, fate: `${length}` };
}

function tornFrom(file: FileNode, random: () => number): { readonly node: FileNode; readonly fate: string } {
  const bytes = Buffer.from(contentOf(file));
  let fate = `${file.length} torn`;
  for (let at = file.synced; at < bytes.length; ) {
    const end = Math.min(bytes.length, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    if (random() < 0.5) {
      bytes.fill(0, at, end);
      fate += ` ${at}`;
    }
    at = end;
  }
  return { node: { ...file, parts: [bytes], synced: file.length }, fate };
}

/** 0 to 1. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
