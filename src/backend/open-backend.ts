/** The one place that names concrete backends. */
import { fileURLToPath } from "node:url";
import { CyrvaultError } from "../base/errors.ts";
import type { Backend } from "./backend.ts";
import { LocalBackend } from "./local.ts";

/** A directory with such a name can be given as `./name:…`. */
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):/;

/**
 * Opens nothing yet and writes nothing: a location where no repository is gives a backend without files.
 *
 * @param location - a directory, or a URL: `/backup/cyrus`, `file:///backup/cyrus`.
 * @throws {CyrvaultError} `USAGE`
 */
export async function openBackend(location: string): Promise<Backend> {
  return new LocalBackend(localPath(location));
}

function localPath(location: string): string {
  if (location === "" || location.includes("\0"))
    throw new CyrvaultError("USAGE", "the place of the repository is empty or has a NUL in it");
  const scheme = SCHEME.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined) return location;
  if (scheme === "file") return fileLocation(location);
  if (scheme === "sftp" || scheme === "s3")
    throw new CyrvaultError("USAGE", `${scheme}: repositories are not supported yet`, {
      hint: "give a local directory",
    });
  throw new CyrvaultError("USAGE", `${scheme}: is no kind of repository`, {
    hint: `for a directory of that name write ./${location}`,
  });
}

function fileLocation(location: string): string {
  try {
    if (location.toLowerCase().startsWith("file://")) return fileURLToPath(location);
  } catch (cause) {
    throw new CyrvaultError("USAGE", `${location} names no directory of this machine`, { cause });
  }
  const path = location.slice("file:".length);
  if (path === "") throw new CyrvaultError("USAGE", "file: without a directory");
  return path;
}
