/**
 * Records of annotations.db and cyrus.annotations. From cyrus-imapd, imap/annotate.c: make_key, split_attribs, make_entry
 * (3.6.1; 2.4.17 for the shorter form); observed on 3.6.1, 64-bit.
 */
import { type ByteString, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";

export interface AnnotationKey {
  /**
   * In annotations.db the mailbox: its uniqueid since 3.6, its internal name before, empty for the server.
   * In cyrus.annotations the message's UID in decimal.
   */
  readonly subject: ByteString;
  /** `/specialuse`, `/vendor/cmu/cyrus-imapd/expire`, …. */
  readonly entry: ByteString;
  /** Empty: shared. `[.OwNeR.]`: the mailbox's owner (3.6 and newer). */
  readonly user: ByteString;
}

export interface AnnotationValue {
  readonly value: Buffer;
  /** 0 in the form of 2.4, which has none. */
  readonly modseq: bigint;
  /** A tombstone, kept for replication. */
  readonly deleted: boolean;
}

/** `subject NUL entry NUL user NUL`; the last NUL, or user and all, may be missing. @throws {CyrvaultError} */
export function parseAnnotationKey(key: Uint8Array): AnnotationKey {
  const [subject, entry, user = "", ...rest] = fromBytes(key).split("\0") as ByteString[];
  if (subject === undefined || entry === undefined || entry === "" || rest.some((part) => part !== ""))
    throw new CyrvaultError("CYRUS_BAD_FORMAT", "annotation: the key is not `subject, entry, user`");
  return { subject, entry, user: user as ByteString };
}

/**
 * `length (unsigned long, its 32 bits big-endian first) · value NUL · content type NUL · date (unsigned long) ·
 * modseq u64 · flags u8`. An unsigned long is 8 bytes on a 64-bit server and 4 on others: the file does not say.
 * The value is a view. @throws {CyrvaultError}
 */
export function parseAnnotationValue(bytes: Uint8Array): AnnotationValue {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = data.length >= 9 && data.readUInt32BE(4) === 0 ? tryWidth(data, 8) : undefined;
  const parsed = wide ?? tryWidth(data, 4);
  if (parsed === undefined)
    throw new CyrvaultError("CYRUS_BAD_FORMAT", "annotation: the value does not fit its length", {
      context: { length: data.length },
    });
  return parsed;
}

function tryWidth(data: Buffer, width: 4 | 8): AnnotationValue | undefined {
  if (data.length < width + 1) return undefined;
  const valueEnd = width + data.readUInt32BE(0);
  if (data[valueEnd] !== 0) return undefined;
  const value = data.subarray(width, valueEnd);
  const typeEnd = data.indexOf(0, valueEnd + 1);
  const modseqAt = typeEnd < 0 ? data.length : typeEnd + 1 + width;
  if (modseqAt + 8 > data.length) return { value, modseq: 0n, deleted: false };
  const modseq = data.readBigUInt64BE(modseqAt);
  return { value, modseq, deleted: ((data[modseqAt + 8] ?? 0) & 1) !== 0 };
}
