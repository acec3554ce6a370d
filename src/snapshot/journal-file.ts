/**
 * The file of a journal: a line when something is about to be taken, a line when it has been given back. Whoever has the file
 * has it alone, and the kernel lets it go however that process ends.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { tryLock } from "../base/posix.ts";
import type { HeldThing } from "./held.ts";

const SUFFIX = ".held";
/** A run writes a few dozen lines. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

const WRITABLE_BY_OTHERS = 0o022;
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;

export type JournalLine =
  | { readonly hold: HeldThing; readonly number: number }
  | { readonly released: number };

/** One name for one server, which may have any characters. */
export function journalFile(directory: string, server: string): string {
  return join(directory, `${encodeURIComponent(server).slice(0, 200)}${SUFFIX}`);
}

/** Those of all servers; none where the directory is absent or not for this user. @throws {CyrvaultError} `IO`. */
export function journalFilesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(SUFFIX))
      .sort()
      .map((name) => join(directory, name));
  } catch (cause) {
    if (["ENOENT", "EACCES", "ENOTDIR"].includes(systemCode(cause) ?? "")) return [];
    throw ioError(`cannot list ${directory}`, cause);
  }
}

/** With what leads to it. @throws {CyrvaultError} `IO`. */
export function makeStateDirectory(directory: string): void {
  try {
    // Others keep things there too: the status file, for whoever watches.
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw ioError(`cannot make the state directory ${directory}`, cause);
  }
}

export class JournalFile {
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** @returns undefined: somebody else has it. @throws {CyrvaultError} `IO`; `SNAPSHOT_FAILED`: somebody else may have written it. */
  static lock(path: string): JournalFile | undefined {
    let fd: number;
    try {
      fd = openSync(path, FLAGS, 0o600);
    } catch (cause) {
      throw ioError(`cannot open ${path}`, cause);
    }
    try {
      requireOwn(fd, path);
      if (tryLock(fd, "write")) return new JournalFile(path, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }

  /** Its lines, undefined for one that cannot be read. A last one that was cut short is none: nothing is taken before its line is durable. */
  read(): { readonly text: string; readonly line: JournalLine | undefined }[] {
    const lines = this.#text().split("\n");
    lines.pop();
    return lines.filter((text) => text !== "").map((text) => ({ text, line: parseLine(text) }));
  }

  /** Durable when it returns. */
  append(line: JournalLine): void {
    this.#write(`${JSON.stringify(line)}\n`);
  }

  /** What was cut short must not spoil the next line. */
  endLine(): void {
    this.#write("\n");
  }

  empty(): void {
    try {
      ftruncateSync(this.#fd, 0);
      fsyncSync(this.#fd);
    } catch (cause) {
      throw ioError("cannot write down that nothing is held", cause);
    }
  }

  /** Lets the lock go. */
  close(): void {
    closeSync(this.#fd);
  }

  #write(text: string): void {
    try {
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
      fsyncSync(this.#fd);
    } catch (cause) {
      throw ioError("cannot write down what is held", cause);
    }
  }

  #text(): string {
    try {
      const size = Math.min(fstatSync(this.#fd).size, FILE_BYTES_MAX);
      const bytes = Buffer.alloc(size);
      let done = 0;
      while (done < size) {
        const got = readSync(this.#fd, bytes, done, size - done, done);
        if (got === 0) break;
        done += got;
      }
      return bytes.toString("utf8", 0, done);
    } catch (cause) {
      throw ioError(`cannot read ${this.path}`, cause);
    }
  }
}

/** What it names is done, with our rights. */
function requireOwn(fd: number, path: string): void {
  const stat = fstatSync(fd);
  const isOurs = stat.uid === 0 || stat.uid === process.geteuid?.();
  if (stat.isFile() && isOurs && (stat.mode & WRITABLE_BY_OTHERS) === 0) return;
  const why = !stat.isFile()
    ? "is no file"
    : isOurs
      ? "may be written by others"
      : `belongs to another user (${stat.uid})`;
  throw new CyrvaultError("SNAPSHOT_FAILED", `${path} ${why}: what it says is held is not believed`, {
    hint: "look at it and see to what it names by hand, then delete it; --state-dir is for one user only",
  });
}

function parseLine(text: string): JournalLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { hold, number, released } = value as { hold?: unknown; number?: unknown; released?: unknown };
  if (Number.isSafeInteger(released)) return { released: released as number };
  if (!Number.isSafeInteger(number) || !isHeldThing(hold)) return undefined;
  return { hold, number: number as number };
}

function isHeldThing(value: unknown): value is HeldThing {
  if (typeof value !== "object" || value === null) return false;
  const thing = value as Record<string, unknown>;
  const isText = (field: unknown) => typeof field === "string" && field !== "";
  const areTexts = (field: unknown) => Array.isArray(field) && field.length > 0 && field.every(isText);
  switch (thing["kind"]) {
    case "mount":
    case "directory":
    case "btrfs-snapshot":
    case "frozen":
      return isText(thing["at"]);
    case "lvm-snapshot":
      return isText(thing["group"]) && isText(thing["name"]);
    case "zfs-snapshots":
      return areTexts(thing["names"]);
    case "command-view":
      return (
        areTexts(thing["remove"]) && typeof thing["environment"] === "object" && thing["environment"] !== null
      );
    case "stopped":
      return areTexts(thing["start"]) && (thing["config"] === undefined || isText(thing["config"]));
    default:
      return false;
  }
}

/** Its names are durable afterwards. @throws {CyrvaultError} `IO`. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } catch (cause) {
    throw ioError(`cannot make ${directory} durable`, cause);
  } finally {
    closeSync(fd);
  }
}
