/** Mode, owner and times of what is restored. */
import { chmodSync, lchownSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { isCyrvaultError, systemCode } from "../base/errors.ts";
import { causeCode, ioError } from "../base/io-error.ts";
import { setMtimeNs } from "../base/posix.ts";
import { directoryAnew, inItsDirectory, toHeldPath } from "./held-directories.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

const SET_ID_BITS = 0o6000;

/** A regular file never comes back with rights of its own: whoever wrote the repository would hand them out. */
export function modeOfFile(mode: number): number {
  return mode & 0o7777 & ~SET_ID_BITS;
}

export function hasSetId(mode: number): boolean {
  return (mode & SET_ID_BITS) !== 0;
}

/** Of the file itself, not of what a symlink points to. @returns false: we may not. */
export function setOwner(realPath: ByteString, { uid, gid }: Attributes): boolean {
  return permitted(`cannot set the owner of ${toText(realPath)}`, () =>
    lchownSync(toHeldPath(realPath), uid, gid),
  );
}

/** After the owner: changing that takes away bits. @returns false: we may not, since the directory is not ours. */
export function setDirectoryMode(realPath: ByteString, mode: number): boolean {
  return permitted(`cannot set the mode of ${toText(realPath)}`, () =>
    chmodSync(toFsPath(directoryAnew(realPath)), mode & 0o7777),
  );
}

/** @returns false: we may not, since the file is not ours. */
export function applyTime(realPath: ByteString, mtimeNs: bigint): boolean {
  try {
    setMtimeNs(inItsDirectory(realPath), mtimeNs);
    return true;
  } catch (error) {
    if (isCyrvaultError(error, "IO") && causeCode(error) === "EPERM") return false;
    throw error;
  }
}

function permitted(what: string, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (systemCode(error) === "EPERM") return false;
    throw ioError(what, error);
  }
}
