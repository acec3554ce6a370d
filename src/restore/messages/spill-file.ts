/** A file without a name in the target: what messages of a window have in one block waits there for their other parts. */
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../../base/byte-string.ts";
import { ioError } from "../../base/io-error.ts";

const NAME = ".cyrvault-spill" as ByteString;

export class SpillFile {
  readonly fd: number;

  /** @param directory - the target: it gets the same bytes as messages anyway. */
  constructor(directory: ByteString) {
    const path = joinPath(directory, NAME);
    try {
      rmSync(toFsPath(path), { force: true });
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      this.fd = openSync(toFsPath(path), flags, 0o600);
      rmSync(toFsPath(path));
    } catch (error) {
      throw ioError(`cannot write ${toText(path)}`, error);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}
