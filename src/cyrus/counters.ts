/**
 * A user's counters: the highest modseqs given out. From cyrus-imapd, imap/mboxname.c (mboxname_buf_to_counters);
 * observed on 3.6.1 (version 9) and in files of 3.10.
 */
import { crc32 } from "node:zlib";
import { CyrvaultError } from "../base/errors.ts";

export interface Counters {
  readonly generation: number;
  readonly version: number;
  readonly highestModseq: bigint;
  readonly uidvalidity: number;
}

/** Version → length. The last 8 bytes are uidvalidity and the CRC-32 of all before it. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [0, 48],
  [1, 56],
  [2, 64],
  [3, 88],
  [4, 104],
  [5, 120],
  [6, 200],
  [7, 232],
  [8, 264],
  [9, 296],
]);

/** @throws {CyrvaultError} `CYRUS_BAD_FORMAT`, `CYRUS_BAD_CHECKSUM` */
export function parseCounters(bytes: Uint8Array): Counters {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = data.length < 16 ? undefined : data.readUInt32BE(4);
  const length = version === undefined ? undefined : LENGTHS.get(version);
  if (version === undefined || length === undefined || data.length < length)
    throw new CyrvaultError("CYRUS_BAD_FORMAT", "counters: cut short, or of no known version", {
      context: { length: data.length, version },
    });
  if (crc32(data.subarray(0, length - 4)) !== data.readUInt32BE(length - 4))
    throw new CyrvaultError("CYRUS_BAD_CHECKSUM", "counters: the CRC is wrong");
  return {
    generation: data.readUInt32BE(0),
    version,
    highestModseq: data.readBigUInt64BE(8),
    uidvalidity: data.readUInt32BE(length - 8),
  };
}
