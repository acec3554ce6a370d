/**
 * What a live backup reads, round after round: each mailbox under its locks, each other file under its own; and what
 * of it has changed since it was read.
 */
import { type ByteString, joinPath, toText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import type { FileStat } from "../../base/file-stat.ts";
import { parseIndexHeader } from "../../cyrus/index-reader.ts";
import type { HeldFile, HeldMailbox, MailboxToHold, ReadNow, SourceHolder } from "../held.ts";
import { lstatSource, readSourceFile, SourceFile, sameStat } from "../read-file.ts";
import type { Copy } from "./copies.ts";
import { insist } from "./insist.ts";
import type { LockedReader } from "./locked-reader.ts";
import { MailboxSnapshot } from "./mailbox-snapshot.ts";

/** Everything of one moment, as far as it had changed before. By real paths: of the first directory, of the file. */
export interface ClosingCut {
  readonly mailboxes: ReadonlyMap<ByteString, MailboxSnapshot>;
  readonly files: ReadonlyMap<ByteString, Copy>;
}

/** What was read of a mailbox last. */
interface Remembered {
  readonly indexPath: ByteString;
  readonly index: FileStat;
  readonly lastUid: number;
  /** No later change can have left the same stat. */
  readonly isSure: boolean;
  isWhole: boolean;
}

/** Copying more takes longer than a client should wait. */
const LOCKED_BYTES_MAX = 256 * 1024 * 1024;
/** A file's time is that of the kernel's last tick, 10 ms ago at most. */
const TICK_NS = 20_000_000n;
const NOW_MS_MAX = 500;
const INDEX = "cyrus.index" as ByteString;
const INDEX_HEADER_BYTES = 4096;

export class LiveHolder implements SourceHolder {
  readonly #reader: LockedReader;
  readonly #startedNs: bigint;
  readonly #once: ReadonlySet<ByteString>;
  readonly #kept = new Map<ByteString, Copy>();
  readonly #remembered = new Map<ByteString, Remembered>();
  #cut: ClosingCut | undefined;

  /**
   * @param startedNs - before the first look at the server.
   * @param once - files that are read once in a round, however often they are asked for: the mailbox list. Real paths.
   */
  constructor(reader: LockedReader, startedNs: bigint, once: readonly ByteString[]) {
    this.#reader = reader;
    this.#startedNs = startedNs;
    this.#once = new Set(once);
  }

  /** @param cut - this is the last round: what has not changed before the cut stands, the rest is as the cut has it. */
  beginRound(cut?: ClosingCut): void {
    this.#letGo();
    this.#cut = cut;
    for (const [path, copy] of cut?.files ?? []) this.#kept.set(path, copy);
  }

  close(): void {
    this.#letGo();
    this.#reader.copies.close();
  }

  async open(path: ByteString): Promise<HeldFile | undefined> {
    const kept = this.#kept.get(path);
    if (kept !== undefined) return kept.open();
    const found = lstatSource(path);
    const isOnce = this.#once.has(path);
    if (!isOnce && found !== undefined && found.stat.size > LOCKED_BYTES_MAX) return SourceFile.open(path);
    const copy = await this.#reader.persist<Copy | SourceFile | "absent" | undefined>(
      () => this.#reader.tryCopy(path),
      () => {
        if (isOnce) throw new CyrvaultError("IO", `${toText(path)} is locked all the time`);
        // Whoever reads it looks whether it changes meanwhile.
        return SourceFile.open(path) ?? "absent";
      },
    );
    if (copy === "absent" || copy === undefined) return undefined;
    if (copy instanceof SourceFile) return copy;
    if (!isOnce) return discarding(copy);
    this.#kept.set(path, copy);
    return copy.open();
  }

  readonly readNow: ReadNow = (path, maxBytes) => {
    const size = lstatSource(path)?.stat.size ?? 0;
    if (size > Math.min(LOCKED_BYTES_MAX, maxBytes)) return readSourceFile(path, maxBytes);
    const copy = insist(() => this.#reader.tryCopy(path), performance.now() + NOW_MS_MAX);
    if (copy === undefined) return readSourceFile(path, maxBytes);
    if (copy === "absent") return undefined;
    try {
      return { bytes: copy.open().read(0, copy.stat.size) };
    } finally {
      copy.discard();
    }
  };

  async enter(mailbox: MailboxToHold): Promise<HeldMailbox> {
    const directories = mailbox.directories.map(({ path }) => path);
    const snapshot =
      this.#cut?.mailboxes.get(keyOf(directories)) ??
      (await this.#reader.persist(
        () => this.#reader.trySnapshot(mailbox),
        () => {
          const why = `its locks could not be had for ${this.#reader.limitMs / 1000} s: its files may be of different moments`;
          return new MailboxSnapshot(mailbox, this.#reader.copies, why);
        },
      ));
    this.#remember(directories, snapshot);
    return snapshot;
  }

  isSettled(directories: readonly ByteString[]): boolean {
    const key = keyOf(directories);
    if (this.#cut === undefined) return this.#isUnchanged(key) === true;
    // Of the cut's moment: it had not changed before.
    return !this.#cut.mailboxes.has(key);
  }

  /** Whether a mailbox is no longer as it was read, or as it was when its earlier record was taken over. */
  hasChanged(directories: readonly ByteString[]): boolean {
    const isUnchanged = this.#isUnchanged(keyOf(directories));
    if (isUnchanged !== undefined) return !isUnchanged;
    const found = indexPathsOf(directories).map(lstatSource);
    return found.some((one) => one !== undefined && one.stat.ctimeNs >= this.#startedNs);
  }

  /** Whether a file that is read once has changed since. */
  get listHasChanged(): boolean {
    return [...this.#kept].some(([path, { stat }]) => !isStill(path, stat));
  }

  /** The last UID that was read of a mailbox; 0 before that. */
  lastUidOf(directories: readonly ByteString[]): number {
    return this.#remembered.get(keyOf(directories))?.lastUid ?? 0;
  }

  /** @returns undefined: it has not been read yet. */
  #isUnchanged(key: ByteString): boolean | undefined {
    const then = this.#remembered.get(key);
    return then === undefined
      ? undefined
      : then.isSure && then.isWhole && isStill(then.indexPath, then.index);
  }

  #remember(directories: readonly ByteString[], snapshot: MailboxSnapshot): void {
    for (const indexPath of indexPathsOf(directories)) {
      const held = snapshot.open(indexPath);
      if (held === undefined) continue;
      const { stat } = held;
      const sureNs = snapshot.takenNs - TICK_NS;
      const isSure = snapshot.problem === undefined && stat.mtimeNs < sureNs && stat.ctimeNs < sureNs;
      const remembered = { indexPath, index: stat, lastUid: lastUidIn(held), isSure, isWhole: false };
      this.#remembered.set(keyOf(directories), remembered);
      snapshot.onRelease = (isWhole) => {
        remembered.isWhole = isWhole;
      };
      return;
    }
  }

  #letGo(): void {
    for (const copy of this.#kept.values()) copy.discard();
    this.#kept.clear();
    for (const snapshot of this.#cut?.mailboxes.values() ?? []) snapshot.release(false);
    this.#cut = undefined;
  }
}

/** What tells mailboxes apart while they are where they are. */
export function keyOf(directories: readonly ByteString[]): ByteString {
  return directories[0] ?? ("" as ByteString);
}

/** Where an index of theirs can be: one of them has it. */
export function indexPathsOf(directories: readonly ByteString[]): ByteString[] {
  return directories.map((directory) => joinPath(directory, INDEX));
}

function isStill(path: ByteString, stat: FileStat): boolean {
  const now = lstatSource(path);
  return now !== undefined && sameStat(now.stat, stat);
}

function lastUidIn(index: HeldFile): number {
  try {
    return parseIndexHeader(index.read(0, Math.min(index.stat.size, INDEX_HEADER_BYTES)), {
      acceptBadCrc: true,
    }).lastUid;
  } catch (error) {
    // A damaged index is a finding of whoever captures the mailbox.
    if (error instanceof CyrvaultError) return 0;
    throw error;
  }
}

function discarding(copy: Copy): HeldFile {
  return { ...copy.open(), close: () => copy.discard() };
}
