/** The small files of one mailbox as they are while its locks are held. */
import { type ByteString, joinPath } from "../../base/byte-string.ts";
import type { FileStat } from "../../base/file-stat.ts";
import type { HeldFile, HeldMailbox, MailboxToHold } from "../held.ts";
import { lstatSource, SourceFile, type SourceStat } from "../read-file.ts";
import { baseName } from "../view.ts";
import { type Copy, type CopyPlace, GrowingFile } from "./copies.ts";

/** Looked for in each directory, whatever an earlier listing had. */
const KNOWN_NAMES = ["cyrus.header", "cyrus.index", "cyrus.annotations", "cyrus.cache"] as ByteString[];
/** Written in place, or with the index: copied under the lock. The rest only grows or is replaced. */
const COPIED = new Set<string>(["cyrus.header", "cyrus.index", "cyrus.annotations", "cyrus.expunge"]);

interface HeldEntry {
  readonly copy: Copy;
  readonly device: bigint;
}

export class MailboxSnapshot implements HeldMailbox {
  readonly isFrozen = false;
  readonly #files = new Map<ByteString, HeldEntry>();
  readonly #aside = new Map<ByteString, { readonly path: ByteString; readonly stat: FileStat }>();
  readonly problem: string | undefined;
  /** Time of day, ns. */
  readonly takenNs = BigInt(Date.now()) * 1_000_000n;
  /** Told whether it was whole. */
  onRelease: (isWhole: boolean) => void = () => undefined;

  /** @throws {CyrvaultError} `IO`; nothing is left open then. */
  constructor(mailbox: MailboxToHold, place: CopyPlace, problem?: string) {
    this.problem = problem;
    try {
      for (const { path, names } of mailbox.directories)
        for (const name of new Set([...KNOWN_NAMES, ...names])) this.#take(joinPath(path, name), name, place);
    } catch (error) {
      this.#discard();
      throw error;
    }
  }

  moreNames(directory: ByteString): readonly ByteString[] {
    return KNOWN_NAMES.filter((name) => this.#files.has(joinPath(directory, name)));
  }

  stat(path: ByteString): SourceStat | undefined {
    const held = this.#files.get(path);
    if (held !== undefined) return { type: "file", stat: held.copy.stat, device: held.device };
    return KNOWN_NAMES.includes(baseName(path)) ? undefined : lstatSource(path);
  }

  // An arrow: it is handed on by itself.
  open = (path: ByteString): HeldFile | undefined => {
    const held = this.#files.get(path);
    if (held !== undefined) return held.copy.open();
    return KNOWN_NAMES.includes(baseName(path)) ? undefined : SourceFile.open(path);
  };

  putAside(message: ByteString, path: ByteString, stat: FileStat): void {
    this.#aside.set(message, { path, stat });
  }

  asidePath(message: ByteString): { readonly path: ByteString; readonly stat: FileStat } | undefined {
    return this.#aside.get(message);
  }

  release(isWhole: boolean): void {
    this.#discard();
    this.onRelease(isWhole);
  }

  #discard(): void {
    for (const { copy } of this.#files.values()) copy.discard();
    this.#files.clear();
  }

  #take(path: ByteString, name: ByteString, place: CopyPlace): void {
    const source = SourceFile.open(path);
    if (source === undefined) return;
    const { device } = source;
    if (!COPIED.has(name)) {
      this.#files.set(path, { copy: new GrowingFile(source), device });
      return;
    }
    try {
      this.#files.set(path, { copy: place.copy(source), device });
    } finally {
      source.close();
    }
  }
}
