/**
 * Files and directories that are still there after a power cut. What a function here has done is durable when its
 * promise resolves. Errors: `NO_SPACE`, `NAME_EXISTS`, otherwise `IO`.
 */
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { placeNew } from "./durable-place.ts";
import { CyrvaultError, systemCode } from "./errors.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import { ioError } from "./io-error.ts";

export async function syncFile(fs: FileSystem, path: string): Promise<void> {
  await syncPath(fs, path);
}

/** The names in it: what was made, renamed or removed in this directory is durable afterwards. */
export async function syncDirectory(fs: FileSystem, path: string): Promise<void> {
  await syncPath(fs, path);
}

async function syncPath(fs: FileSystem, path: string): Promise<void> {
  let handle: OpenFile | undefined;
  try {
    handle = await fs.open(path);
    await handle.sync();
  } catch (cause) {
    throw ioError(`cannot make ${path} durable`, cause);
  } finally {
    if (handle !== undefined) await closeReader(handle);
  }
}

/**
 * Makes one directory whose parent exists, and makes its name durable, also when another process made it and may
 * have died before doing that.
 * @returns false when it was there already.
 */
export async function makeDirectory(fs: FileSystem, path: string, mode = 0o700): Promise<boolean> {
  let made = true;
  try {
    await fs.mkdir(path, mode);
  } catch (cause) {
    if (systemCode(cause) !== "EEXIST") throw ioError(`cannot make the directory ${path}`, cause);
    if (!(await isDirectory(fs, path)))
      throw ioError(`cannot make the directory ${path}: something else is there`, cause);
    made = false;
  }
  await syncDirectory(fs, dirname(path));
  return made;
}

/** Like mkdir -p: every directory that is new gets a durable name. Those that were there are taken as they are. */
export async function makeDirectories(fs: FileSystem, path: string, mode = 0o700): Promise<void> {
  if (await isDirectory(fs, path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeDirectories(fs, parent, mode);
  await makeDirectory(fs, path, mode);
}

/** Follows symlinks. False also for what is there and is no directory. */
async function isDirectory(fs: FileSystem, path: string): Promise<boolean> {
  try {
    return (await fs.stat(path)).isDirectory();
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw ioError(`cannot stat ${path}`, cause);
  }
}

export interface DurableFileOptions {
  /** Permission bits, less the umask. */
  readonly mode?: number;
  /** Where the content lies until it has its name: a path on the same filesystem. Default: beside it, `.NAME.RANDOM`. */
  readonly temporary?: string;
}

/** Makes a file in an existing directory. @throws {CyrvaultError} `NAME_EXISTS`; what is there is not touched. */
export async function createFile(
  fs: FileSystem,
  path: string,
  bytes: Uint8Array,
  options: DurableFileOptions = {},
): Promise<void> {
  await throughTemporary(fs, path, bytes, options, (temporary) => placeNew(fs, temporary, path));
}

/** Puts a file in place of what is there, or makes it. A reader sees the old content or the new, never a mixture. */
export async function replaceFile(
  fs: FileSystem,
  path: string,
  bytes: Uint8Array,
  options: DurableFileOptions = {},
): Promise<void> {
  await throughTemporary(fs, path, bytes, options, async (temporary) => {
    try {
      await fs.rename(temporary, path);
    } catch (cause) {
      throw ioError(`cannot replace ${path}`, cause);
    }
  });
}

async function throughTemporary(
  fs: FileSystem,
  path: string,
  bytes: Uint8Array,
  options: DurableFileOptions,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary =
    options.temporary ??
    join(dirname(path), `.${basename(path).slice(0, 200)}.${randomBytes(8).toString("hex")}`);
  await writeNewFile(fs, temporary, bytes, options.mode);
  try {
    await place(temporary);
  } catch (error) {
    await removeLeftover(fs, temporary);
    throw error;
  }
  await syncDirectory(fs, dirname(path));
}

/** Writes and syncs the content; the name is not durable yet. Removes the file when that fails. */
async function writeNewFile(fs: FileSystem, path: string, bytes: Uint8Array, mode = 0o600): Promise<void> {
  let handle: OpenFile;
  try {
    handle = await fs.create(path, mode);
  } catch (cause) {
    if (systemCode(cause) === "EEXIST")
      throw new CyrvaultError("NAME_EXISTS", `${path} exists`, { cause, context: { path } });
    throw ioError(`cannot create ${path}`, cause);
  }
  try {
    await writeAll(handle, bytes);
    await handle.sync();
    await handle.close();
  } catch (cause) {
    await handle.close().catch(() => undefined); // the first error is the one to tell
    await removeLeftover(fs, path);
    throw ioError(`cannot write ${path}`, cause);
  }
}

/** Appends at the handle's position. Bare system errors: the caller knows the name. */
export async function writeAll(handle: OpenFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, null);
    done += bytesWritten;
  }
}

/** Of one that nothing was written to, nothing is lost by a close that fails. */
export async function closeReader(handle: OpenFile): Promise<void> {
  await handle.close().catch(() => undefined);
}

/** Best effort, after a failure that is the one to report: a temporary file that stays is no harm. */
export async function removeLeftover(fs: FileSystem, path: string): Promise<void> {
  await fs.unlink(path).catch(() => undefined);
}
