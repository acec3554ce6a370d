/**
 * A disk in memory behind the seam of a repository's files. It notes every change, so that a test can run a command
 * once and then ask for the disk as a power cut after any of its changes might leave it; and it can fail any call.
 * No symlinks, no permissions.
 */
import type { DirectoryEntry, FileStats, FileSystem, OpenFile } from "../../src/base/file-system.ts";
import {
  apply,
  type Change,
  contentOf,
  directoryAt,
  emptyDirectory,
  fileAt,
  type Node,
  type Nodes,
  ROOT,
  type Slot,
} from "./disk-state.ts";
import { afterPowerCut, type Survival } from "./power-cut.ts";

export type CallKind = Change["kind"] | "open" | "read" | "stat" | "list" | "close";

export interface Call {
  readonly kind: CallKind;
  readonly path: string;
  /** Whether it changes the disk, or would. */
  readonly changes: boolean;
}

/** @returns a system's error code: the call fails with it. */
export type Fault = (call: Call) => string | undefined;

export interface CrashedDisk {
  readonly disk: SimulatedDisk;
  readonly signature: string;
}

export class SimulatedDisk implements FileSystem {
  /** Asked before each call. Of a failing write the first half is done. */
  fault: Fault = () => undefined;
  nowMs = 1_800_000_000_000;
  /** So many bytes at most by one call of read or write. */
  transferMax = Number.POSITIVE_INFINITY;
  /** False: as on filesystems that have no hard links. */
  knowsLinks = true;
  readonly #nodes: Nodes;
  readonly #atStart: ReadonlyMap<number, Node>;
  readonly #changes: Change[] = [];
  #nextInode: number;

  constructor(nodes?: ReadonlyMap<number, Node>) {
    this.#nodes = new Map(nodes ?? [[ROOT, emptyDirectory(this.nowMs)]]);
    this.#atStart = new Map(this.#nodes);
    this.#nextInode = Math.max(...this.#nodes.keys()) + 1;
  }

