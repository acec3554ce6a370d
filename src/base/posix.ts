/**
 * The one seam for what Node lacks: times to the nanosecond, syncfs, locks of the open file description, names
 * of extended attributes, a rename that replaces nothing. Everything here is synchronous: it is used in workers.
 *
 * Without the C library (no koffi for this machine) the rest of cyrvault still works: `posixCapabilities` says
 * what is weaker, each function says how. docs/decisions/0001-what-node-lacks.md has the reasons and figures.
 */
import { spawnSync } from "node:child_process";
import { constants, lstatSync, lutimesSync, openSync } from "node:fs";
import { type ByteString, fromBytes, toBytes, toFsPath, toText } from "./byte-string.ts";
import { CyrvaultError, systemCode } from "./errors.ts";
import type { FileStat } from "./file-stat.ts";
import { errnoError, ioError } from "./io-error.ts";
import { nativeLibc } from "./posix-native.ts";

export interface PosixCapabilities {
  /** False: restored times are rounded to about a microsecond. */
  readonly nanosecondTimes: boolean;
  /** False: `tryLock` and `unlock` refuse. */
  readonly ofdLocks: boolean;
  /** False: `listXattrs` answers undefined. */
  readonly xattrs: boolean;
  /** False: `renameNoReplace` answers "unsupported". */
  readonly renameNoReplace: boolean;
  /** Why something above is false, for a person. */
  readonly reason: string | undefined;
}

export function posixCapabilities(): PosixCapabilities {
  const native = nativeLibc();
  const all = native.libc !== undefined;
  const renameNoReplace = native.libc?.renameat2 !== undefined;
  return {
    nanosecondTimes: all,
    ofdLocks: all,
    xattrs: all,
    renameNoReplace,
    reason: native.libc === undefined ? native.reason : renameNoReplace ? undefined : "no renameat2 in libc",
  };
}

/** Of the file itself, not of what a symlink points to. @returns undefined when there is none. */
export function lstatNs(path: ByteString): FileStat | undefined {
  let stat: ReturnType<typeof lstatBig>;
  try {
    stat = lstatBig(path);
  } catch (cause) {
    if (isAbsent(cause)) return undefined;
    throw ioError(`cannot stat ${toText(path)}`, cause);
  }
  if (stat === undefined) return undefined;
  return {
    mode: Number(stat.mode),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    inode: foldInode(stat.ino),
    links: Number(stat.nlink),
  };
}

/** `throwIfNoEntry: false` makes an absent file 11 times cheaper than a caught exception. */
function lstatBig(path: ByteString) {
  return lstatSync(toFsPath(path), { bigint: true, throwIfNoEntry: false });
}

/** Exact up to 2^53, above it the high bits are xored into the low ones. */
export function foldInode(inode: bigint): number {
  const unsigned = BigInt.asUintN(64, inode);
  return Number(BigInt.asUintN(53, unsigned) ^ (unsigned >> 53n));
}

/**
 * Opens without following a symlink at the last component and without waiting for a pipe's other end.
 * (libuv adds O_CLOEXEC to every open.)
 *
 * @param flags - of node:fs `constants`: O_RDONLY, O_WRONLY | O_CREAT | O_EXCL, ….
 * @returns a file descriptor, the caller closes it; undefined when there is no such file and O_CREAT was not asked.
 * @throws {CyrvaultError} `IO`, with cause ELOOP for a symlink.
 */
