import { assert, CyrvaultError } from "../base/errors.ts";
import { BACKEND_NAME_BYTES_MAX } from "../base/limits.ts";

const PART = /^[0-9A-Za-z_-][0-9A-Za-z._-]*$/;

/** Top-level directories of a local repository that hold no backend files: unfinished writes, the LevelDB. */
export const RESERVED_DIRECTORIES: ReadonlySet<string> = new Set(["tmp", "index"]);

/** One part of a name, between slashes. What else lies in a directory (`lost+found`, `.snapshot`) is not ours. */
export function isNamePart(part: string): boolean {
  return PART.test(part);
}

/** Names come from the store, never from outside: a bad one is a bug. */
export function assertName(name: string): void {
  const parts = name.split("/");
  const good =
    name.length <= BACKEND_NAME_BYTES_MAX &&
    parts.every(isNamePart) &&
    !RESERVED_DIRECTORIES.has(parts[0] ?? "");
  assert(good, `not a name for a backend: ${JSON.stringify(name)}`);
}

/** A prefix is empty, or a name cut off anywhere. */
export function assertPrefix(prefix: string): void {
  if (prefix !== "") assertName(prefix.endsWith("/") ? prefix.slice(0, -1) : prefix);
}

/**
 * Where a range begins, counted from the file's start.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED` when the range is not wholly inside the file.
 */
export function rangeStart(name: string, bytes: number, offset: number, length: number): number {
  assert(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && length >= 0, "not a range");
  const start = offset < 0 ? bytes + offset : offset;
  if (start < 0 || start + length > bytes)
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${name} is shorter than it should be`, {
      context: { name, bytes, offset, length },
    });
  return start;
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED` */
export function checkSize(name: string, bytes: number, maxBytes: number): void {
  if (bytes > maxBytes)
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${name} is larger than it can be`, {
      context: { name, bytes, maxBytes },
    });
}

export function nameExists(name: string): CyrvaultError {
  return new CyrvaultError("NAME_EXISTS", `${name} exists`, { context: { name } });
}
