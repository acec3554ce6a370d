/**
 * A repository in a directory of this machine. Unfinished files lie in `tmp/` and get their name when they are
 * complete and synced; reading writes nothing, not even a directory.
 *
 * All of a repository lies on one filesystem: a name is given by link or rename.
 */
import { dirname, join, resolve } from "node:path";
import { closeReader, makeDirectories, makeDirectory, replaceFile, syncDirectory } from "../base/durable.ts";
import type { PlaceMethod } from "../base/durable-place.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import type { DirectoryEntry, FileSystem, OpenFile } from "../base/file-system.ts";
import { ioError } from "../base/io-error.ts";
import { nodeFileSystem } from "../base/node-file-system.ts";
import type { Backend, BackendFile, BackendProperties, BackendWriter } from "./backend.ts";
import {
  assertName,
  assertPrefix,
  checkSize,
  isNamePart,
  RESERVED_DIRECTORIES,
  rangeStart,
} from "./backend-name.ts";
import { removeOldTemporaries, temporaryName } from "./local-temporary.ts";
import { LocalWriter } from "./local-writer.ts";

/** Calls that may usefully run at once: a disk has few heads, Node's thread pool four threads. */
const CONNECTIONS = 4;
/** Files whose size is asked for at once by `list`. */
const LIST_BATCH = 64;

export interface LocalBackendOptions {
  /** How a finished file gets its name; for tests of the ways that this filesystem would not need. */
  readonly placeMethods?: readonly PlaceMethod[];
  /** Default: that of this machine. */
  readonly fileSystem?: FileSystem;
}

export class LocalBackend implements Backend {
  readonly properties: BackendProperties;
  readonly #fs: FileSystem;
  readonly #root: string;
  readonly #placeMethods: readonly PlaceMethod[] | undefined;
  /** Directories known to be there and durable, by their path below the root. */
  readonly #directories = new Map<string, Promise<void>>();
  #cleaned = false;

  constructor(directory: string, options: LocalBackendOptions = {}) {
    this.#fs = options.fileSystem ?? nodeFileSystem;
    this.#root = resolve(directory);
    this.#placeMethods = options.placeMethods;
    this.properties = {
      description: `local directory ${this.#root}`,
      // On a foreign file system there is no place for a LevelDB.
      localDirectory: options.fileSystem === undefined ? this.#root : undefined,
      connections: CONNECTIONS,
    };
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    const writer = await this.begin(name);
    try {
      await writer.append(bytes);
      await writer.commit();
    } finally {
      await writer.abort();
    }
  }

  async begin(name: string): Promise<BackendWriter> {
    assertName(name);
    await this.#prepare(name);
    const temporary = this.#temporary();
    let handle: OpenFile;
    try {
      handle = await this.#fs.create(temporary, 0o600);
    } catch (cause) {
      throw ioError(`cannot create ${temporary}`, cause);
    }
    await this.#clean(handle);
    return new LocalWriter(this.#fs, name, this.#path(name), temporary, handle, this.#placeMethods);
  }

  async replace(name: string, bytes: Uint8Array): Promise<void> {
    assertName(name);
    await this.#prepare(name);
    await replaceFile(this.#fs, this.#path(name), bytes, { mode: 0o600, temporary: this.#temporary() });
  }

  async read(name: string, maxBytes: number): Promise<Buffer | undefined> {
    return await this.#withFile(name, (handle, bytes) => {
      checkSize(name, bytes, maxBytes);
      return readExactly(handle, name, 0, bytes);
    });
  }

