/**
 * Hard links between messages: which inodes had several names at the source, and where the first of them has been
 * written. Columns and numbers: a hundred bytes a linked file, nothing for the others.
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import type { MessageEntry } from "../manifest/model.ts";

interface Written {
  readonly directory: ByteString;
  readonly uid: number;
  /** What was written: the good one, where there is one. */
  readonly object: Uint8Array;
  readonly mode: number;
  readonly mtimeNs: bigint;
}

/** Beyond so many linked files the rest is written as copies: the same content, more space. */
const LINKED_MAX = 1_000_000;

/** Messages of one partition's data directory lie in one filesystem, those of its archive in another one. */
export function filesystemOf(partition: ByteString, role: string | undefined): string {
  return `${role ?? "data"}\0${partition}`;
}

export class LinkTable {
  readonly #linked = new Map<string, Set<number>>();
  readonly #written = new Map<string, Map<number, Written>>();
  readonly #linkedMax: number;
  #count = 0;
  #full = false;

  constructor(linkedMax = LINKED_MAX) {
    this.#linkedMax = linkedMax;
  }

  /** There are more linked files than we can remember: some come back as copies. */
  get full(): boolean {
    return this.#full;
  }

  /** For every message of the restore, before the first is written. @param filesystem - a name for the source's filesystem. */
  note(filesystem: string, entry: MessageEntry): void {
    if (!entry.linked || entry.inode === 0) return;
    let inodes = this.#linked.get(filesystem);
    if (inodes === undefined) {
      inodes = new Set();
      this.#linked.set(filesystem, inodes);
    }
    if (inodes.has(entry.inode)) return;
    if (this.#count >= this.#linkedMax) {
      this.#full = true;
      return;
    }
    this.#count++;
    inodes.add(entry.inode);
  }

  /** Whether there may be links to it, as far as we can remember. */
  has(filesystem: string, { inode }: MessageEntry): boolean {
    return this.#linked.get(filesystem)?.has(inode) === true;
  }

  /** A path already written that this message was a link to; undefined: write it. */
  find(filesystem: string, entry: MessageEntry): ByteString | undefined {
    const known = this.#written.get(filesystem)?.get(entry.inode);
    if (known === undefined || known.mode !== entry.mode || known.mtimeNs !== entry.mtimeNs) return undefined;
    return equalBytes(known.object, entry.good ?? entry.object)
      ? joinPath(known.directory, `${known.uid}.` as ByteString)
      : undefined;
  }

  /** @param directory - where it was written. */
  written(filesystem: string, entry: MessageEntry, directory: ByteString): void {
    if (!this.has(filesystem, entry)) return;
    let files = this.#written.get(filesystem);
    if (files === undefined) {
      files = new Map();
      this.#written.set(filesystem, files);
    }
    if (files.has(entry.inode)) return;
    const { uid, mode, mtimeNs } = entry;
    const object = Uint8Array.from(entry.good ?? entry.object);
    files.set(entry.inode, { directory, uid, object, mode, mtimeNs });
  }
}
