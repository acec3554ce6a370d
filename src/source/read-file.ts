/**
 * Reading the server's files: synchronously (that is five times as fast for small files as promises, and runs
 * in worker threads), never through a symlink, never blocking on a pipe, and never a byte more than was meant.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import type { FileStat } from "../base/file-stat.ts";
import { dropFromCache, isCached } from "../base/posix-page-cache.ts";
import { rawStatOf, statNoFollow } from "../base/posix-stat.ts";

export type FileType = "file" | "directory" | "symlink" | "special";

export interface SourceStat {
  readonly type: FileType;
  readonly stat: FileStat;
  readonly device: bigint;
}

export function toSourceStat(stats: BigIntStats): SourceStat {
  const type: FileType = stats.isFile()
    ? "file"
    : stats.isDirectory()
      ? "directory"
      : stats.isSymbolicLink()
        ? "symlink"
        : "special";
  return { type, ...rawStatOf(stats) };
}

/** undefined when there is nothing. @throws {CyrvaultError} `IO` for every other failure. */
export function lstatSource(path: ByteString): SourceStat | undefined {
  try {
    const found = statNoFollow(path);
    return found === undefined
      ? undefined
      : { type: typeOfMode(found.stat.mode), stat: found.stat, device: found.device };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw ioError("look at", path, error);
  }
}

function typeOfMode(mode: number): FileType {
  switch (mode & constants.S_IFMT) {
    case constants.S_IFREG:
      return "file";
    case constants.S_IFDIR:
      return "directory";
    case constants.S_IFLNK:
      return "symlink";
    default:
      return "special";
  }
}

export function readLinkSource(path: ByteString): ByteString {
  try {
    return readlinkSync(toFsPath(path), { encoding: "latin1" }) as ByteString;
  } catch (error) {
    throw ioError("read the symbolic link", path, error);
  }
}

/** An open regular file. Close it. */
export class SourceFile {
  readonly path: ByteString;
  readonly stat: FileStat;
  readonly device: bigint;
  readonly #fd: number;

  private constructor(path: ByteString, fd: number, { stat, device }: SourceStat) {
    this.path = path;
    this.#fd = fd;
    this.stat = stat;
    this.device = device;
  }

  /**
   * @returns undefined when there is no such file, or when it is now something else than a regular file.
   * @throws {CyrvaultError} `IO`.
   */
  static open(path: ByteString): SourceFile | undefined {
    const fd = openQuietly(path);
    if (fd === undefined) return undefined;
    try {
      const found = toSourceStat(fstatSync(fd, { bigint: true }));
      if (found.type === "file") return new SourceFile(path, fd, found);
    } catch (error) {
      closeSync(fd);
      throw ioError("look at", path, error);
    }
    closeSync(fd);
    return undefined;
  }

  /** At most `length` bytes from `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Buffer {
    return this.readInto(Buffer.allocUnsafe(length), offset);
  }

  /** As many bytes from `offset` as `target` has. @returns what was filled of it: less only at the end of the file. */
  readInto(target: Buffer, offset: number): Buffer {
    const { length } = target;
    let filled = 0;
    try {
      while (filled < length) {
        const count = readSync(this.#fd, target, filled, length - filled, offset + filled);
        if (count === 0) break;
        filled += count;
      }
    } catch (error) {
      throw ioError("read", this.path, error);
    }
    return filled === length ? target : target.subarray(0, filled);
  }

  /** What the file is now, for a comparison with `stat`. */
  statAgain(): FileStat {
    try {
      return toSourceStat(fstatSync(this.#fd, { bigint: true })).stat;
    } catch (error) {
      throw ioError("look at", this.path, error);
    }
  }

  /** Ask before reading. @returns false: nobody had it in memory, so that `dropFromCache` takes nothing from anybody. */
  isCached(): boolean | undefined {
    return isCached(this.#fd);
  }

  dropFromCache(): void {
    dropFromCache(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * A whole small file.
 * @returns undefined when there is none.
 * @throws {CyrvaultError} `SOURCE_INVALID` when it is larger than `maxBytes`; `IO`.
 */
export function readSourceFile(
  path: ByteString,
  maxBytes: number,
): { bytes: Buffer; stat: FileStat } | undefined {
  const file = SourceFile.open(path);
  if (file === undefined) return undefined;
  try {
    if (file.stat.size > maxBytes) {
      throw new CyrvaultError(
        "SOURCE_INVALID",
        `cannot read ${toText(path)}: ${file.stat.size} bytes are more than the ${maxBytes} expected at most`,
      );
    }
    return { bytes: file.read(0, file.stat.size), stat: file.stat };
  } finally {
    file.close();
  }
}

/** Same file, same content as far as a stat can tell. */
export function sameStat(a: FileStat, b: FileStat): boolean {
  return (
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.inode === b.inode &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid
  );
}

/** O_NOATIME is for a file's owner and root; others open it without. */
function openQuietly(path: ByteString): number | undefined {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  for (const extra of [constants.O_NOATIME, 0]) {
    try {
      return openSync(toFsPath(path), flags | extra);
    } catch (error) {
      if (extra !== 0 && systemCode(error) === "EPERM") continue;
      if (isAbsent(error) || systemCode(error) === "ELOOP" || systemCode(error) === "ENXIO") return undefined;
      throw ioError("open", path, error);
    }
  }
  return undefined;
}

export function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

function ioError(action: string, path: ByteString, cause: unknown): CyrvaultError {
  const code = systemCode(cause) ?? String(cause);
  return new CyrvaultError("IO", `cannot ${action} ${toText(path)}: ${code}`, {
    cause,
    ...(code === "EACCES" || code === "EPERM"
      ? { hint: "run as root, or as the user that Cyrus runs as" }
      : {}),
  });
}
