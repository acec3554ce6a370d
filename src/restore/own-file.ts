/** Files of ours in the target: what the run keeps for itself, and what it leaves beside the result. */
import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { ioError } from "../base/io-error.ts";

/** Takes the place of what has this name, and follows no symlink: somebody may have put one there. */
export function writeOwnFile(path: ByteString, text: string): void {
  try {
    rmSync(toFsPath(path), { force: true });
    const fd = openSync(
      toFsPath(path),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      const bytes = Buffer.from(text);
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw ioError(`cannot write ${toText(path)}`, error);
  }
}
