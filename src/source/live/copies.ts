/**
 * Copies of files that change under our eyes, made while a lock is held: in memory, or in a temporary file that has
 * no name any more.
 */
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteString, fromText } from "../../base/byte-string.ts";
import type { FileStat } from "../../base/file-stat.ts";
import { ioError } from "../../base/io-error.ts";
import { isProcessAlive } from "../../base/processes.ts";
import type { HeldFile } from "../held.ts";
import type { SourceFile } from "../read-file.ts";

/** Of one copy in memory. */
const MEMORY_BYTES = 256 * 1024;
const STRETCH_BYTES = 1024 * 1024;

/** With the number of the process, and something that tells directories apart. */
const NAME = "cyrvault-live-";
/** In another container that has the same directory the number may be somebody's who runs: copies live for minutes. */
const OLD_MS = 60 * 60_000;

/** What a run has left that was killed: mail, perhaps. Those of other users, and of whoever still runs, stay. */
export function removeCopiesOfTheDead(parent: string = tmpdir()): void {
  const uid = process.geteuid?.();
  for (const name of namesIn(parent)) {
    const pid = new RegExp(`^${NAME}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || Number(pid) === process.pid || isProcessAlive(Number(pid))) continue;
    try {
      const stat = lstatSync(join(parent, name));
      const isOld = stat.mtimeMs < Date.now() - OLD_MS;
      if (stat.isDirectory() && stat.uid === uid && isOld) rmSync(join(parent, name), { recursive: true });
    } catch {
      // Somebody else was quicker, or it stays for the next one.
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What was copied, to be read as often as need be until it is let go. */
export interface Copy {
  readonly stat: FileStat;
  open(): HeldFile;
  discard(): void;
}

export class CopyPlace {
  readonly #parent: string;
  #directory: string | undefined;
  #count = 0;

  /** @param parent - a directory for temporary files, only touched when there is something too large for memory. */
  constructor(parent: string = tmpdir()) {
    this.#parent = parent;
  }

  /** Of the file as it is now: what comes to be longer meanwhile is cut. @throws {CyrvaultError} `IO`. */
  copy(source: SourceFile): Copy {
    const { stat } = source;
    if (stat.size <= MEMORY_BYTES) return new MemoryCopy(stat, Buffer.from(source.read(0, stat.size)));
    const path = this.#newName();
    try {
      const fd = openSync(path, "wx+", 0o600);
      try {
        unlinkSync(path);
        writeAll(source, fd);
        return new FileCopy(stat, fd);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    } catch (error) {
      throw ioError("cannot write a temporary copy", error);
    }
  }

  /** One that has a name, for who reads by path. `close` removes it. @throws {CyrvaultError} `IO`. */
  copyNamed(source: SourceFile): ByteString {
    const path = this.#newName();
    try {
      const fd = openSync(path, "wx", 0o600);
      try {
        writeAll(source, fd);
      } finally {
        closeSync(fd);
      }
      return fromText(path);
    } catch (error) {
      throw ioError("cannot write a temporary copy", error);
    }
  }

  close(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = undefined;
  }

  #newName(): string {
    try {
      if (this.#directory === undefined) {
        mkdirSync(this.#parent, { recursive: true });
        this.#directory = mkdtempSync(join(this.#parent, `${NAME}${process.pid}-`));
      }
    } catch (error) {
      throw ioError("cannot make a directory for temporary copies", error);
    }
    return join(this.#directory, String(++this.#count));
  }
}

function writeAll(source: SourceFile, fd: number): void {
  for (let offset = 0; offset < source.stat.size; ) {
    const bytes = source.read(offset, Math.min(STRETCH_BYTES, source.stat.size - offset));
    if (bytes.length === 0) return;
    for (let written = 0; written < bytes.length; )
      written += writeSync(fd, bytes, written, bytes.length - written, offset + written);
    offset += bytes.length;
  }
}

class MemoryCopy implements Copy {
  readonly stat: FileStat;
  readonly #bytes: Buffer;

  constructor(stat: FileStat, bytes: Buffer) {
    this.stat = stat;
    this.#bytes = bytes;
  }

  open(): HeldFile {
    return heldFile(this.stat, (offset, length) =>
      Buffer.from(this.#bytes.subarray(offset, offset + length)),
    );
  }

  discard(): void {}
}

class FileCopy implements Copy {
  readonly stat: FileStat;
  readonly #fd: number;

  constructor(stat: FileStat, fd: number) {
    this.stat = stat;
    this.#fd = fd;
  }

  open(): HeldFile {
    return heldFile(this.stat, (offset, length) => {
      const bytes = Buffer.allocUnsafe(length);
      let filled = 0;
      for (let count = -1; count !== 0 && filled < length; filled += count)
        count = readSync(this.#fd, bytes, filled, length - filled, offset + filled);
      return bytes.subarray(0, filled);
    });
  }

  discard(): void {
    closeSync(this.#fd);
  }
}

/**
 * The first bytes of a file that only ever grows, of the file itself: it stays open, and so stays what it was even if
 * another one takes its name.
 */
export class GrowingFile implements Copy {
  readonly stat: FileStat;
  readonly #source: SourceFile;

  constructor(source: SourceFile) {
    this.stat = source.stat;
    this.#source = source;
  }

  open(): HeldFile {
    const { size } = this.stat;
    return heldFile(this.stat, (offset, length) =>
      this.#source.read(offset, Math.max(0, Math.min(length, size - offset))),
    );
  }

  discard(): void {
    this.#source.close();
  }
}

function heldFile(stat: FileStat, read: HeldFile["read"]): HeldFile {
  return {
    stat,
    read,
    statAgain: () => stat,
    isCached: () => undefined,
    dropFromCache: () => undefined,
    close: () => undefined,
  };
}
