/** What a backup says of places is held against what can be, before anything is written. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { FileEntry, MailboxDirectory, MailboxEntry, MessageEntry } from "../manifest/model.ts";

/** Where paths of the server go. */
export interface PlaceTree {
  readonly roots: readonly { readonly from: ByteString; readonly isFile: boolean }[];
  /** @throws {CyrvaultError} `REPOSITORY_DAMAGED` for a path that cannot be one of the backup's. */
  locate(serverPath: ByteString): ByteString;
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function requireSoundMailbox(mailbox: MailboxEntry, tree: PlaceTree): void {
  for (const { path } of mailbox.directories) tree.locate(path);
  for (const file of mailbox.files) tree.locate(mailboxFilePath(mailbox, file));
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function requireSoundFile({ path, stat }: FileEntry, tree: PlaceTree): void {
  tree.locate(path);
  if (isDirectory(stat)) return;
  if (tree.roots.some(({ from, isFile }) => from === path && !isFile))
    throw damaged(`${toText(path)} is a root of its data, and no directory`);
}

/** As on the server. @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function mailboxFilePath(
  mailbox: MailboxEntry,
  { directory, name }: { readonly directory: number; readonly name: ByteString },
): ByteString {
  const { path } = directoryOf(mailbox, directory);
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0"))
    throw damaged(`a file name that can't be one: ${toText(name)}`);
  return joinPath(path, name);
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function messageDirectory(mailbox: MailboxEntry, message: MessageEntry): MailboxDirectory {
  if (message.uid === 0) throw damaged(`a message of ${toText(mailbox.name)} with UID 0`);
  return directoryOf(mailbox, message.directory);
}

export function isDirectory({ mode }: { readonly mode: number }): boolean {
  return (mode & 0o170000) === 0o040000;
}

function directoryOf(mailbox: MailboxEntry, position: number): MailboxDirectory {
  const directory = mailbox.directories[position];
  if (directory === undefined)
    throw damaged(`something in ${toText(mailbox.name)} lies in no directory of it`);
  return directory;
}

function damaged(what: string): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `the backup holds what can't be: ${what}`);
}
