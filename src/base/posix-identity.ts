/**
 * What a thread of root creates in somebody else's place belongs to them from the first moment, and is done with no
 * more than their rights: Linux has an identity for file access alone, and each thread has its own (setfsuid(2)).
 */
import { CyrvaultError } from "./errors.ts";
import { nativeLibc } from "./posix-native.ts";

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Answers with what it is now, and changes nothing. */
const ASK = 0xffff_ffff;

/**
 * Runs `work` with the rights of `identity` in all that this thread does with files. No asynchronous work: other
 * work of the thread would run in between, and what libuv's threads do is not covered. The groups of root stay.
 *
 * @throws {CyrvaultError} `IO` where we may not be that user: neither root nor already they.
 */
export function withIdentity<T>({ uid, gid }: Identity, work: () => T): T {
  const [ownUid, ownGid] = [process.geteuid?.(), process.getegid?.()];
  if (ownUid === uid && (ownUid !== 0 || ownGid === gid)) return work();
  const { libc } = nativeLibc();
  if (libc === undefined || ownUid !== 0 || ownGid === undefined)
    throw new CyrvaultError("IO", `cannot use files as user ${uid}: only root can`);
  // The group first: without root's rights it could not be set.
  libc.setfsgid(gid);
  libc.setfsuid(uid);
  try {
    if (libc.setfsuid(ASK) !== uid || libc.setfsgid(ASK) !== gid)
      throw new CyrvaultError("IO", `cannot use files as user ${uid}, group ${gid}`);
    return work();
  } finally {
    libc.setfsuid(ownUid);
    libc.setfsgid(ownGid);
  }
}