export function openNoFollow(path: ByteString, flags: number, mode = 0o600): number | undefined {
  try {
    return openSync(toFsPath(path), flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, mode);
  } catch (cause) {
    if (isAbsent(cause) && (flags & constants.O_CREAT) === 0) return undefined;
    throw ioError(`cannot open ${toText(path)}`, cause);
  }
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_OMIT = 0x3fff_fffe;
const NS_PER_S = 1_000_000_000n;

/**
 * Sets the time of last modification of a file, directory or symlink (itself, never its target); the time of
 * last access stays. Without the C library the time is rounded to what a double holds, about a microsecond.
 */
export function setMtimeNs(path: ByteString, mtimeNs: bigint): void {
  const { libc } = nativeLibc();
  try {
    if (libc === undefined) {
      const { atimeMs } = lstatSync(toFsPath(path));
      lutimesSync(toFsPath(path), atimeMs / 1000, Number(mtimeNs) / 1e9);
      return;
    }
    const result = libc.utimensat(AT_FDCWD, cPath(path), timespecs(mtimeNs), AT_SYMLINK_NOFOLLOW);
    if (result !== 0) throw libc.lastError("utimensat");
  } catch (cause) {
    throw ioError(`cannot set the time of ${toText(path)}`, cause);
  }
}

/** struct timespec[2]: { i64 seconds, i64 nanoseconds } for access, then for modification. */
function timespecs(mtimeNs: bigint): Buffer {
  const nanoseconds = ((mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const times = Buffer.alloc(32);
  times.writeBigInt64LE(BigInt(UTIME_OMIT), 8);
  times.writeBigInt64LE((mtimeNs - nanoseconds) / NS_PER_S, 16);
  times.writeBigInt64LE(nanoseconds, 24);
  return times;
}

/**
 * Everything written to the filesystem of this open file is durable when it returns. The kernel reports a failed
 * write-back only to descriptors that were open when it happened: open `fd` before writing.
 * Without the C library: `sync`, which covers all filesystems and reports nothing.
 */
export function syncFilesystem(fd: number): void {
  const { libc } = nativeLibc();
  try {
    if (libc === undefined) {
      const done = spawnSync("sync", [], { stdio: "ignore" });
      if (done.error !== undefined) throw done.error;
      if (done.status !== 0) throw new Error(`sync ended with ${done.status ?? done.signal}`);
    } else if (libc.syncfs(fd) !== 0) throw libc.lastError("syncfs");
  } catch (cause) {
    throw ioError("cannot make the filesystem durable", cause);
  }
}

export type LockKind = "read" | "write";

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

/**
 * Locks the whole file for this open file description: it holds against other descriptions of this process too,
 * against Cyrus's own fcntl locks, and is gone when the last copy of the descriptor is closed. `fd` must be open
 * for reading (read lock) or writing (write lock). A held lock is converted.
 *
 * @returns false when somebody else holds a lock that excludes this one.
 */
export function tryLock(fd: number, kind: LockKind): boolean {
  const error = setLock(fd, kind === "read" ? F_RDLCK : F_WRLCK);
  if (error === undefined) return true;
  if (error.code === "EAGAIN" || error.code === "EACCES") return false;
  throw ioError("cannot lock a file", error);
}

export function unlock(fd: number): void {
  const error = setLock(fd, F_UNLCK);
  if (error !== undefined) throw ioError("cannot unlock a file", error);
}

/** struct flock: i16 type, i16 whence (0: from the start), i64 start at 8, i64 length at 16 (0: all), i32 pid (must be 0). */
function setLock(fd: number, type: number): NodeJS.ErrnoException | undefined {
  const native = nativeLibc();
  if (native.libc === undefined)
    throw new CyrvaultError("IO", `this machine gives no file locks: ${native.reason}`, {
      cause: native.cause,
    });
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(type, 0);
  return native.libc.fcntl(fd, F_OFD_SETLK, "void *", flock) === 0
    ? undefined
    : native.libc.lastError("fcntl F_OFD_SETLK");
}

const RENAME_NOREPLACE = 1;

/**
 * Renames unless the new name exists, in one step.
 * @returns "unsupported" when the C library, the kernel or this filesystem cannot do it.
 */
export function renameNoReplace(from: ByteString, to: ByteString): "renamed" | "exists" | "unsupported" {
  const { libc } = nativeLibc();
  if (libc?.renameat2 === undefined) return "unsupported";
  if (libc.renameat2(AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), RENAME_NOREPLACE) === 0) return "renamed";
  const error = libc.lastError("renameat2");
  if (error.code === "EEXIST") return "exists";
  if (error.code === "EINVAL" || error.code === "ENOSYS" || error.code === "ENOTSUP") return "unsupported";
  throw ioError(`cannot rename ${toText(from)} to ${toText(to)}`, error);
}

/** The kernel's XATTR_LIST_MAX. */
const XATTR_LIST_BYTES_MAX = 65_536;

/**
 * Names of the extended attributes of a file, directory or symlink (itself); POSIX ACLs are among them as
 * `system.posix_acl_access` and `system.posix_acl_default`. Empty where there are none, the filesystem has none
 * or the file is gone; undefined when they cannot be asked for (no C library).
 */
export function listXattrs(path: ByteString): readonly ByteString[] | undefined {
  const { libc } = nativeLibc();
  if (libc === undefined) return undefined;
  xattrList ??= Buffer.alloc(XATTR_LIST_BYTES_MAX);
  const bytes = Number(libc.llistxattr(cPath(path), xattrList, xattrList.length));
  if (bytes === 0) return [];
  if (bytes < 0) {
    const error = libc.lastError("llistxattr");
    if (isAbsent(error) || error.code === "ENOTSUP" || error.code === "EOPNOTSUPP") return [];
    throw ioError(`cannot list the extended attributes of ${toText(path)}`, error);
  }
  const names = fromBytes(xattrList.subarray(0, bytes)).split("\0") as ByteString[];
  return names.filter((name) => name !== "");
}

let xattrList: Buffer | undefined;

/** With its final NUL. A NUL inside would cut the path short: no file has such a name. */
function cPath(path: ByteString): Buffer {
  if (path.includes("\0")) throw ioError("cannot use a path", errnoError(22, "a NUL in a path"));
  return toBytes(`${path}\0` as ByteString);
}

/** The name leads to no file. EIO, EACCES and the like say nothing about that. */
function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}
