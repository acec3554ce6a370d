/**
 * Files of a running Cyrus, read at a moment when nobody writes to them: under the locks that Cyrus itself takes, in
 * its order (mailbox name, cyrus.index, databases), copied, and let go before anything else is done. No lock is held
 * over a turn of the event loop, and none is waited for in the kernel: what is busy is tried again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type ByteString, joinPath, toText } from "../../base/byte-string.ts";
import type { Identity } from "../../base/posix-identity.ts";
import { hurry } from "../../base/posix-priority.ts";
import type { PathRules } from "../../cyrus/mailbox-path.ts";
import type { MailboxToHold } from "../held.ts";
import { SourceFile } from "../read-file.ts";
import { type Copy, CopyPlace } from "./copies.ts";
import { mailboxLockPath, userLockPath } from "./lock-names.ts";
import { type LockHold, type LockTimes, noLockTimes } from "./lock-times.ts";
import { LockGroup } from "./locks.ts";
import { MailboxSnapshot } from "./mailbox-snapshot.ts";

export interface LockedReaderOptions {
  /** Where `mboxname_lockpath` lies, links resolved. */
  readonly lockRoot: ByteString;
  readonly rules: PathRules;
  /** To whom Cyrus's files belong. */
  readonly owner: Identity;
  /** For copies that are too large for memory. */
  readonly temporary?: string | undefined;
  /** How long a lock is asked for. */
  readonly limitMs?: number;
  /** Told of every time that locks were held, after they are let go. */
  readonly onHeld?: (hold: LockHold) => void;
}

const LIMIT_MS = 5000;
const PAUSE_MS_MAX = 50;

export class LockedReader {
  readonly times: LockTimes = noLockTimes();
  readonly copies: CopyPlace;
  readonly limitMs: number;
  readonly #options: LockedReaderOptions;

  constructor(options: LockedReaderOptions) {
    this.#options = options;
    this.limitMs = options.limitMs ?? LIMIT_MS;
    this.copies = new CopyPlace(options.temporary);
  }

  /** @returns undefined: some lock is somebody else's now. @throws {CyrvaultError} `IO`. */
  trySnapshot(mailbox: MailboxToHold): MailboxSnapshot | undefined {
    const { lockRoot, rules } = this.#options;
    return this.holding(toText(mailbox.name), (locks) => {
      if (!locks.tryName(joinPath(lockRoot, mailboxLockPath(mailbox, rules)))) return undefined;
      for (const { path } of mailbox.directories)
        for (const name of ["cyrus.index", "cyrus.annotations"] as ByteString[])
          if (locks.tryFile(joinPath(path, name)) === false) return undefined;
      return new MailboxSnapshot(mailbox, this.copies);
    });
  }

  /** @returns undefined: it is locked, or another file has just taken its place. @throws {CyrvaultError} `IO`. */
  tryCopy(path: ByteString): Copy | "absent" | undefined {
    return this.holding(toText(path), (locks) => {
      const isLocked = locks.tryFile(path);
      if (isLocked === false) return undefined;
      const source = isLocked === undefined ? undefined : SourceFile.open(path);
      if (source === undefined) return "absent";
      try {
        return this.copies.copy(source);
      } finally {
        source.close();
      }
    });
  }

  tryUser(user: ByteString | undefined, locks: LockGroup): boolean {
    const { lockRoot, rules } = this.#options;
    return locks.tryName(joinPath(lockRoot, userLockPath(user, rules)));
  }

  /** Whatever `work` locks is let go when it returns. */
  holding<T>(what: string, work: (locks: LockGroup) => T): T {
    const locks = this.openGroup(what);
    try {
      return work(locks);
    } finally {
      locks.release();
    }
  }

  /** For whoever lets its locks go by themselves. From its first lock to its release this thread is in a hurry. */
  openGroup(what: string): LockGroup {
    let held: { readonly fromMs: number; readonly began: number; readonly slowDown: () => void } | undefined;
    return new LockGroup(this.#options.owner, {
      onLock: () => {
        this.times.taken++;
        held ??= { fromMs: Date.now(), began: performance.now(), slowDown: hurry() };
      },
      onRelease: () => {
        if (held === undefined) return;
        const { fromMs, began, slowDown } = held;
        const ms = performance.now() - began;
        held = undefined;
        slowDown();
        if (ms > this.times.longestMs) Object.assign(this.times, { longestMs: ms, longestOf: what });
        this.#options.onHeld?.({ what, fromMs, ms });
      },
    });
  }

  /** Tries until it is had or the time is over, with pauses. @returns what `giveUp` makes of that. */
  async persist<T>(attempt: () => T | undefined, giveUp: () => T): Promise<T> {
    const began = performance.now();
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
      const result = attempt();
      const waitedMs = performance.now() - began;
      if (result !== undefined) {
        this.times.longestWaitMs = Math.max(this.times.longestWaitMs, waitedMs);
        return result;
      }
      this.times.busy++;
      if (waitedMs >= this.limitMs) {
        this.times.givenUp++;
        return giveUp();
      }
      await sleep(pauseMs);
    }
  }
}
