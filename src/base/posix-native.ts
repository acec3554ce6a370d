/**
 * The C library, by koffi. Only posix*.ts use this. Loaded at the first call, once per thread (10 ms): a command
 * that needs nothing of it does not pay for it.
 *
 * Paths and structures go over as Buffers: a Buffer argument is the address of its bytes, nothing is copied.
 */
import { createRequire } from "node:module";
import { arch, platform } from "node:process";
import { errnoError } from "./io-error.ts";

/** C `int` functions: 0 or more is success, -1 means look at `lastError`. The `_r` ones return the errno instead. */
export interface Libc {
  readonly utimensat: (directory: number, path: Buffer | null, times: Buffer, flags: number) => number;
  readonly syncfs: (fd: number) => number;
  readonly fcntl: (fd: number, command: number, type: "void *", argument: Buffer) => number;
  readonly llistxattr: (path: Buffer, list: Buffer, bytes: number) => number;
  readonly getpwuid_r: (id: number, entry: Buffer, buffer: Buffer, bytes: number, result: Buffer) => number;
  readonly getgrgid_r: (id: number, entry: Buffer, buffer: Buffer, bytes: number, result: Buffer) => number;
  readonly getpwnam_r: (name: Buffer, entry: Buffer, buffer: Buffer, bytes: number, result: Buffer) => number;
  readonly getgrnam_r: (name: Buffer, entry: Buffer, buffer: Buffer, bytes: number, result: Buffer) => number;
  /** With pairs of type and value after the number. */
  readonly syscall: (number: number, ...argument: (string | number | Buffer)[]) => number;
  readonly posix_fadvise: ((fd: number, offset: number, bytes: number, advice: number) => number) | undefined;
  /** Absent from glibc before 2.26. */
  readonly preadv2:
    | ((fd: number, vector: Buffer, count: number, offset: number, flags: number) => number)
    | undefined;
  /** Of the calling thread only. The identity before it, as a number. */
  readonly setfsuid: (uid: number) => number;
  readonly setfsgid: (gid: number) => number;
  /** Absent from glibc before 2.28. */
  readonly statx:
    | ((directory: number, path: Buffer, flags: number, mask: number, buffer: Buffer) => number)
    | undefined;
  /** Absent from glibc before 2.28. */
  readonly renameat2:
    | ((fromDirectory: number, from: Buffer, toDirectory: number, to: Buffer, flags: number) => number)
    | undefined;
  /** glibc only. 1: done. */
  readonly mallopt: ((parameter: number, value: number) => number) | undefined;
  readonly addressOf: (buffer: Buffer) => bigint;
  /** From the errno of the call just made on this thread: ask before anything else. */
  readonly lastError: (call: string) => NodeJS.ErrnoException;
}

export type LibcOrReason =
  | { readonly libc: Libc }
  | { readonly libc: undefined; readonly reason: string; readonly cause?: unknown };

let loaded: LibcOrReason | undefined;

export function nativeLibc(): LibcOrReason {
  loaded ??= load();
  return loaded;
}

/** Structures are laid out here for 64-bit Linux on these two; others work without the C library. */
const KNOWN_LAYOUTS = new Set(["x64", "arm64"]);

function load(): LibcOrReason {
  if (platform !== "linux" || !KNOWN_LAYOUTS.has(arch))
    return { libc: undefined, reason: `not known for ${platform} on ${arch}` };
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const library = koffi.load(null);
    const byId = "(uint32_t id, uint8_t *entry, uint8_t *buffer, size_t bytes, uint8_t *result)";
    const byName = "(const uint8_t *name, uint8_t *entry, uint8_t *buffer, size_t bytes, uint8_t *result)";
    return {
      libc: {
        utimensat: library.func(
          "int utimensat(int dir, const uint8_t *path, const uint8_t *times, int flags)",
        ),
        syncfs: library.func("int syncfs(int fd)"),
        fcntl: library.func("int fcntl(int fd, int command, ...)"),
        llistxattr: library.func("long llistxattr(const uint8_t *path, uint8_t *list, size_t bytes)"),
        getpwuid_r: library.func(`int getpwuid_r${byId}`),
        getgrgid_r: library.func(`int getgrgid_r${byId}`),
        getpwnam_r: library.func(`int getpwnam_r${byName}`),
        getgrnam_r: library.func(`int getgrnam_r${byName}`),
        syscall: library.func("long syscall(long number, ...)"),
        posix_fadvise: optional(() =>
          library.func("int posix_fadvise(int fd, int64_t offset, int64_t bytes, int advice)"),
        ),
        preadv2: optional(() =>
          library.func("long preadv2(int fd, const uint8_t *vector, int count, int64_t offset, int flags)"),
        ),
        setfsuid: library.func("int setfsuid(uint32_t uid)"),
        setfsgid: library.func("int setfsgid(uint32_t gid)"),
        statx: optional(() =>
          library.func("int statx(int dir, const uint8_t *path, int flags, uint32_t mask, uint8_t *buffer)"),
        ),
        renameat2: optional(() =>
          library.func(
            "int renameat2(int fromDir, const uint8_t *from, int toDir, const uint8_t *to, uint32_t flags)",
          ),
        ),
        mallopt: optional(() => library.func("int mallopt(int parameter, int value)")),
        addressOf: (buffer) => koffi.address(buffer),
        lastError: (call) => errnoError(koffi.errno(), call),
      },
    };
  } catch (cause) {
    return {
      libc: undefined,
      reason: `koffi cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      cause,
    };
  }
}

function optional<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined; // an older C library has no such symbol
  }
}
