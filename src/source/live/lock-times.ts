/** How long locks were held and waited for: what a client may have noticed of us. */

export interface LockTimes {
  /** Locks that were had, of whatever kind. */
  taken: number;
  /** Tries that found somebody else's lock. */
  busy: number;
  /** What was read without a lock in the end. */
  givenUp: number;
  /** From the first lock of a group to the last one's end. */
  longestMs: number;
  longestOf: string;
  /** Until a lock was had. */
  longestWaitMs: number;
}

export function noLockTimes(): LockTimes {
  return { taken: 0, busy: 0, givenUp: 0, longestMs: 0, longestOf: "", longestWaitMs: 0 };
}

/** Of one group of locks, from the first to the end of all. */
export interface LockHold {
  /** Which mailbox, which file, how many users. */
  readonly what: string;
  /** Time of day. */
  readonly fromMs: number;
  readonly ms: number;
}
