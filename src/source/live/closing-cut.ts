/**
 * A moment of some users: all their mailboxes that have changed, with messages that are new in them, and the mailbox
 * list, while the users' own locks keep every writer away. What is copied is little: only what came since the round
 * before. So a message that is moved between two folders of a user is in one of them, or in both, never in none.
 *
 * Cyrus before 3.4 does not take a user's lock to write: there, each mailbox is of a moment of its own.
 */
import { type ByteString, joinPath } from "../../base/byte-string.ts";
import { isCyrvaultError } from "../../base/errors.ts";
import { forEachRecord, parseIndexHeader } from "../../cyrus/index-reader.ts";
import type { MailboxToHold } from "../held.ts";
import { SourceFile } from "../read-file.ts";
import type { Copy } from "./copies.ts";
import { insist } from "./insist.ts";
import { type ClosingCut, indexPathsOf, keyOf, type LiveHolder } from "./live-holder.ts";
import type { LockedReader } from "./locked-reader.ts";
import type { MailboxSnapshot } from "./mailbox-snapshot.ts";

export interface CutInput {
  /** Who is kept from writing; undefined: everything that is no user's. */
  readonly users: readonly (ByteString | undefined)[];
  /** All that the users have. */
  readonly mailboxes: readonly MailboxToHold[];
  /** Files that are to be of the same moment. Real paths. */
  readonly files: readonly ByteString[];
}

/** For all locks together, while those that are had already keep others waiting. */
const LOCKING_MS_MAX = 250;
/** What is put aside of new messages, while all wait. */
const ASIDE_BYTES_MAX = 32 * 1024 * 1024;
const ASIDE_MESSAGES_MAX = 2000;

/**
 * Keeps the users' writers away while something is looked up, for `limitMs` at most: then they go on, whatever we do.
 * @returns lets them go on; undefined: the locks could not be had.
 */
export async function keepStill(
  reader: LockedReader,
  users: CutInput["users"],
  limitMs: number,
): Promise<(() => void) | undefined> {
  const locks = reader.openGroup(`${users.length} users, for the mailbox list`);
  const isHeld = await reader.persist<boolean>(
    () => {
      const until = performance.now() + LOCKING_MS_MAX;
      const isBusy = users.some(
        (user) => insist(() => reader.tryUser(user, locks) || undefined, until) === undefined,
      );
      if (isBusy) locks.release();
      return isBusy ? undefined : true;
    },
    () => false,
  );
  if (!isHeld) return undefined;
  let isOver = false;
  const letGo = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    locks.release();
  };
  const timer = setTimeout(letGo, limitMs);
  return letGo;
}

/** @returns undefined: the locks could not be had. @throws {CyrvaultError} `IO`. */
export async function takeClosingCut(
  reader: LockedReader,
  holder: LiveHolder,
  input: CutInput,
): Promise<ClosingCut | undefined> {
  const cut = await reader.persist<ClosingCut | "busy">(
    () => tryCut(reader, holder, input),
    () => "busy",
  );
  return cut === "busy" ? undefined : cut;
}

function tryCut(reader: LockedReader, holder: LiveHolder, input: CutInput): ClosingCut | undefined {
  const mailboxes = new Map<ByteString, MailboxSnapshot>();
  const files = new Map<ByteString, Copy>();
  let isWhole = false;
  try {
    return reader.holding(`${input.users.length} users`, (locks) => {
      const until = performance.now() + LOCKING_MS_MAX;
      for (const user of input.users)
        if (insist(() => reader.tryUser(user, locks) || undefined, until) === undefined) return undefined;
      for (const path of input.files) {
        const copy = insist(() => reader.tryCopy(path), until);
        if (copy === undefined) return undefined;
        if (copy !== "absent") files.set(path, copy);
      }
      const aside = new Aside(reader);
      for (const mailbox of input.mailboxes) {
        const directories = mailbox.directories.map(({ path }) => path);
        if (!holder.hasChanged(directories)) continue;
        const snapshot = insist(() => reader.trySnapshot(mailbox), until);
        if (snapshot === undefined) return undefined;
        mailboxes.set(keyOf(directories), snapshot);
        aside.put(mailbox, snapshot, holder.lastUidOf(directories));
      }
      isWhole = true;
      return { mailboxes, files };
    });
  } finally {
    if (!isWhole) {
      for (const snapshot of mailboxes.values()) snapshot.release(false);
      for (const copy of files.values()) copy.discard();
    }
  }
}

/** Messages that could be unlinked before they are read, copied while nobody can. */
class Aside {
  readonly #reader: LockedReader;
  #bytes = 0;
  #messages = 0;

  constructor(reader: LockedReader) {
    this.#reader = reader;
  }

  /** @param lastUid - those up to it were read already. */
  put(mailbox: MailboxToHold, snapshot: MailboxSnapshot, lastUid: number): void {
    const places = mailbox.directories.filter(({ holdsMessages }) => holdsMessages);
    const paths = indexPathsOf(mailbox.directories.map(({ path }) => path));
    for (const uid of newMessages(snapshot, paths, lastUid)) {
      for (const { path: directory } of places) {
        const path = joinPath(directory, `${uid}.` as ByteString);
        const source = SourceFile.open(path);
        if (source === undefined) continue;
        try {
          this.#bytes += source.stat.size;
          this.#messages++;
          if (this.#bytes > ASIDE_BYTES_MAX || this.#messages > ASIDE_MESSAGES_MAX) return;
          snapshot.putAside(path, this.#reader.copies.copyNamed(source), source.stat);
        } finally {
          source.close();
        }
        break;
      }
    }
  }
}

function newMessages(
  snapshot: MailboxSnapshot,
  indexPaths: readonly ByteString[],
  lastUid: number,
): number[] {
  const index = indexPaths.map(snapshot.open).find((held) => held !== undefined);
  if (index === undefined) return [];
  const uids: number[] = [];
  try {
    const bytes = index.read(0, index.stat.size);
    const header = parseIndexHeader(bytes);
    const whole = Math.floor((bytes.length - header.headerBytes) / header.recordBytes);
    const records = bytes.subarray(header.headerBytes, header.headerBytes + whole * header.recordBytes);
    forEachRecord(records, header, 0, (record) => {
      if (record.uid > lastUid && !record.isUnlinked) uids.push(record.uid);
    });
  } catch (error) {
    // Whoever captures the mailbox says what is wrong with its index.
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT") && !isCyrvaultError(error, "CYRUS_BAD_CHECKSUM"))
      throw error;
  }
  return uids;
}
