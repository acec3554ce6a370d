/**
 * One file of a restore. Where nothing is, it is written under its own name; where something is, under another one
 * that takes its place when it is whole. Whoever gives the bytes has verified them; mode, owner and times come last.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { renameNoReplace, setMtimeNs } from "../base/posix.ts";
import { parentOf } from "../source/view.ts";
import { type Attributes, applyTime, modeOfFile, setOwner } from "./attributes.ts";
import { inItsDirectory, toHeldPath } from "./held-directories.ts";

export type Existing =
  /** Refuse, unless it is the same. */
  | "refuse"
  /** Leave it, whatever it is. */
  | "keep"
  /** Compare; write anew what differs. */
  | "replace";

export interface WriteOutcome {
  /** `written`: nothing was there. `same`: these bytes were. `kept`: something else was, and stays. */
  readonly became: "written" | "replaced" | "same" | "kept";
  /** Only root may give a file to somebody else. */
  readonly ownerSet: boolean;
}

export const KEPT: WriteOutcome = { became: "kept", ownerSet: true };

export type MakeContent = () => AsyncIterable<Uint8Array>;

/** Stands in a directory only while a file there is being replaced. */
const PART_NAME = ".cyrvault-part" as ByteString;

/**
 * @param content - makes the bytes, as often as it is called; throws rather than give wrong ones.
 * @throws {CyrvaultError} `TARGET_REFUSED`, `IO`, `NO_SPACE`, and what `content` throws: then nothing half-written
 *   stays, and what was there is as it was.
 */
export async function writeFile(
  path: ByteString,
  content: MakeContent,
  attributes: Attributes,
  existing: Existing,
): Promise<WriteOutcome> {
  // Only what interrupts us can leave a part of a file behind, and a part must not look like what was there before.
  if (existing === "keep") return await writeBeside(path, content, attributes, "keep");
  if (existing === "refuse" || statOf(path) === undefined) {
    const owned = await writeNew(path, content, attributes);
    if (owned !== undefined) return { became: "written", ownerSet: owned };
  }
  const standing = (await isSame(path, content)) ? finishStanding(path, attributes) : "shared";
  if (standing !== "shared") return standing;
  if (existing === "refuse") throw inTheWay(path);
  return await writeBeside(path, content, attributes, "replace");
}

/** @returns false: the filesystem has no room for another link there, or cannot link: write a copy. */
export function writeLink(source: ByteString, path: ByteString, existing: Existing): WriteOutcome | false {
  try {
    linkSync(toHeldPath(source), toHeldPath(path));
    return { became: "written", ownerSet: true };
  } catch (error) {
    const code = systemCode(error);
    if (code === "EXDEV" || code === "EMLINK" || code === "EPERM" || code === "ENOENT") return false;
    if (code !== "EEXIST") throw ioError(`cannot link ${toText(path)}`, error);
  }
  const [a, b] = [statOf(source), statOf(path)];
  if (a !== undefined && a.ino === b?.ino && a.dev === b.dev) return { became: "same", ownerSet: true };
  if (existing === "keep") return KEPT;
  if (existing === "refuse") return false;
  remove(path);
  const linked = writeLink(source, path, "refuse");
  return linked === false ? linked : { ...linked, became: "replaced" };
}

export function writeSymlink(
  path: ByteString,
  target: ByteString,
  attributes: Attributes,
  existing: Existing,
): WriteOutcome {
  let became: WriteOutcome["became"] = "written";
  try {
    symlinkSync(toFsPath(target), toHeldPath(path));
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw ioError(`cannot make the symbolic link ${toText(path)}`, error);
    const isSame = readLink(path) === target;
    if (existing === "keep") return isSame ? { became: "same", ownerSet: true } : KEPT;
    if (!isSame) {
      if (existing === "refuse") throw inTheWay(path);
      remove(path);
      return { ...writeSymlink(path, target, attributes, "refuse"), became: "replaced" };
    }
    became = "same";
  }
  const ownerSet = setOwner(path, attributes);
  setMtimeNs(inItsDirectory(path), attributes.mtimeNs);
  return { became, ownerSet };
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

/** Whether a regular file is there and has these bytes. */
export async function isSame(path: ByteString, content: MakeContent): Promise<boolean> {
  let fd: number;
  try {
    fd = openSync(toHeldPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === "ELOOP" || systemCode(error) === "ENXIO") return false;
    throw ioError(`cannot compare ${toText(path)}`, error);
  }
  try {
    if (!fstatSync(fd).isFile()) return false;
    let offset = 0;
    for await (const bytes of content()) {
      const there = Buffer.allocUnsafe(bytes.length);
      if (!readExactly(fd, there, offset) || !equalBytes(there, bytes)) return false;
      offset += bytes.length;
    }
    return readSync(fd, Buffer.allocUnsafe(1), 0, 1, offset) === 0;
  } catch (error) {
    throw systemCode(error) === undefined ? error : ioError(`cannot compare ${toText(path)}`, error);
  } finally {
    closeSync(fd);
  }
}

/** @returns whether the owner could be set; undefined: there is something. */
async function writeNew(
  path: ByteString,
  content: MakeContent,
  attributes: Attributes,
): Promise<boolean | undefined> {
  let fd: number | undefined;
  let owned: boolean;
  try {
    // Opened when there are bytes: what is found damaged at once leaves nothing to be removed.
    for await (const bytes of content()) {
      fd ??= openNew(path);
      if (fd === undefined) return undefined;
      writeAll(fd, path, bytes);
    }
    fd ??= openNew(path);
    if (fd === undefined) return undefined;
    owned = finishOpen(fd, path, attributes);
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd);
      unlinkSync(toHeldPath(path));
    }
    throw error;
  }
  closeSync(fd);
  setMtimeNs(inItsDirectory(path), attributes.mtimeNs);
  return owned;
}

