/**
 * How files are looked at while somebody may be writing to them. Of a tree that holds still nothing need be held
 * (`NOTHING_HELD`); of a live server each mailbox and each database is, for a moment, under Cyrus's own locks.
 */
import type { ByteString } from "../base/byte-string.ts";
import type { FileStat } from "../base/file-stat.ts";
import { lstatSource, SourceFile, type SourceStat } from "./read-file.ts";

/** An open regular file, as it is or as it was at one moment. Close it. */
export type HeldFile = Pick<
  SourceFile,
  "stat" | "read" | "statAgain" | "isCached" | "dropFromCache" | "close"
>;

export interface MailboxToHold {
  /** Internal. */
  readonly name: ByteString;
  /** Its directories are named by its uniqueid, this one; undefined: by its name. */
  readonly uuid: ByteString | undefined;
  readonly directories: readonly {
    /** Real paths throughout. */
    readonly path: ByteString;
    readonly holdsMessages: boolean;
    /** Names of its small files that are wanted, as far as they are known. */
    readonly names: readonly ByteString[];
  }[];
}

/** The small files of one mailbox, all of one moment. */
export interface HeldMailbox {
  /** True: nothing changes while it is read. False: its messages may have changed since. */
  readonly isFrozen: boolean;
  /** Small files of a directory besides those that were asked for. */
  moreNames(directory: ByteString): readonly ByteString[];
  stat(path: ByteString): SourceStat | undefined;
  /** @throws {CyrvaultError} `IO`. */
  open(path: ByteString): HeldFile | undefined;
  /** Where a message lies that was put aside while nobody could remove it, and the stat of its own file. */
  asidePath(message: ByteString): { readonly path: ByteString; readonly stat: FileStat } | undefined;
  /** Why its files may be of different moments after all; undefined: they are of one. */
  readonly problem?: string | undefined;
  /** @param isWhole - everything could be read, and nothing is wrong with it. */
  release(isWhole: boolean): void;
}

/** The whole of a file outside of mailboxes. @throws {CyrvaultError} `IO`, `SOURCE_INVALID`: more than `maxBytes`. */
export type ReadNow = (path: ByteString, maxBytes: number) => { readonly bytes: Buffer } | undefined;

export interface SourceHolder {
  /** Of a file outside of mailboxes. @throws {CyrvaultError} `IO`. */
  open(path: ByteString): Promise<HeldFile | undefined>;
  enter(mailbox: MailboxToHold): Promise<HeldMailbox>;
  /** As `readSourceFile`, for who cannot wait. undefined: as that does. */
  readonly readNow?: ReadNow;
  /**
   * True: what an earlier round has of it is to stand, whatever it looks like by now.
   * @param directories - real paths.
   */
  isSettled?(directories: readonly ByteString[]): boolean;
}

export const FROZEN_MAILBOX: HeldMailbox = {
  isFrozen: true,
  moreNames: () => [],
  stat: lstatSource,
  open: (path) => SourceFile.open(path),
  asidePath: () => undefined,
  release: () => undefined,
};

export const NOTHING_HELD: SourceHolder = {
  open: async (path) => SourceFile.open(path),
  enter: async () => FROZEN_MAILBOX,
};
