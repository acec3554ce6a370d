/** The records of a stored cyrus.index, a stretch at a time: a mailbox of a million messages takes no more memory than one of ten. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { toHex } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { systemFlagNames, userFlagNames } from "../cyrus/flags.ts";
import { MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import { forEachRecord, type IndexHeader, parseIndexHeader } from "../cyrus/index-reader.ts";
import { parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import { contentSize, readContent } from "../manifest/content.ts";
import type { MailboxEntry, MailboxFile } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";

/** What the index says of a message. */
export interface MessageRecord {
  readonly uid: number;
  readonly size: number;
  /** Hex; undefined where the record has none. */
  readonly guid: string | undefined;
  readonly internalDateMs: number;
  /** System flags first, then the user's. */
  readonly flags: readonly string[];
  readonly expunged: boolean;
}

/** More than a real one has: read whole. */
const HEADER_FILE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Ascending by UID. Records with a wrong CRC, or out of order, are left out: nothing in them can be relied on.
 * An index that cannot be understood has no records.
 */
export async function* messageRecords(
  entry: MailboxEntry,
  source: PageSource,
): AsyncGenerator<MessageRecord> {
  const content = fileOf(entry, "cyrus.index")?.content;
  if (content === undefined) return;
  const flagNames = await readFlagNames(entry, source);
  let header: IndexHeader | undefined;
  let rest: Buffer = Buffer.alloc(0);
  let done = 0;
  let lastUid = -1;
  for await (const bytes of wholeAtLeast(readContent(content, source), MAX_HEADER_BYTES)) {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    if (header === undefined) {
      header = understood(rest);
      if (header === undefined) return;
      rest = rest.subarray(header.headerBytes);
    }
    const whole = rest.length - (rest.length % header.recordBytes);
    const batch: MessageRecord[] = [];
    done += forEachRecord(rest.subarray(0, whole), header, done, (view) => {
      if (!view.crcOk || view.uid <= lastUid) return;
      lastUid = view.uid;
      const record = view.toRecord();
      const { names } = userFlagNames(record.userFlags, flagNames);
      batch.push({
        uid: record.uid,
        size: record.size,
        guid: view.hasGuid ? toHex(view.guid as Uint8Array) : undefined,
        internalDateMs: Number(record.internalDateNs / 1_000_000n),
        flags: [...systemFlagNames(record.flagWord), ...names.map(toText)],
        expunged: view.isExpunged,
      });
    });
    rest = rest.subarray(whole);
    yield* batch;
    if (done >= header.recordCount) return;
  }
}

export function fileOf(entry: MailboxEntry, name: string): MailboxFile | undefined {
  return entry.files.find((file) => file.name === name);
}

function understood(start: Buffer): IndexHeader | undefined {
  try {
    return parseIndexHeader(start, { acceptBadCrc: true });
  } catch (error) {
    if (isCyrvaultError(error, "CYRUS_BAD_FORMAT")) return undefined;
    throw error;
  }
}

async function readFlagNames(
  entry: MailboxEntry,
  source: PageSource,
): Promise<readonly (ByteString | undefined)[]> {
  const content = fileOf(entry, "cyrus.header")?.content;
  if (content === undefined || contentSize(content) > HEADER_FILE_BYTES_MAX) return [];
  const stretches: Uint8Array[] = [];
  for await (const bytes of readContent(content, source)) stretches.push(bytes);
  try {
    return parseMailboxHeader(Buffer.concat(stretches)).flagNames;
  } catch (error) {
    if (isCyrvaultError(error, "CYRUS_BAD_FORMAT")) return [];
    throw error;
  }
}

/** The same bytes, the first stretch with at least so many unless there are fewer in all. */
async function* wholeAtLeast(stretches: AsyncIterable<Uint8Array>, bytesMin: number): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  let begun = false;
  for await (const stretch of stretches) {
    const bytes = Buffer.from(stretch.buffer, stretch.byteOffset, stretch.byteLength);
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    if (!begun && held.length < bytesMin) continue;
    begun = true;
    yield held;
    held = Buffer.alloc(0);
  }
  if (held.length > 0) yield held;
}
