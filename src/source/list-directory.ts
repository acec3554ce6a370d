/** One listing of one directory, sorted out into what the survey needs. */
import { type Dirent, opendirSync, readdirSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { isAbsent, lstatSource } from "./read-file.ts";

export interface Listing {
  /** All in ascending byte order. */
  readonly directories: readonly ByteString[];
  readonly symlinks: readonly ByteString[];
  /** Regular files that are not message files. */
  readonly files: readonly ByteString[];
  /** Sockets, pipes, devices. */
  readonly specials: readonly ByteString[];
  /** UIDs of message files, ascending; empty when they were not asked for. */
  readonly uids: Uint32Array;
  readonly messageCount: number;
}

export const EMPTY_LISTING: Listing = {
  directories: [],
  symlinks: [],
  files: [],
  specials: [],
  uids: new Uint32Array(0),
  messageCount: 0,
};

/** `<uid>.` without leading zeros, a u32 (imap/mailbox.c, mailbox_record_fname; observed on 3.6.1). */
const MESSAGE_NAME = /^[1-9][0-9]{0,9}\.$/;

/** The UID of a message file's name; undefined for any other name. */
export function uidOfFileName(name: string): number | undefined {
  if (!MESSAGE_NAME.test(name)) return undefined;
  const uid = Number(name.slice(0, -1));
  return uid <= 0xffff_ffff ? uid : undefined;
}

/**
 * @param messages - `collect`: message files are told apart and their UIDs kept; `count`: only counted;
 *   `none`: every regular file counts as a file (below the configdirectory nothing is a message).
 * @param bytes - the directory's size, where it is known: a small one is read at once, a third of the work.
 * @returns undefined when there is no such directory.
 * @throws {CyrvaultError} `IO`.
 */
export function listDirectory(
  path: ByteString,
  messages: "collect" | "count" | "none",
  bytes = Number.POSITIVE_INFINITY,
): Listing | undefined {
  const directories: ByteString[] = [];
  const symlinks: ByteString[] = [];
  const files: ByteString[] = [];
  const specials: ByteString[] = [];
  let uids = new Uint32Array(messages === "collect" ? 64 : 0);
  let messageCount = 0;

  const sort = (name: ByteString, isFile: boolean, isDirectory: boolean, isSymlink: boolean): void => {
    if (isDirectory) directories.push(name);
    else if (isSymlink) symlinks.push(name);
    else if (!isFile) specials.push(name);
    else {
      const uid = messages === "none" ? undefined : uidOfFileName(name);
      if (uid === undefined) files.push(name);
      else {
        if (messages === "collect") {
          if (messageCount === uids.length) {
            const grown = new Uint32Array(uids.length * 2);
            grown.set(uids);
            uids = grown;
          }
          uids[messageCount] = uid;
        }
        messageCount++;
      }
    }
  };

  try {
    for (const entry of bytes <= SMALL_BYTES ? allEntries(path) : entriesOneByOne(path)) {
      const name = entry.name as ByteString;
      if (entry.isFile() || entry.isDirectory() || entry.isSymbolicLink()) {
        sort(name, entry.isFile(), entry.isDirectory(), entry.isSymbolicLink());
      } else {
        // Some filesystems do not tell the type in the listing.
        const found = lstatSource(joinPath(path, name));
        if (found) sort(name, found.type === "file", found.type === "directory", found.type === "symlink");
      }
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (error instanceof CyrvaultError) throw error;
    throw new CyrvaultError("IO", `cannot list ${toText(path)}: ${systemCode(error) ?? String(error)}`, {
      cause: error,
    });
  }
  return {
    directories: directories.sort(),
    symlinks: symlinks.sort(),
    files: files.sort(),
    specials: specials.sort(),
    uids: uids.subarray(0, messages === "collect" ? messageCount : 0).sort(),
    messageCount,
  };
}

/** As stat has it: some thousand names on ext4, XFS and btrfs; ZFS counts names. */
const SMALL_BYTES = 64 * 1024;
const LATIN1 = "latin1" as BufferEncoding;

function allEntries(path: ByteString): Dirent[] {
  return readdirSync(toFsPath(path) as string, { encoding: LATIN1, withFileTypes: true });
}

/** One array with a million names would take 60 MB. */
function* entriesOneByOne(path: ByteString): Generator<Dirent> {
  const directory = opendirSync(toFsPath(path) as string, { encoding: LATIN1, bufferSize: 512 });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) yield entry;
  } finally {
    directory.closeSync();
  }
}
