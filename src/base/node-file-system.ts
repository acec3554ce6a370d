/** The files of this machine. What Node gives is handed on as it is: the seam costs a function call. */
import { link, lstat, mkdir, open, opendir, rename, stat, unlink } from "node:fs/promises";
import { fromText } from "./byte-string.ts";
import type { FileSystem } from "./file-system.ts";
import { renameNoReplace } from "./posix.ts";

/** Entries that are asked for at once. */
const ENTRIES = 256;

export const nodeFileSystem: FileSystem = {
  create: (path, mode) => open(path, "wx", mode),
  open: (path) => open(path, "r"),
  link: (from, to) => link(from, to),
  rename: (from, to) => rename(from, to),
  renameNoReplace: async (from, to) => renameNoReplace(fromText(from), fromText(to)),
  unlink: (path) => unlink(path),
  async mkdir(path, mode) {
    await mkdir(path, { mode });
  },
  stat: (path) => stat(path),
  lstat: (path) => lstat(path),
  async identify(path) {
    const { dev, ino } = await lstat(path, { bigint: true });
    return `${dev}:${ino}`;
  },
  async *entries(path) {
    yield* await opendir(path, { bufferSize: ENTRIES });
  },
};
