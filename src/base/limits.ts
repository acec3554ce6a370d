/**
 * Sizes that several folders must agree on. A limit that only one file knows stays in that file. Every length
 * read from outside is checked against one of these, or a nearer one, before memory is taken for it.
 */
import { assert } from "./errors.ts";

/** Plaintext of a block before it is compressed: what a writer aims at. */
export const BLOCK_BYTES_TARGET = 2 * 1024 * 1024;

/** A pack is closed when it has grown to this. */
export const PACK_BYTES_TARGET = 32 * 1024 * 1024;

/** Messages beyond this are never held in memory whole: read, cut, hashed and restored as a stream. */
export const MESSAGE_BYTES_IN_MEMORY_MAX = 16 * 1024 * 1024;

/** A page of a manifest or segment, sealed or not. Pages are cut near 64 KiB; entries are bounded, so none gets near this. */
export const PAGE_BYTES_MAX = 4 * 1024 * 1024;

/** A file name in a directory: NAME_MAX of Linux. */
export const FILE_NAME_BYTES_MAX = 255;

/** A path: PATH_MAX of Linux without its final NUL. Also covers Cyrus's mailbox names, which are shorter. */
export const PATH_BYTES_MAX = 4095;

/** A name in a backend. Short enough for every file system and object store, also with a prefix in front. */
export const BACKEND_NAME_BYTES_MAX = 200;

assert(BLOCK_BYTES_TARGET * 4 <= PACK_BYTES_TARGET, "a pack holds several blocks");
assert(PAGE_BYTES_MAX < MESSAGE_BYTES_IN_MEMORY_MAX, "a page fits where a message does");
assert(BACKEND_NAME_BYTES_MAX < FILE_NAME_BYTES_MAX, "a backend name could be one file name");
assert(FILE_NAME_BYTES_MAX < PATH_BYTES_MAX, "a path is longer than a name");
