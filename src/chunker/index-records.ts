/**
 * Cuts a `cyrus.index` between records, so that a change of one record (a flag, a modseq) or a record more
 * changes one chunk.
 *
 * The header is the first chunk. A chunk of records ends before a record of which hash(uid) says so, once it has
 * `min` records, and at `max` anyway: `avg` on average. The UID is the record's first 4 bytes, big-endian, in every
 * version (cyrus-imapd, imap/mailbox.h, OFFSET_UID). What does not fill a record at the end is a chunk of its own.
 */
import { assert } from "../base/errors.ts";
import { asBuffer } from "./byte-source.ts";

export interface IndexRecordLayout {
  /** Where the first record begins: the header's start_offset. */
  readonly headerBytes: number;
  /** The header's record_size. */
  readonly recordBytes: number;
}

/** Anything beyond is not a cyrus.index (real ones: 76–192 and 60–144). */
export const INDEX_HEADER_BYTES_MAX = 4096;
export const INDEX_RECORD_BYTES_MAX = 1024;

/** Records of a chunk. */
export interface RecordCounts {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

const RECORDS: RecordCounts = { min: 64, avg: 256, max: 1024 };

/**
 * @param source - the file in order, in stretches of any size; each must hold until the next is asked for.
 * @returns chunks that make the source together, none empty, each a buffer of its own. Holds one chunk.
 */
export function* chunkIndexRecords(
  { headerBytes, recordBytes }: IndexRecordLayout,
  source: Iterable<Uint8Array>,
  { min, avg, max }: RecordCounts = RECORDS,
): Generator<Buffer, void, void> {
  assert(
    headerBytes > 0 &&
      headerBytes <= INDEX_HEADER_BYTES_MAX &&
      recordBytes >= 4 &&
      recordBytes <= INDEX_RECORD_BYTES_MAX,
    "no layout of a cyrus.index",
  );
  const held = Buffer.allocUnsafe(Math.max(headerBytes, recordBytes * max));
  /** One UID in avg − min may begin a chunk. */
  const cutBelow = Math.floor(2 ** 32 / (avg - min));
  let heldBytes = 0;
  /** Bytes of the header still to come. */
  let headerMissing = headerBytes;
  const take = (): Buffer => {
    const chunk = Buffer.from(held.subarray(0, heldBytes));
    heldBytes = 0;
    return chunk;
  };
  for (const stretch of source) {
    const bytes = asBuffer(stretch);
    let from = 0;
    while (from < bytes.length) {
      const missing = headerMissing > 0 ? headerMissing : recordBytes - (heldBytes % recordBytes);
      const count = Math.min(missing, bytes.length - from);
      heldBytes += bytes.copy(held, heldBytes, from, from + count);
      from += count;
      if (headerMissing > 0) {
        headerMissing -= count;
        if (headerMissing === 0) yield take();
        continue;
      }
      if (count < missing) break;
      const record = heldBytes - recordBytes;
      if (record >= min * recordBytes && mixed(held.readUInt32BE(record)) < cutBelow) {
        const last = Buffer.from(held.subarray(record, heldBytes));
        heldBytes = record;
        yield take();
        heldBytes = last.copy(held);
      }
      if (heldBytes === max * recordBytes) yield take();
    }
  }
  const trailing = headerMissing > 0 ? 0 : heldBytes % recordBytes;
  const whole = heldBytes - trailing;
  if (whole > 0) yield Buffer.from(held.subarray(0, whole));
  if (trailing > 0) yield Buffer.from(held.subarray(whole, heldBytes));
}

/** murmur3's finaliser: UIDs are consecutive, their hashes are not. */
function mixed(uid: number): number {
  let hash = uid;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
