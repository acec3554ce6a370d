/** One message that is held whole, written by synchronous calls. The cases that need more are left to write-file.ts. */
import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync } from "node:fs";
import { type ByteString, toText } from "../../base/byte-string.ts";
import { equalBytes } from "../../base/bytes.ts";
import { systemCode } from "../../base/errors.ts";
import { ioError } from "../../base/io-error.ts";
import { setMtimeNs } from "../../base/posix.ts";
import type { Attributes } from "../attributes.ts";
import { inItsDirectory, toHeldPath } from "../held-directories.ts";
import { finishOpen, finishStanding, openNew, writeAll } from "../write-file.ts";
import type { MessageOutcome } from "./task.ts";

/**
 * @param bytes - verified.
 * @param compares - something that is there already is compared.
 * @returns `again`: something else is there, or a file with other names, and nothing has been changed.
 * @throws {CyrvaultError} `IO`, `NO_SPACE`: nothing half-written stays.
 */
export function writeWhole(
  path: ByteString,
  bytes: Uint8Array,
  attributes: Attributes,
  compares: boolean,
): MessageOutcome {
  const fd = openNew(path);
  if (fd === undefined) {
    if (!compares || !holds(path, bytes)) return "again";
    const standing = finishStanding(path, attributes);
    return standing === "shared" ? "again" : standing;
  }
  let owned: boolean;
  try {
    writeAll(fd, path, bytes);
    owned = finishOpen(fd, path, attributes);
  } catch (error) {
    closeSync(fd);
    unlinkSync(toHeldPath(path));
    throw error;
  }
  closeSync(fd);
  setMtimeNs(inItsDirectory(path), attributes.mtimeNs);
  return { became: "written", ownerSet: owned };
}

/** Whether a regular file is there and has these bytes. */
function holds(path: ByteString, bytes: Uint8Array): boolean {
  let fd: number;
  try {
    fd = openSync(toHeldPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === "ELOOP" || systemCode(error) === "ENXIO") return false;
    throw ioError(`cannot compare ${toText(path)}`, error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size !== bytes.length) return false;
    const there = Buffer.allocUnsafe(bytes.length);
    for (let filled = 0; filled < there.length; ) {
      const count = readSync(fd, there, filled, there.length - filled, filled);
      if (count === 0) return false;
      filled += count;
    }
    return equalBytes(there, bytes);
  } catch (error) {
    throw systemCode(error) === undefined ? error : ioError(`cannot compare ${toText(path)}`, error);
  } finally {
    closeSync(fd);
  }
}