  async readRange(name: string, offset: number, length: number): Promise<Buffer | undefined> {
    return await this.#withFile(name, (handle, bytes) =>
      readExactly(handle, name, rangeStart(name, bytes, offset, length), length),
    );
  }

  async size(name: string): Promise<number | undefined> {
    assertName(name);
    return await this.#sizeOf(name);
  }

  async *list(prefix: string): AsyncGenerator<BackendFile, void, undefined> {
    assertPrefix(prefix);
    yield* this.#walk(prefix.slice(0, prefix.lastIndexOf("/") + 1), prefix);
  }

  async remove(name: string): Promise<boolean> {
    assertName(name);
    const path = this.#path(name);
    try {
      await this.#fs.unlink(path);
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return false;
      throw ioError(`cannot remove ${path}`, cause);
    }
    await syncDirectory(this.#fs, dirname(path));
    return true;
  }

  async close(): Promise<void> {
    // Nothing stays open between calls.
  }

  #path(name: string): string {
    return join(this.#root, name);
  }

  #temporary(): string {
    return join(this.#root, "tmp", temporaryName());
  }

  /** The directories of `name` and the one for unfinished files are there and durable. */
  async #prepare(name: string): Promise<void> {
    await this.#directory("", () => makeDirectories(this.#fs, this.#root));
    await this.#directory("tmp", () => makeDirectory(this.#fs, join(this.#root, "tmp")));
    for (let slash = name.indexOf("/"); slash >= 0; slash = name.indexOf("/", slash + 1)) {
      const directory = name.slice(0, slash);
      await this.#directory(directory, () => makeDirectory(this.#fs, this.#path(directory)));
    }
  }

  async #directory(directory: string, make: () => Promise<unknown>): Promise<void> {
    let making = this.#directories.get(directory);
    if (making === undefined) {
      making = make().then(() => undefined);
      this.#directories.set(directory, making);
    }
    try {
      await making;
    } catch (error) {
      this.#directories.delete(directory);
      throw error;
    }
  }

  /** Once for each opened backend, before its first write. Age is taken by the clock that stamps files there. */
  async #clean(justMade: OpenFile): Promise<void> {
    if (this.#cleaned) return;
    this.#cleaned = true;
    const stats = await justMade.stat().catch(() => undefined);
    if (stats !== undefined) await removeOldTemporaries(this.#fs, join(this.#root, "tmp"), stats.mtimeMs);
  }

  async #withFile<T>(
    name: string,
    use: (handle: OpenFile, bytes: number) => Promise<T>,
  ): Promise<T | undefined> {
    assertName(name);
    const path = this.#path(name);
    let handle: OpenFile;
    try {
      handle = await this.#fs.open(path);
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return undefined;
      throw ioError(`cannot open ${path}`, cause);
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw notAFile(path);
      return await use(handle, stats.size);
    } catch (cause) {
      throw ioError(`cannot read ${path}`, cause);
    } finally {
      await closeReader(handle);
    }
  }

  async #sizeOf(name: string): Promise<number | undefined> {
    const path = this.#path(name);
    try {
      const stats = await this.#fs.stat(path);
      if (!stats.isFile()) throw notAFile(path);
      return stats.size;
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return undefined;
      throw ioError(`cannot stat ${path}`, cause);
    }
  }

  async *#walk(directory: string, prefix: string): AsyncGenerator<BackendFile, void, undefined> {
    let batch: string[] = [];
    for await (const entry of this.#entries(directory)) {
      const name = directory + entry.name;
      if (!isNamePart(entry.name) || RESERVED_DIRECTORIES.has(name) || !name.startsWith(prefix)) continue;
      if (await this.#isDirectory(name, entry)) yield* this.#walk(`${name}/`, prefix);
      else if (batch.push(name) === LIST_BATCH) {
        yield* await this.#sizes(batch);
        batch = [];
      }
    }
    yield* await this.#sizes(batch);
  }

  async *#entries(directory: string): AsyncGenerator<DirectoryEntry, void, undefined> {
    const path = this.#path(directory);
    try {
      yield* this.#fs.entries(path);
    } catch (cause) {
      if (systemCode(cause) !== "ENOENT") throw ioError(`cannot list ${path}`, cause);
    }
  }

  /** A part of a repository may be a symlink to another directory; some filesystems do not say what an entry is. */
  async #isDirectory(name: string, entry: DirectoryEntry): Promise<boolean> {
    if (entry.isDirectory() || entry.isFile()) return entry.isDirectory();
    const path = this.#path(name);
    try {
      return (await this.#fs.stat(path)).isDirectory();
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return false;
      throw ioError(`cannot stat ${path}`, cause);
    }
  }

  async #sizes(names: readonly string[]): Promise<BackendFile[]> {
    const sizes = await Promise.all(names.map((name) => this.#sizeOf(name)));
    // One that has gone meanwhile is not listed.
    return names.flatMap((name, i) => {
      const bytes = sizes[i];
      return bytes === undefined ? [] : [{ name, bytes }];
    });
  }
}

async function readExactly(handle: OpenFile, name: string, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, start + done);
    if (bytesRead === 0)
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${name} was cut while it was read`, {
        context: { name, length, done },
      });
    done += bytesRead;
  }
  return buffer;
}

function notAFile(path: string): CyrvaultError {
  const cause = Object.assign(new Error("EISDIR: not a regular file"), { code: "EISDIR" });
  return new CyrvaultError("IO", `cannot read ${path}: it is not a regular file`, { cause });
}