async function writeBeside(
  path: ByteString,
  content: MakeContent,
  attributes: Attributes,
  existing: "keep" | "replace",
): Promise<WriteOutcome> {
  const there = statOf(path);
  if (existing === "keep" && there !== undefined) {
    // Another time is difference enough: only what an earlier restore may have written is read.
    const isWhole = there.mtimeNs === attributes.mtimeNs && (await isSame(path, content));
    return isWhole ? { became: "same", ownerSet: true } : KEPT;
  }
  if (there !== undefined) refuseDirectory(path);
  const part = joinPath(parentOf(path), PART_NAME);
  if (statOf(part) !== undefined) remove(part);
  const ownerSet = await writeNew(part, content, attributes);
  if (ownerSet === undefined) throw inTheWay(part);
  try {
    if (existing === "replace") renameSync(toHeldPath(part), toHeldPath(path));
    else if (!takePlace(part, path)) {
      remove(part);
      return KEPT;
    }
  } catch (error) {
    unlinkSync(toHeldPath(part));
    throw ioError(`cannot write ${toText(path)}`, error);
  }
  return { became: there === undefined ? "written" : "replaced", ownerSet };
}

/** @returns false: somebody was quicker. */
function takePlace(part: ByteString, path: ByteString): boolean {
  const renamed = renameNoReplace(inItsDirectory(part), inItsDirectory(path));
  if (renamed !== "unsupported") return renamed === "renamed";
  if (statOf(path) !== undefined) return false;
  renameSync(toHeldPath(part), toHeldPath(path));
  return true;
}

export function openNew(path: ByteString): number | undefined {
  try {
    return openSync(
      toHeldPath(path),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
  } catch (error) {
    if (systemCode(error) === "EEXIST") return undefined;
    throw ioError(`cannot write ${toText(path)}`, error);
  }
}

export function writeAll(fd: number, path: ByteString, bytes: Uint8Array): void {
  try {
    for (let offset = 0; offset < bytes.length; )
      offset += writeSync(fd, bytes, offset, bytes.length - offset);
  } catch (error) {
    throw ioError(`cannot write ${toText(path)}`, error);
  }
}

/** The mode after the owner: changing that takes away bits. @returns false: the owner could not be set. */
export function finishOpen(fd: number, path: ByteString, { mode, uid, gid }: Attributes): boolean {
  let owned = true;
  try {
    try {
      fchownSync(fd, uid, gid);
    } catch (error) {
      if (systemCode(error) !== "EPERM") throw error;
      owned = false;
    }
    fchmodSync(fd, modeOfFile(mode));
  } catch (error) {
    throw ioError(`cannot set owner and mode of ${toText(path)}`, error);
  }
  return owned;
}

/**
 * Of a file that was there with the same bytes.
 * @returns `shared`: it has other names and other attributes, and was left alone. Whoever linked it here may not be
 *   entitled to change what it is elsewhere.
 */
export function finishStanding(path: ByteString, attributes: Attributes): WriteOutcome | "shared" {
  let fd: number;
  try {
    fd = openSync(toHeldPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw ioError(`cannot set owner and mode of ${toText(path)}`, error);
  }
  try {
    const there = fstatSync(fd, { bigint: true });
    if (there.nlink > 1n) return asItShouldBe(there, attributes);
    const owned = finishOpen(fd, path, attributes);
    return { became: "same", ownerSet: applyTime(path, attributes.mtimeNs) && owned };
  } finally {
    closeSync(fd);
  }
}

function asItShouldBe(there: BigIntStats, { mode, uid, gid, mtimeNs }: Attributes): WriteOutcome | "shared" {
  if (Number(there.mode & 0o7777n) !== modeOfFile(mode) || there.mtimeNs !== mtimeNs) return "shared";
  const ownerSet = Number(there.uid) === uid && Number(there.gid) === gid;
  return !ownerSet && process.geteuid?.() === 0 ? "shared" : { became: "same", ownerSet };
}

function remove(path: ByteString): void {
  refuseDirectory(path);
  try {
    unlinkSync(toHeldPath(path));
  } catch (error) {
    throw ioError(`cannot remove ${toText(path)}`, error);
  }
}

function refuseDirectory(path: ByteString): void {
  if (statOf(path)?.isDirectory() !== true) return;
  throw new CyrvaultError("TARGET_REFUSED", `${toText(path)} is a directory, and a file must be there`, {
    hint: "move it away, or choose another target",
  });
}

function statOf(path: ByteString) {
  try {
    return lstatSync(toHeldPath(path), { throwIfNoEntry: false, bigint: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw ioError(`cannot look at ${toText(path)}`, error);
  }
}

function readLink(path: ByteString): ByteString | undefined {
  try {
    return readlinkSync(toHeldPath(path), { encoding: "latin1" }) as ByteString;
  } catch (error) {
    if (systemCode(error) === "EINVAL") return undefined;
    throw ioError(`cannot read the symbolic link ${toText(path)}`, error);
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
