/**
 * One file of a restore: written under its own name only if nothing is there, hashed on the way by whoever gives
 * the bytes, with mode, owner and times set last. What is there already is compared, never overwritten unasked.
 */
import {
  closeSync,
  constants,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { lstatNs, setMtimeNs } from "../base/posix.ts";
import { applyMode, applyOwner } from "./target-tree.ts";

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

export type Existing =
  /** Refuse, unless it is the same. */
  | "refuse"
  /** Leave it, whatever it is. */
  | "keep"
  /** Compare; write anew what differs. */
  | "replace";

export type WriteOutcome = "written" | "same" | "kept" | "owner-not-set";

/**
 * @param content - makes the bytes, as often as it is called; throws rather than give wrong ones.
 * @throws {CyrvaultError} `TARGET_REFUSED`, `IO`, `NO_SPACE`, and what `content` throws. Nothing half-written stays.
 */
export async function writeFile(
  path: ByteString,
  content: () => AsyncIterable<Uint8Array>,
  attributes: Attributes,
  existing: Existing,
): Promise<WriteOutcome> {
  const fd = openNew(path);
  if (fd === undefined) {
    if (existing === "keep") return "kept";
    if (await isSame(path, content)) return finish(path, attributes) ? "same" : "owner-not-set";
    if (existing === "refuse") throw inTheWay(path);
    remove(path);
    return await writeFile(path, content, attributes, "refuse");
  }
  try {
    for await (const bytes of content()) writeAll(fd, path, bytes);
  } catch (error) {
    closeSync(fd);
    unlinkSync(toFsPath(path));
    throw error;
  }
  closeSync(fd);
  return finish(path, attributes) ? "written" : "owner-not-set";
}

/** @returns false: the filesystem has no room for another link there, or cannot link: write a copy. */
export function writeLink(source: ByteString, path: ByteString, existing: Existing): WriteOutcome | false {
  try {
    linkSync(toFsPath(source), toFsPath(path));
    return "written";
  } catch (error) {
    const code = systemCode(error);
    if (code === "EXDEV" || code === "EMLINK" || code === "EPERM" || code === "ENOENT") return false;
    if (code !== "EEXIST") throw ioError(`cannot link ${toText(path)}`, error);
  }
  const [a, b] = [lstatNs(source), lstatNs(path)];
  if (a !== undefined && a.inode === b?.inode) return "same";
  if (existing === "keep") return "kept";
  if (existing === "refuse") return false;
  remove(path);
  return writeLink(source, path, "refuse");
}

export function writeSymlink(
  path: ByteString,
  target: ByteString,
  attributes: Attributes,
  existing: Existing,
): WriteOutcome {
  try {
    symlinkSync(toFsPath(target), toFsPath(path));
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw ioError(`cannot make the symbolic link ${toText(path)}`, error);
    if (existing === "keep") return "kept";
    if (readLink(path) !== target) {
      if (existing === "refuse") throw inTheWay(path);
      remove(path);
      return writeSymlink(path, target, attributes, "refuse");
    }
  }
  const owned = applyOwner(path, attributes.uid, attributes.gid);
  setMtimeNs(path, attributes.mtimeNs);
  return owned ? "written" : "owner-not-set";
}

export function inTheWay(path: ByteString): CyrvaultError {
  return new CyrvaultError(
    "TARGET_REFUSED",
    `${toText(path)} is there already and differs from what is in the backup`,
    {
      hint: "restore into an empty place, or say --overwrite if-different (it becomes what the backup has) or --overwrite never (it stays)",
    },
  );
}

function openNew(path: ByteString): number | undefined {
  try {
    return openSync(
      toFsPath(path),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
  } catch (error) {
    if (systemCode(error) === "EEXIST") return undefined;
    throw ioError(`cannot write ${toText(path)}`, error);
  }
}

function writeAll(fd: number, path: ByteString, bytes: Uint8Array): void {
  try {
    for (let offset = 0; offset < bytes.length; )
      offset += writeSync(fd, bytes, offset, bytes.length - offset);
  } catch (error) {
    throw ioError(`cannot write ${toText(path)}`, error);
  }
}

/** @returns false: the owner could not be set. */
function finish(path: ByteString, { mode, uid, gid, mtimeNs }: Attributes): boolean {
  const owned = applyOwner(path, uid, gid);
  applyMode(path, mode);
  setMtimeNs(path, mtimeNs);
  return owned;
}

function remove(path: ByteString): void {
  try {
    if (lstatSync(toFsPath(path)).isDirectory()) {
      throw new CyrvaultError("TARGET_REFUSED", `${toText(path)} is a directory, and a file must be there`, {
        hint: "move it away, or choose another target",
      });
    }
    unlinkSync(toFsPath(path));
  } catch (error) {
    throw ioError(`cannot remove ${toText(path)}`, error);
  }
}

function readLink(path: ByteString): ByteString | undefined {
  try {
    return readlinkSync(toFsPath(path), { encoding: "latin1" }) as ByteString;
  } catch (error) {
    if (systemCode(error) === "EINVAL") return undefined;
    throw ioError(`cannot read the symbolic link ${toText(path)}`, error);
  }
}

async function isSame(path: ByteString, content: () => AsyncIterable<Uint8Array>): Promise<boolean> {
  let fd: number;
  try {
    fd = openSync(toFsPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === "ELOOP" || systemCode(error) === "ENXIO") return false;
    throw ioError(`cannot compare ${toText(path)}`, error);
  }
  try {
    let offset = 0;
    for await (const bytes of content()) {
      const there = Buffer.allocUnsafe(bytes.length);
      if (!readExactly(fd, there, offset) || !equalBytes(there, bytes)) return false;
      offset += bytes.length;
    }
    return readSync(fd, Buffer.allocUnsafe(1), 0, 1, offset) === 0;
  } catch (error) {
    if (systemCode(error) === "EISDIR") return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

function readExactly(fd: number, buffer: Buffer, offset: number): boolean {
  for (let filled = 0; filled < buffer.length; ) {
    const count = readSync(fd, buffer, filled, buffer.length - filled, offset + filled);
    if (count === 0) return false;
    filled += count;
  }
  return true;
}
