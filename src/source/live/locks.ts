/**
 * Locks as Cyrus takes them: fcntl, on the whole file (lib/lock_fcntl.c). Ours belong to an open file description
 * and keep Cyrus's away all the same. Only ever asked for, never waited for in the kernel.
 */
import { closeSync, constants, fchmodSync, fstatSync, mkdirSync, openSync } from "node:fs";
import { type ByteString, toFsPath, toText } from "../../base/byte-string.ts";
import { systemCode } from "../../base/errors.ts";
import { ioError } from "../../base/io-error.ts";
import { openNoFollow, tryLock } from "../../base/posix.ts";
import { type Identity, withIdentity } from "../../base/posix-identity.ts";
import { lstatSource, toSourceStat } from "../read-file.ts";
import { parentOf } from "../view.ts";

/** As Cyrus makes them where its umask leaves that (observed on 3.6.1); less would keep Cyrus out of its own lock. */
const LOCK_MODE = 0o666;
const DIRECTORY_MODE = 0o755;

export interface LockWatch {
  /** As soon as one is had. */
  readonly onLock: () => void;
  /** All are gone; also where none was had. */
  readonly onRelease: () => void;
}

/** Locks that are held together, and let go together. */
export class LockGroup {
  readonly #fds: number[] = [];
  readonly #owner: Identity;
  readonly #watch: LockWatch;

  /** @param owner - to whom the lock files belong. */
  constructor(owner: Identity, watch: LockWatch) {
    this.#owner = owner;
    this.#watch = watch;
  }

  /**
   * A lock file by its name: made where there is none, as its owner would.
   * @returns false: somebody has it exclusively.
   */
  tryName(path: ByteString): boolean {
    const fd = withIdentity(this.#owner, () => openLockFile(path));
    return this.#keep(fd);
  }

  /**
   * A file of Cyrus itself. What was renamed into its place while we asked is another file: that counts as busy.
   * @returns undefined: there is none.
   */
  tryFile(path: ByteString): boolean | undefined {
    const fd = openNoFollow(path, constants.O_RDONLY);
    if (fd === undefined) return undefined;
    if (!this.#keep(fd)) return false;
    const now = lstatSource(path);
    const ours = toSourceStat(fstatSync(fd, { bigint: true }));
    return now !== undefined && now.device === ours.device && now.stat.inode === ours.stat.inode;
  }

  release(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
    this.#watch.onRelease();
  }

  #keep(fd: number): boolean {
    let isHeld = false;
    try {
      isHeld = tryLock(fd, "read");
    } finally {
      if (!isHeld) closeSync(fd);
    }
    if (!isHeld) return false;
    this.#fds.push(fd);
    this.#watch.onLock();
    return true;
  }
}

/** For reading: that is enough for a shared lock, and harms nothing. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

function openLockFile(path: ByteString): number {
  const name = toFsPath(path);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return openSync(name, FLAGS);
      } catch (error) {
        if (systemCode(error) !== "ENOENT") throw error;
      }
      mkdirSync(toFsPath(parentOf(path)), { recursive: true, mode: DIRECTORY_MODE });
      try {
        const fd = openSync(name, FLAGS | constants.O_CREAT | constants.O_EXCL, LOCK_MODE);
        // Whatever our umask is: that is for the whole process, whose other threads make files too.
        fchmodSync(fd, LOCK_MODE);
        return fd;
      } catch (error) {
        if (systemCode(error) !== "EEXIST" || attempt > 1) throw error;
      }
    }
  } catch (error) {
    throw ioError(`cannot open the lock ${toText(path)}`, error);
  }
}
