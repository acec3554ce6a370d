/** Writes the small records that the readers in `cyrus/` read: annotations, seen state, subscriptions, counters. */
import { crc32 } from "node:zlib";
import { type ByteString, compareBytes, fromText, toBytes } from "../base/byte-string.ts";
import type { AnnotationKey } from "../cyrus/annotations.ts";
import type { DatabaseRecord } from "../cyrus/database-record.ts";
import { dbnameOf } from "../cyrus/mailbox-name.ts";
import type { SeenRecord } from "../cyrus/seen.ts";

export interface SampleAnnotation extends AnnotationKey {
  readonly value: string;
}

/** As a 64-bit 3.6 writes them. In any order. */
export function annotationRecords(annotations: readonly SampleAnnotation[]): DatabaseRecord[] {
  return sorted(
    annotations.map(({ subject, entry, user, value }) => ({
      key: Buffer.from(`${subject}\0${entry}\0${user}\0`, "latin1"),
      value: annotationValue(Buffer.from(value, "latin1")),
    })),
  );
}

/** Length and date are 8 bytes each, the length's low half first in big-endian: annotations.ts. */
function annotationValue(value: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeUInt32BE(value.length, 0);
  return Buffer.concat([length, value, Buffer.from("\0text/plain\0"), Buffer.alloc(8 + 8 + 1)]);
}

export function seenRecord(mailboxId: ByteString, seen: SeenRecord): DatabaseRecord {
  const value = `1 ${seen.lastRead} ${seen.lastUid} ${seen.lastChange} ${seen.seenUids}`;
  return { key: toBytes(mailboxId), value: Buffer.from(value, "latin1") };
}

/** As 3.6 writes them. @param inbox - internal name of the user's INBOX. */
export function subscriptionRecords(names: readonly ByteString[], inbox: ByteString): DatabaseRecord[] {
  const own = dbnameOf(inbox);
  const keys = names.map((name) => {
    const dbname = dbnameOf(name);
    const isOwn = dbname === own || dbname.startsWith(`${own}\x1f`);
    return `N${isOwn ? `INBOX${dbname.slice(own.length)}` : dbname}`;
  });
  return sorted([
    { key: Buffer.from("\x1fVER\x1f"), value: Buffer.from("2") },
    ...keys.map((key) => ({ key: Buffer.from(key, "latin1"), value: Buffer.alloc(0) })),
  ]);
}

const COUNTERS_VERSION = 9;
const COUNTERS_BYTES = 296;

/** Version 9: generation, version, highest modseq, that of mail and of folders, then those of what is not mail. */
export function encodeCounters(highestModseq: number, folderModseq: number, uidValidity: number): Buffer {
  const out = Buffer.alloc(COUNTERS_BYTES);
  out.writeUInt32BE(highestModseq % 2 ** 32, 0);
  out.writeUInt32BE(COUNTERS_VERSION, 4);
  out.writeBigUInt64BE(BigInt(highestModseq), 8);
  out.writeBigUInt64BE(BigInt(highestModseq), 16);
  out.writeBigUInt64BE(BigInt(folderModseq), 48);
  out.writeUInt32BE(uidValidity, COUNTERS_BYTES - 8);
  out.writeUInt32BE(crc32(out.subarray(0, COUNTERS_BYTES - 4)), COUNTERS_BYTES - 4);
  return out;
}

/** `1:4,7` */
export function uidSequence(uids: readonly number[]): ByteString {
  const ranges: string[] = [];
  for (let at = 0; at < uids.length; ) {
    const start = at;
    while (uids[at + 1] === (uids[at] as number) + 1) at++;
    ranges.push(at === start ? `${uids[start]}` : `${uids[start]}:${uids[at]}`);
    at++;
  }
  return fromText(ranges.join(","));
}

function sorted(records: DatabaseRecord[]): DatabaseRecord[] {
  return records.sort((a, b) =>
    compareBytes(a.key.toString("latin1") as ByteString, b.key.toString("latin1") as ByteString),
  );
}
