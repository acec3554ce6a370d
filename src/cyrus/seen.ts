/**
 * Records of a user's seen database: what he has read in one mailbox. Before 2.4 of all mailboxes, since then only of
 * those he does not own. Key: the mailbox's uniqueid. From cyrus-imapd 3.6.1, imap/seen_db.c (parse_data, seen_write);
 * observed on 3.6.1.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";

export interface SeenRecord {
  /** Seconds since the epoch. */
  readonly lastRead: number;
  readonly lastUid: number;
  /** Seconds since the epoch. */
  readonly lastChange: number;
  /** A sequence set: `1:4,7`. May be empty. */
  readonly seenUids: ByteString;
}

/** `1 lastread lastuid lastchange uids`. @throws {CyrvaultError} `CYRUS_BAD_FORMAT` */
export function parseSeenRecord(value: Uint8Array): SeenRecord {
  const match = /^1 (\d{1,15}) (\d{1,10}) (\d{1,15})(?: ([\d:,*]*))?$/.exec(fromBytes(value));
  if (match === null) throw new CyrvaultError("CYRUS_BAD_FORMAT", "seen: not a record of version 1");
  const [, lastRead, lastUid, lastChange, seenUids = ""] = match;
  return {
    lastRead: Number(lastRead),
    lastUid: Number(lastUid),
    lastChange: Number(lastChange),
    seenUids: seenUids as ByteString,
  };
}
