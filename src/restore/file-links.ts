/** Hard links between files that are no messages: what has been written under one of its names already. */
import type { ByteString } from "../base/byte-string.ts";
import { contentEquals } from "../manifest/content.ts";
import type { Content, FileStat } from "../manifest/model.ts";
import type { RestoreSelection } from "./selection.ts";

/** Of a file that had several names at the source. */
interface LinkedFile {
  readonly path: ByteString;
  readonly content: Content;
  readonly stat: FileStat;
}

export class FileLinks {
  readonly #selection: RestoreSelection;
  readonly #written = new Map<string, LinkedFile>();

  constructor(selection: RestoreSelection) {
    this.#selection = selection;
  }

  /** Where it has been written; undefined: write it. */
  find(serverPath: ByteString, content: Content, stat: FileStat): ByteString | undefined {
    if (stat.links <= 1) return undefined;
    const linked = this.#written.get(this.#keyOf(serverPath, stat));
    return linked !== undefined && isSameFile(linked, content, stat) ? linked.path : undefined;
  }

  /** @param path - where it has been written. The first one of a file counts. */
  written(serverPath: ByteString, path: ByteString, content: Content, stat: FileStat): void {
    if (stat.links <= 1) return;
    const key = this.#keyOf(serverPath, stat);
    if (!this.#written.has(key)) this.#written.set(key, { path, content, stat });
  }

  #keyOf(serverPath: ByteString, { inode }: FileStat): string {
    return `${this.#selection.placeOf(serverPath)?.path}\0${inode}`;
  }
}

function isSameFile(linked: LinkedFile, content: Content, { mode, mtimeNs }: FileStat): boolean {
  return (
    linked.stat.mode === mode && linked.stat.mtimeNs === mtimeNs && contentEquals(linked.content, content)
  );
}
