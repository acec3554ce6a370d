/**
 * Gives a finished temporary file its name, but only if that name is free: safe when several processes try at
 * once. rename(2) alone would replace, so there are three ways; the first that the filesystem knows is taken.
 *
 * link: link(2) fails on an existing name everywhere. Not on FAT, exFAT and some network filesystems.
 * rename: renameat2 with NOREPLACE; needs the C library and the filesystem's help.
 * claim: O_EXCL on a file named after the wanted name, then look, then rename. Safe among processes that all use
 *   it, which holds on one filesystem: its abilities are the same for all.
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { assert, CyrvaultError, systemCode } from "./errors.ts";
import type { FileSystem } from "./file-system.ts";
import { ioError } from "./io-error.ts";

export type PlaceMethod = "link" | "rename" | "claim";

/**
 * `temporary` is gone afterwards. Durable only after fsync of the directory of `path`, which is the caller's.
 *
 * @throws {CyrvaultError} `NAME_EXISTS`: nothing was touched, `temporary` is still there.
 */
export async function placeNew(
  fs: FileSystem,
  temporary: string,
  path: string,
  methods: readonly PlaceMethod[] = ["link", "rename", "claim"],
): Promise<void> {
  for (const method of methods) if (await WAYS[method](fs, temporary, path)) return;
  assert(false, `no way to place a file among ${methods.join(", ")}`);
}

/** Each answers false when the filesystem does not know this way. */
const WAYS: Record<PlaceMethod, (fs: FileSystem, temporary: string, path: string) => Promise<boolean>> = {
  link: placeByLink,
  rename: placeByRename,
  claim: placeByClaim,
};

/** What link(2) says where there are no hard links. EPERM also covers directories that forbid them. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

async function placeByLink(fs: FileSystem, temporary: string, path: string): Promise<boolean> {
  try {
    await fs.link(temporary, path);
  } catch (cause) {
    const code = systemCode(cause);
    if (code !== undefined && NO_LINKS.has(code)) return false;
    // NFS: the server did it, its answer was lost, the client asked again.
    const ours = code === "EEXIST" && (await isSameFile(fs, temporary, path));
    if (!ours) throw placeError(path, cause);
  }
  try {
    await fs.unlink(temporary);
  } catch (cause) {
    if (systemCode(cause) !== "ENOENT") throw ioError(`cannot remove ${temporary}`, cause);
  }
  return true;
}

async function isSameFile(fs: FileSystem, a: string, b: string): Promise<boolean> {
  try {
    return (await fs.identify(a)) === (await fs.identify(b));
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw ioError(`cannot stat ${b}`, cause);
  }
}

async function placeByRename(fs: FileSystem, temporary: string, path: string): Promise<boolean> {
  const result = await fs.renameNoReplace(temporary, path);
  if (result === "exists") throw nameExists(path);
  return result === "renamed";
}

const CLAIM_WAIT_MS = 20;
const CLAIM_TRIES = 250;

async function placeByClaim(fs: FileSystem, temporary: string, path: string): Promise<boolean> {
  const claim = join(
    dirname(temporary),
    `claim-${createHash("sha256").update(path).digest("hex").slice(0, 32)}`,
  );
  await takeClaim(fs, claim, path);
  try {
    if (await exists(fs, path)) throw nameExists(path);
    await fs.rename(temporary, path);
  } catch (cause) {
    throw ioError(`cannot name ${path}`, cause);
  } finally {
    await fs.unlink(claim).catch(() => undefined); // a claim that stays is cleared away with old temporary files
  }
  return true;
}

async function takeClaim(fs: FileSystem, claim: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < CLAIM_TRIES; attempt++) {
    try {
      await (await fs.create(claim, 0o600)).close();
      return;
    } catch (cause) {
      if (systemCode(cause) !== "EEXIST") throw ioError(`cannot create ${claim}`, cause);
    }
    if (await exists(fs, path)) throw nameExists(path);
    await delay(CLAIM_WAIT_MS);
  }
  throw new CyrvaultError("LOCKED", `somebody else has claimed ${path} and does not finish`, {
    context: { claim },
    hint: `if no other cyrvault is at work here, remove ${claim}`,
  });
}

async function exists(fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.lstat(path);
    return true;
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return false;
    throw ioError(`cannot stat ${path}`, cause);
  }
}

function placeError(path: string, cause: unknown): CyrvaultError {
  const code = systemCode(cause);
  if (code === "EEXIST") return nameExists(path, cause);
  if (code !== "EXDEV") return ioError(`cannot name ${path}`, cause);
  return new CyrvaultError("IO", `cannot name ${path}: it lies on another filesystem than temporary files`, {
    cause,
    hint: "keep all of a repository on one filesystem",
  });
}

function nameExists(path: string, cause?: unknown): CyrvaultError {
  return new CyrvaultError("NAME_EXISTS", `${path} exists`, { context: { path }, cause });
}
