/** What stands in the target already. Looked at while the restore is planned. */
import { readdirSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";

const NONE: ReadonlySet<ByteString> = new Set();

/** A filesystem just made has this one, and it is nobody's. */
const LOST_AND_FOUND = "lost+found";

/** Empty where there is no such directory, or it is reached through something that is none. */
export function namesIn(path: ByteString): ReadonlySet<ByteString> {
  try {
    const names = readdirSync(toFsPath(path), "latin1") as ByteString[];
    return names.length === 0 ? NONE : new Set(names);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return NONE;
    throw ioError(`cannot look into ${toText(path)}`, error);
  }
}

/** @throws {CyrvaultError} `TARGET_REFUSED`: it is no directory. */
export function isEmptyDirectory(path: ByteString): boolean {
  try {
    return readdirSync(toFsPath(path)).every((name) => name === LOST_AND_FOUND);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return true;
    if (systemCode(error) === "ENOTDIR")
      throw new CyrvaultError("TARGET_REFUSED", `cannot restore: ${toText(path)} is no directory`);
    throw ioError(`cannot look into ${toText(path)}`, error);
  }
}
