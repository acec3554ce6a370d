import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../base/byte-string.ts";
import { systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { syncFilesystem } from "../base/posix.ts";

/** Every filesystem that these lie on is durable when this returns, or an error that writing back met is thrown. */
export function syncFilesystems(directories: readonly ByteString[]): void {
  const devices = new Set<bigint>();
  for (const directory of new Set(directories)) {
    let fd: number;
    try {
      fd = openSync(toFsPath(directory), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) === "ENOENT" || systemCode(error) === "EACCES") continue;
      throw ioError(`cannot open ${toText(directory)}`, error);
    }
    try {
      const { dev } = fstatSync(fd, { bigint: true });
      if (devices.has(dev)) continue;
      devices.add(dev);
      syncFilesystem(fd);
    } finally {
      closeSync(fd);
    }
  }
}
