/**
 * What a simulated disk holds: for each file which bytes are written and how many of them are synced, for each
 * directory its names and what each name may be after a power cut. Values: a changed node is a new one, so that a copy
 * of a whole disk costs one map.
 */

export interface FileNode {
  readonly kind: "file";
  /** Written one behind the other. */
  readonly parts: readonly Buffer[];
  readonly length: number;
  /** So much of it is on the platter. */
  readonly synced: number;
  readonly mtimeMs: number;
}

export interface DirectoryNode {
  readonly kind: "directory";
  readonly entries: ReadonlyMap<string, number>;
  /** Names that were changed since the last sync: all that they have been, the durable one first. */
  readonly unsure: ReadonlyMap<string, readonly (number | undefined)[]>;
  readonly mtimeMs: number;
}

export type Node = FileNode | DirectoryNode;
export type Nodes = Map<number, Node>;

export const ROOT = 1;

/** What changes a disk. Each is one step: it is done or not, and what a power cut leaves of it is another matter. */
export type Change =
  | {
      readonly kind: "create" | "mkdir" | "link";
      readonly path: string;
      readonly to: Slot;
      readonly inode: number;
    }
  | { readonly kind: "write"; readonly path: string; readonly inode: number; readonly bytes: Buffer }
  | { readonly kind: "sync"; readonly path: string; readonly inode: number }
  | { readonly kind: "unlink"; readonly path: string; readonly from: Slot }
  | {
      readonly kind: "rename";
      readonly path: string;
      readonly from: Slot;
      readonly to: Slot;
      readonly inode: number;
    };

/** A name in a directory. */
export interface Slot {
  readonly directory: number;
  readonly name: string;
}

export function emptyDirectory(mtimeMs: number): DirectoryNode {
  return { kind: "directory", entries: new Map(), unsure: new Map(), mtimeMs };
}

export function apply(nodes: Nodes, change: Change, nowMs: number): void {
  switch (change.kind) {
    case "create":
      nodes.set(change.inode, { kind: "file", parts: [], length: 0, synced: 0, mtimeMs: nowMs });
      setName(nodes, change.to, change.inode);
      break;
    case "mkdir":
      nodes.set(change.inode, emptyDirectory(nowMs));
      setName(nodes, change.to, change.inode);
      break;
    case "link":
      setName(nodes, change.to, change.inode);
      break;
    case "write": {
      const file = fileAt(nodes, change.inode);
      const parts = [...file.parts, change.bytes];
      nodes.set(change.inode, { ...file, parts, length: file.length + change.bytes.length, mtimeMs: nowMs });
      break;
    }
    case "sync": {
      const node = nodes.get(change.inode) as Node;
      if (node.kind === "file") nodes.set(change.inode, { ...node, synced: node.length });
      else nodes.set(change.inode, { ...node, unsure: new Map() });
      break;
    }
    case "unlink":
      setName(nodes, change.from, undefined);
      break;
    case "rename":
      setName(nodes, change.to, change.inode);
      setName(nodes, change.from, undefined);
  }
}

export function directoryAt(nodes: Nodes, inode: number): DirectoryNode {
  const node = nodes.get(inode);
  if (node?.kind !== "directory") throw new TypeError(`no directory: ${inode}`);
  return node;
}

export function fileAt(nodes: Nodes, inode: number): FileNode {
  const node = nodes.get(inode);
  if (node?.kind !== "file") throw new TypeError(`no file: ${inode}`);
  return node;
}

export function contentOf({ parts, length }: FileNode): Buffer {
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, length);
}

function setName(nodes: Nodes, { directory, name }: Slot, inode: number | undefined): void {
  const node = directoryAt(nodes, directory);
  const entries = new Map(node.entries);
  const before = entries.get(name);
  if (inode === undefined) entries.delete(name);
  else entries.set(name, inode);
  const unsure = new Map(node.unsure);
  unsure.set(name, [...(unsure.get(name) ?? [before]), inode]);
  nodes.set(directory, { ...node, entries, unsure });
}
