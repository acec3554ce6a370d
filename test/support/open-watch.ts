/** Sees which files are opened and which directories are listed below a place, by any process (inotify, Linux). */
import { closeSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";
import { systemCode } from "../../src/base/errors.ts";

const IN_OPEN = 0x20;
const IN_Q_OVERFLOW = 0x4000;
const IN_NONBLOCK = 0x800;
const EVENT_BYTES = 16;

const libc = koffi.load("libc.so.6");
const inotifyInit = libc.func("int inotify_init1(int flags)");
const inotifyAddWatch = libc.func("int inotify_add_watch(int fd, const char *path, uint32_t mask)");

export class OpenWatch {
  readonly #fd: number;
  readonly #directories = new Map<number, string>();

  /** Watches the directories that are below the roots now. Close it. */
  constructor(roots: readonly string[]) {
    this.#fd = inotifyInit(IN_NONBLOCK) as number;
    if (this.#fd < 0) throw new Error("inotify is not available");
    const all = roots.flatMap((root) => {
      const below = readdirSync(root, { recursive: true, withFileTypes: true, encoding: "utf8" });
      return [
        root,
        ...below.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)),
      ];
    });
    for (const directory of all) {
      const watch = inotifyAddWatch(this.#fd, directory, IN_OPEN) as number;
      if (watch < 0) throw new Error(`cannot watch ${directory}`);
      this.#directories.set(watch, directory);
    }
  }

  /** Paths opened since the last call, each once; a directory that was listed or opened ends in "/". */
  take(): string[] {
    const opened = new Set<string>();
    const buffer = Buffer.alloc(1 << 16);
    for (let count = this.#read(buffer); count > 0; count = this.#read(buffer)) {
      for (let at = 0; at < count; ) {
        const watch = buffer.readInt32LE(at);
        const mask = buffer.readUInt32LE(at + 4);
        const nameBytes = buffer.readUInt32LE(at + 12);
        const name = buffer
          .toString("utf8", at + EVENT_BYTES, at + EVENT_BYTES + nameBytes)
          .replace(/\0+$/, "");
        if ((mask & IN_Q_OVERFLOW) !== 0) throw new Error("more files were opened than inotify keeps");
        // A sub-directory is reported by its parent too, by name: its own watch says the same.
        const directory = this.#directories.get(watch);
        if (directory !== undefined) opened.add(name === "" ? `${directory}/` : join(directory, name));
        at += EVENT_BYTES + nameBytes;
      }
    }
    for (const directory of this.#directories.values()) opened.delete(directory);
    return [...opened];
  }

  close(): void {
    closeSync(this.#fd);
  }

  #read(buffer: Buffer): number {
    try {
      return readSync(this.#fd, buffer);
    } catch (error) {
      if (systemCode(error) === "EAGAIN") return 0;
      throw error;
    }
  }
}
