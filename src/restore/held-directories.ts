/**
 * Directories below a target, held open, and reached from one another: no symlink is followed, not even one that somebody
 * puts in a directory's place while we write. Linux only; elsewhere, and without /proc, names are taken as they are.
 *
 * A path given here is good for the next call and no longer: what is held is let go when much else is.
 */
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { baseName, parentOf } from "../source/view.ts";

/** Of Linux, on every architecture that Node runs on: a place and no right to read it. */
const O_PATH = 0x20_0000;
const FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const OPEN_FILES = "/proc/self/fd";
const HELD_MAX = 64;

/** In this thread; the least recently used first. */
const held = new Map<ByteString, number>();
let isPossible: boolean | undefined;

/**
 * The same name, in its directory as that was reached first.
 * @param path - real: absolute, without symlinks but in its last component, which is not looked at.
 * @throws {CyrvaultError} `TARGET_REFUSED`: a directory on the way is a symlink, or none. The system's error where one is absent.
 */
export function inItsDirectory(path: ByteString): ByteString {
  if (!canHold() || path === "/") return path;
  return joinPath(placeOf(hold(parentOf(path))), baseName(path));
}

/** The directory itself, looked for anew by its name. @throws as `inItsDirectory`. */
export function directoryAnew(path: ByteString): ByteString {
  if (!canHold()) return path;
  letGo(path);
  return joinPath(placeOf(hold(path)), "." as ByteString);
}

/** For `toFsPath` where a name is used. */
export function toHeldPath(path: ByteString): string | Buffer {
  return toFsPath(inItsDirectory(path));
}

/** A file system that is held cannot be unmounted. */
export function letGoOfDirectories(): void {
  for (const path of [...held.keys()]) letGo(path);
}

function hold(path: ByteString): number {
  const known = held.get(path);
  if (known !== undefined) {
    held.delete(path);
    held.set(path, known);
    return known;
  }
  const from = path === "/" ? path : joinPath(placeOf(hold(parentOf(path))), baseName(path));
  const fd = open(from, path);
  held.set(path, fd);
  if (held.size > HELD_MAX) letGo(held.keys().next().value as ByteString);
  return fd;
}

function open(from: ByteString, path: ByteString): number {
  try {
    return openSync(toFsPath(from), FLAGS);
  } catch (error) {
    const code = systemCode(error);
    if (code !== "ENOTDIR" && code !== "ELOOP") throw error;
    throw new CyrvaultError(
      "TARGET_REFUSED",
      `${toText(path)} is a symbolic link or no directory, and was a directory or must be one`,
      { hint: "somebody else changes the target: nothing is written through it", cause: error },
    );
  }
}

function letGo(path: ByteString): void {
  const fd = held.get(path);
  if (fd === undefined) return;
  held.delete(path);
  closeSync(fd);
}

function placeOf(fd: number): ByteString {
  return `${OPEN_FILES}/${fd}` as ByteString;
}

function canHold(): boolean {
  isPossible ??= process.platform === "linux" && existsSync(OPEN_FILES);
  return isPossible;
}
