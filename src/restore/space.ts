/** How much room a restore needs, and how much there is, for each filesystem that it writes to. */
import { statfsSync, statSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { isWithin, parentOf } from "../source/view.ts";
import type { RestorePlan } from "./options.ts";
import type { TargetRoot } from "./target-tree.ts";

/** A filesystem gives a file whole blocks, and an inode. */
const FILE_OVERHEAD_BYTES = 4096 / 2 + 256;

interface Filesystem {
  readonly path: ByteString;
  readonly freeBytes: number;
  /** undefined where the filesystem makes inodes as they are needed. */
  readonly freeInodes: number | undefined;
  bytes: number;
  files: number;
}

export class SpaceNeeded {
  readonly #roots: readonly { readonly root: TargetRoot; readonly filesystem: Filesystem }[];
  readonly #filesystems: readonly Filesystem[];
  readonly #used = new Set<ByteString>();

  constructor(roots: readonly TargetRoot[]) {
    const byDevice = new Map<bigint, Filesystem>();
    this.#roots = roots.map((root) => {
      const path = existing(root.to);
      const { dev } = statSync(toFsPath(path), { bigint: true });
      const filesystem = byDevice.get(dev) ?? freeSpace(path);
      byDevice.set(dev, filesystem);
      return { root, filesystem };
    });
    this.#filesystems = [...byDevice.values()];
  }

  /** @param serverPath - where most of it goes. */
  add(serverPath: ByteString, files: number, bytes: number): void {
    const found = this.#roots.find(({ root }) => isWithin(serverPath, root.from));
    if (found === undefined) return;
    this.#used.add(found.root.from);
    found.filesystem.files += files;
    found.filesystem.bytes += bytes;
  }

  /** Whether anything goes to the root that is at `from` on the server. */
  isUsed(from: ByteString): boolean {
    return this.#used.has(from);
  }

  get summary(): Pick<RestorePlan, "spaceNeeded" | "spaceFree" | "spaceShort"> {
    let spaceNeeded = 0;
    let spaceFree = 0;
    let spaceShort: RestorePlan["spaceShort"];
    for (const { path, bytes, files, freeBytes, freeInodes } of this.#filesystems) {
      const needed = bytes + files * FILE_OVERHEAD_BYTES;
      spaceNeeded += needed;
      spaceFree += freeBytes;
      if (needed > freeBytes || files > (freeInodes ?? files))
        spaceShort ??= { path: toText(path), needed, free: freeBytes };
    }
    return { spaceNeeded, spaceFree, spaceShort };
  }
}

function existing(path: ByteString): ByteString {
  for (let current = path; ; current = parentOf(current)) {
    try {
      if (statSync(toFsPath(current), { throwIfNoEntry: false }) !== undefined) return current;
    } catch (error) {
      if (systemCode(error) !== "ENOTDIR") throw ioError(`cannot look at ${toText(current)}`, error);
    }
  }
}

function freeSpace(path: ByteString): Filesystem {
  let stats: { bavail: number; bsize: number; files: number; ffree: number };
  try {
    stats = statfsSync(toFsPath(path) as string);
  } catch (error) {
    throw ioError(`cannot look at ${toText(path)}`, error);
  }
  const { bavail, bsize, files, ffree } = stats;
  return { path, freeBytes: bavail * bsize, freeInodes: files > 0 ? ffree : undefined, bytes: 0, files: 0 };
}
