/** One message of a backup, byte for byte. */
import { toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { MailboxEntry, MessageEntry } from "../manifest/model.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import type { ObjectSource } from "./backups.ts";

/** @throws {CyrvaultError} `USAGE`: not a UID. */
export function parseUid(text: string): number {
  const uid = Number(text);
  if (/^[0-9]{1,10}$/.test(text) && uid >= 1 && uid <= 0xffff_ffff) return uid;
  throw new CyrvaultError("USAGE", `not a UID: ${text}`, {
    hint: "a whole number from 1, as `cyrvault ls` shows them",
  });
}

/** @throws {CyrvaultError} `MESSAGE_NOT_FOUND`. */
export async function findMessage(
  mailbox: MailboxEntry,
  uid: number,
  objects: ObjectSource,
): Promise<MessageEntry> {
  const entry = await findInPageTree(mailbox.messagePages, uid, objects, messagePages);
  if (entry !== undefined) return entry;
  throw new CyrvaultError(
    "MESSAGE_NOT_FOUND",
    `${toText(mailbox.name)} has no message with UID ${uid} in this backup`,
    {
      context: { uid },
    },
  );
}

/**
 * Where the file, as it was read, did not match its GUID and an earlier copy did: the earlier copy, as a restore
 * gives it.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`: perhaps after some stretches.
 */
export function messageBytes(entry: MessageEntry, objects: ObjectSource): AsyncIterable<Uint8Array> {
  return objects.stream("message", entry.good ?? entry.object);
}
