/**
 * Cuts a file that is no message (a database, a cyrus.index, a cyrus.cache, a sieve script) into the chunks that
 * are stored: whole up to 64 KiB, anything larger by content. A cyrus.index beyond 8 KiB and a twoskip database beyond
 * 64 KiB come in pairs, so that what changes everywhere in them every day is not all of them. Why these and these
 * sizes: docs/decisions/0008-index-cache-databases.md.
 */

import { asBuffer, type ReadAt } from "./byte-source.ts";
import type { ChunkPair } from "./chunk-pair.ts";
import { FastCdc, SMALL_FILE_CUTS } from "./fastcdc.ts";
import { PAIRED_RECORD_BYTES, pairIndexRecords } from "./index-pairs.ts";
import {
  chunkIndexRecords,
  INDEX_HEADER_BYTES_MAX,
  INDEX_RECORD_BYTES_MAX,
  type IndexRecordLayout,
} from "./index-records.ts";
import { StreamCutter } from "./stream-cutter.ts";
import { isTwoskip, pairTwoskip } from "./twoskip-pairs.ts";

export const WHOLE_FILE_BYTES_MAX = 64 * 1024;
/** A smaller cyrus.index is not worth the further objects. */
export const WHOLE_INDEX_BYTES_MAX = 8 * 1024;

const READ_BYTES = 256 * 1024;
const DEFAULT_CUTS = new FastCdc(SMALL_FILE_CUTS);

/**
 * @param name - the file's name without its directory: a cyrus.index is known by it.
 * @param read - may give fewer bytes than asked for; none ends the file there. Called in order, with no gap.
 * @returns chunks that make the bytes read together, none empty, each a buffer of its own; or pairs that do so, and
 *   then nothing else. Holds less than 2 MiB.
 */
export function* chunkSmallFile(
  name: string,
  size: number,
  read: ReadAt,
  cuts: FastCdc = DEFAULT_CUTS,
): Generator<Uint8Array | ChunkPair, void, void> {
  const first = readFull(read, 0, Math.min(size, READ_BYTES));
  if (first.length === 0) return;
  const layout = name === "cyrus.index" && size > WHOLE_INDEX_BYTES_MAX ? findLayout(first) : undefined;
  if (layout !== undefined && PAIRED_RECORD_BYTES.has(layout.recordBytes))
    yield* pairIndexRecords(layout, stretches(first, size, read), size);
  else if (size <= WHOLE_FILE_BYTES_MAX) yield first;
  else if (layout !== undefined) yield* chunkIndexRecords(layout, stretches(first, size, read));
  else if (isTwoskip(first)) yield* pairTwoskip(stretches(first, size, read));
  else yield* cutByContent(first, size, read, cuts);
}

function* cutByContent(
  first: Buffer,
  size: number,
  read: ReadAt,
  cuts: FastCdc,
): Generator<Uint8Array, void, void> {
  let ready: Buffer[] = [];
  const cutter = new StreamCutter(cuts, Math.min(WHOLE_FILE_BYTES_MAX, cuts.sizes.bytesMax), (chunk) =>
    ready.push(Buffer.from(chunk)),
  );
  for (const stretch of stretches(first, size, read)) {
    cutter.push(stretch, false);
    yield* ready;
    ready = [];
  }
  cutter.push(new Uint8Array(), true);
  yield* ready;
}

function* stretches(first: Buffer, size: number, read: ReadAt): Generator<Buffer, void, void> {
  yield first;
  let offset = first.length;
  while (offset < size) {
    const bytes = asBuffer(read(offset, Math.min(READ_BYTES, size - offset)));
    if (bytes.length === 0) return;
    yield bytes;
    offset += bytes.length;
  }
}

/** A buffer of its own, shorter than `length` only where the file ends. */
function readFull(read: ReadAt, from: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const bytes = read(from + filled, length - filled);
    if (bytes.length === 0) break;
    buffer.set(bytes, filled);
    filled += bytes.length;
  }
  return buffer.subarray(0, filled);
}

/**
 * start_offset and record_size, at offsets 12 and 16 of the header in every version (cyrus-imapd, imap/mailbox.h,
 * OFFSET_START_OFFSET, OFFSET_RECORD_SIZE). Undefined where they make no sense: such a file is cut by content.
 */
function findLayout(first: Buffer): IndexRecordLayout | undefined {
  if (first.length < 20) return undefined;
  const headerBytes = first.readUInt32BE(12);
  const recordBytes = first.readUInt32BE(16);
  if (headerBytes < 20 || headerBytes > INDEX_HEADER_BYTES_MAX) return undefined;
  if (recordBytes < 32 || recordBytes > INDEX_RECORD_BYTES_MAX) return undefined;
  return { headerBytes, recordBytes };
}
