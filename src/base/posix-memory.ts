/** The process's memory, kept small at some cost in time. Reasons and figures: docs/decisions/0009-memory.md. */
import { setFlagsFromString } from "node:v8";
import { nativeLibc } from "./posix-native.ts";

/** `malloc.h` of glibc. */
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;
const MMAP_BYTES_MIN = 1024 * 1024;
const ARENAS = 2;

/** V8 collects when its old generation has grown by this share since the last time, instead of when it has doubled or more. */
const HEAP_GROWING_PERCENT = 25;

/**
 * For commands that move much data, before they begin: V8's young generation stays as small as it begins and the old one
 * is collected sooner, in threads started later too; large buffers go back to the system when they are freed. Where the
 * C library has no such settings, V8's only.
 */
export function keepMemorySmall(): void {
  // Of V8's settings of sizes, these two are looked at again while it runs.
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const { libc } = nativeLibc();
  libc?.mallopt?.(M_ARENA_MAX, ARENAS);
  libc?.mallopt?.(M_MMAP_THRESHOLD, MMAP_BYTES_MIN);
}
