/**
 * The kernel's page cache, as far as somebody who reads much and once should spare it. Without the C library, and on
 * filesystems that cannot say what they hold, nothing is given back: it is never known to be ours then.
 */
import { nativeLibc } from "./posix-native.ts";

/** linux/fadvise.h, uapi/linux/fs.h. */
const POSIX_FADV_DONTNEED = 4;
const RWF_NOWAIT = 8;

const byte = Buffer.alloc(1);
let vector: Buffer | undefined;

/**
 * Whether somebody had the beginning of an open file in memory before us: one byte is read, and only if that takes no
 * disk. Costs some 2 µs.
 * @returns undefined: it cannot be told.
 */
export function isCached(fd: number): boolean | undefined {
  const preadv2 = nativeLibc().libc?.preadv2;
  if (preadv2 === undefined) return undefined;
  vector ??= vectorOf(byte);
  if (preadv2(fd, vector, 1, 0, RWF_NOWAIT) >= 0) return true;
  const { code } = nativeLibc().libc?.lastError("preadv2") ?? {};
  return code === "EAGAIN" ? false : undefined;
}

/** What was read of it goes, if nobody has written or mapped it. Advice: nothing is lost if it fails. */
export function dropFromCache(fd: number): void {
  nativeLibc().libc?.posix_fadvise?.(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** struct iovec. */
function vectorOf(buffer: Buffer): Buffer {
  const iovec = Buffer.alloc(16);
  iovec.writeBigUInt64LE(nativeLibc().libc?.addressOf(buffer) ?? 0n, 0);
  iovec.writeBigUInt64LE(BigInt(buffer.length), 8);
  return iovec;
}