  /** What was done to it since it was made. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** The same, after an orderly shutdown: everything is durable. */
  copy(): SimulatedDisk {
    return new SimulatedDisk(afterPowerCut(this.#nodes, "everything").nodes);
  }

  /** What another machine finds on it when the power goes after so many changes. @param ignore - for the signature. */
  cutAfter(changes: number, survival: Survival, ignore?: (path: string) => boolean): CrashedDisk {
    const nodes = new Map(this.#atStart);
    for (const change of this.#changes.slice(0, changes)) apply(nodes, change, this.nowMs);
    const { nodes: left, signature } = afterPowerCut(nodes, survival, ignore);
    return { disk: new SimulatedDisk(left), signature };
  }

  /** Paths and contents of all files. */
  files(): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    const visit = (inode: number, path: string): void => {
      const node = this.#nodes.get(inode) as Node;
      if (node.kind === "file") found.set(path, contentOf(node));
      else for (const [name, child] of node.entries) visit(child, `${path}/${name}`);
    };
    visit(ROOT, "");
    return found;
  }

  async create(path: string, _mode: number): Promise<OpenFile> {
    this.#call("create", path, true);
    const to = this.#slot(path, "create");
    if (this.#inodeAt(to) !== undefined) throw systemError("EEXIST", "create", path);
    const inode = this.#nextInode++;
    this.#change({ kind: "create", path, to, inode });
    return this.#opened(path, inode, true);
  }

  async open(path: string): Promise<OpenFile> {
    this.#call("open", path, false);
    return this.#opened(path, this.#find(path, "open"), false);
  }

  async link(from: string, to: string): Promise<void> {
    this.#call("link", to, true);
    if (!this.knowsLinks) throw systemError("EPERM", "link", to);
    const inode = this.#find(from, "link");
    const slot = this.#slot(to, "link");
    if (this.#inodeAt(slot) !== undefined) throw systemError("EEXIST", "link", to);
    this.#change({ kind: "link", path: to, to: slot, inode });
  }

  async rename(from: string, to: string): Promise<void> {
    this.#call("rename", to, true);
    const inode = this.#find(from, "rename");
    const slot = this.#slot(to, "rename");
    const there = this.#inodeAt(slot);
    if (there !== undefined && this.#nodes.get(there)?.kind === "directory")
      throw systemError("EISDIR", "rename", to);
    this.#change({ kind: "rename", path: to, from: this.#slot(from, "rename"), to: slot, inode });
  }

  async renameNoReplace(from: string, to: string): Promise<"renamed" | "exists" | "unsupported"> {
    if (this.#inodeAt(this.#slot(to, "rename")) !== undefined) return "exists";
    await this.rename(from, to);
    return "renamed";
  }

  async unlink(path: string): Promise<void> {
    this.#call("unlink", path, true);
    const inode = this.#find(path, "unlink");
    if (this.#nodes.get(inode)?.kind === "directory") throw systemError("EISDIR", "unlink", path);
    this.#change({ kind: "unlink", path, from: this.#slot(path, "unlink") });
  }

  async mkdir(path: string, _mode: number): Promise<void> {
    this.#call("mkdir", path, true);
    const to = this.#slot(path, "mkdir");
    if (this.#inodeAt(to) !== undefined) throw systemError("EEXIST", "mkdir", path);
    this.#change({ kind: "mkdir", path, to, inode: this.#nextInode++ });
  }

  async stat(path: string): Promise<FileStats> {
    this.#call("stat", path, false);
    return statsOf(this.#nodes.get(this.#find(path, "stat")) as Node);
  }

  lstat(path: string): Promise<FileStats> {
    return this.stat(path);
  }

  async identify(path: string): Promise<string> {
    this.#call("stat", path, false);
    return String(this.#find(path, "stat"));
  }

  async *entries(path: string): AsyncGenerator<DirectoryEntry> {
    this.#call("list", path, false);
    const node = this.#nodes.get(this.#find(path, "list")) as Node;
    if (node.kind !== "directory") throw systemError("ENOTDIR", "list", path);
    for (const [name, inode] of node.entries) {
      const { isFile, isDirectory } = statsOf(this.#nodes.get(inode) as Node);
      yield { name, isFile, isDirectory };
    }
  }

  #opened(path: string, inode: number, isWritten: boolean): OpenFile {
    return {
      read: async (buffer, offset, length, position) => {
        this.#call("read", path, false);
        if (this.#nodes.get(inode)?.kind === "directory") throw systemError("EISDIR", "read", path);
        const content = contentOf(fileAt(this.#nodes, inode));
        const bytes = content.subarray(position, position + Math.min(length, this.transferMax));
        buffer.set(bytes, offset);
        return { bytesRead: bytes.length };
      },
      write: async (bytes, offset, length) => {
        const write = (count: number) =>
          this.#change({
            kind: "write",
            path,
            inode,
            bytes: Buffer.from(bytes.subarray(offset, offset + count)),
          });
        this.#call("write", path, true, () => write(length >> 1));
        const bytesWritten = Math.min(length, this.transferMax);
        write(bytesWritten);
        return { bytesWritten };
      },
      sync: async () => {
        this.#call("sync", path, true);
        this.#change({ kind: "sync", path, inode });
      },
      stat: async () => {
        this.#call("stat", path, false);
        return statsOf(this.#nodes.get(inode) as Node);
      },
      close: async () => this.#call("close", path, isWritten),
    };
  }

  #call(kind: CallKind, path: string, changes: boolean, halfDone: () => void = () => undefined): void {
    const code = this.fault({ kind, path, changes });
    if (code === undefined) return;
    halfDone();
    throw systemError(code, kind, path);
  }

  #change(change: Change): void {
    apply(this.#nodes, change, this.nowMs);
    this.#changes.push(change);
  }

  #slot(path: string, call: string): Slot {
    const cut = path.lastIndexOf("/");
    const directory = this.#find(path.slice(0, cut), call);
    if (this.#nodes.get(directory)?.kind !== "directory") throw systemError("ENOTDIR", call, path);
    return { directory, name: path.slice(cut + 1) };
  }

  #inodeAt({ directory, name }: Slot): number | undefined {
    return directoryAt(this.#nodes, directory).entries.get(name);
  }

  #find(path: string, call: string): number {
    let inode = ROOT;
    for (const name of path.split("/")) {
      if (name === "") continue;
      const node = this.#nodes.get(inode) as Node;
      if (node.kind !== "directory") throw systemError("ENOTDIR", call, path);
      const next = node.entries.get(name);
      if (next === undefined) throw systemError("ENOENT", call, path);
      inode = next;
    }
    return inode;
  }
}

function statsOf(node: Node): FileStats {
  return {
    size: node.kind === "file" ? node.length : 0,
    mtimeMs: node.mtimeMs,
    isFile: () => node.kind === "file",
    isDirectory: () => node.kind === "directory",
  };
}

function systemError(code: string, call: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: on a simulated disk, ${call} '${path}'`), {
    code,
    path,
    syscall: call,
  });
}
