/** Reads a sample server back with the readers of `src/cyrus`, knowing only its directory and its mailboxes. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { ByteString } from "../../../src/base/byte-string.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../../../src/cyrus/annotations.ts";
import { INTERNAL_EXPUNGED, INTERNAL_UNLINKED } from "../../../src/cyrus/flags.ts";
import { forEachRecord, type IndexRecord, parseIndex } from "../../../src/cyrus/index-reader.ts";
import { type MailboxHeader, parseMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { type MessageAnnotation, SyncCrc } from "../../../src/cyrus/sync-crc.ts";
import { readTwoskip } from "../../../src/cyrus/twoskip.ts";
import type { SampleMailbox } from "../../../src/sample/mailbox.ts";
import type { SampleServer } from "../../../src/sample/sample-server.ts";

export interface MailboxReading {
  readonly header: MailboxHeader;
  readonly records: readonly IndexRecord[];
  readonly live: readonly IndexRecord[];
  /** What does not fit; empty for a sound mailbox. */
  readonly problems: readonly string[];
}

/** Every check that Cyrus's formats allow on one mailbox. */
export function readMailbox(server: SampleServer, mailbox: SampleMailbox): MailboxReading {
  const { meta, messages, archive } = server.layout.mailboxDirectories(mailbox);
  const problems: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown) => {
    if (found !== wanted) problems.push(`${mailbox.name}: ${what} is ${found}, not ${wanted}`);
  };
  const headerFile = readFileSync(join(meta, "cyrus.header"));
  const header = parseMailboxHeader(headerFile);
  const indexFile = readFileSync(join(meta, "cyrus.index"));
  const { header: index, records, badRecords, extent } = parseIndex(indexFile);
  const annotations = readAnnotations(meta);
  const caches = new Map<string, Buffer>();
  const cacheOf = (parent: string) => {
    const cache = caches.get(parent) ?? readFileSync(join(parent, "cyrus.cache"));
    caches.set(parent, cache);
    return cache;
  };
  const sums = new SyncCrc(index, header.flagNames);
  forEachRecord(indexFile.subarray(index.headerBytes), index, 0, (record) =>
    sums.add(record, annotations.get(record.uid)),
  );
  const live = records.filter(({ flagWord }) => (flagWord & INTERNAL_EXPUNGED) === 0);
  expect("unique id", header.uniqueId, mailbox.uniqueId);
  expect("damaged records", badRecords.length, 0);
  expect("records beyond", extent.recordsBeyond + extent.recordsMissing + extent.oddBytes, 0);
  expect("header file CRC", index.headerFileCrc, crc32(headerFile));
  expect("sync CRC", index.syncCrcBasic, sums.basic);
  expect("annotation sync CRC", index.syncCrcAnnot, sums.annot);
  expect("exists", index.exists, live.length);
  expect("unseen", index.unseenCount, live.filter(({ flagWord }) => (flagWord & 0x10) === 0).length);
  expect("bytes used", index.quotaMailboxUsed, BigInt(live.reduce((sum, { size }) => sum + size, 0)));
  for (const record of records) {
    if (record.modseq > index.highestModseq) problems.push(`${mailbox.name}: ${record.uid} is of the future`);
    const directory = (record.flagWord & (1 << 29)) !== 0 ? archive : messages;
    const path = join(directory ?? "no archive", `${record.uid}.`);
    if ((record.flagWord & INTERNAL_UNLINKED) !== 0) {
      expect(`file of unlinked ${record.uid}`, lstatSync(path, { throwIfNoEntry: false }), undefined);
      continue;
    }
    const bytes = readFileSync(path);
    expect(`GUID of ${record.uid}`, sha1(bytes), Buffer.from(record.guid ?? []).toString("hex"));
    expect(`size of ${record.uid}`, bytes.length, record.size);
    expect(`header of ${record.uid}`, bytes.indexOf("\r\n\r\n") + 4, record.headerSize);
    expect(`mtime of ${record.uid}`, lstatSync(path, { bigint: true }).mtimeNs, record.internalDateNs);
    expect(`bare LF in ${record.uid}`, /(?<!\r)\n/.test(bytes.toString("latin1")), false);
    const cache = cacheOf((record.flagWord & (1 << 29)) !== 0 ? (archive ?? "no archive") : meta);
    expect(`generation of the cache of ${record.uid}`, cache.readUInt32BE(0), index.generation);
    expect(`cache CRC of ${record.uid}`, crc32(cacheRecord(cache, record.cacheOffset)), record.cacheCrc);
  }
  return { header, records, live, problems };
}

/** Of all messages, expunged ones too; nothing is checked. For servers without an archive. */
export function messagePaths(server: SampleServer): string[] {
  return server.state.mailboxes.flatMap((mailbox) => {
    const { messages } = server.layout.mailboxDirectories(mailbox);
    return readdirSync(messages)
      .filter((name) => /^\d+\.$/.test(name))
      .map((name) => join(messages, name));
  });
}

/** Paths and content of all regular files and symlinks below a directory. */
export function readTree(directory: string): Map<string, string> {
  const tree = new Map<string, string>();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) tree.set(path.slice(directory.length), sha1(readFileSync(path)));
    else if (entry.isSymbolicLink()) tree.set(path.slice(directory.length), "symlink");
  }
  return tree;
}

function cacheRecord(cache: Buffer, offset: number): Buffer {
  let end = offset;
  for (let item = 0; item < 10; item++) end += 4 + Math.ceil(cache.readUInt32BE(end) / 4) * 4;
  return cache.subarray(offset, end);
}

function readAnnotations(meta: string): Map<number, MessageAnnotation[]> {
  const byUid = new Map<number, MessageAnnotation[]>();
  const path = join(meta, "cyrus.annotations");
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return byUid;
  for (const { key, value } of readTwoskip(readFileSync(path)).records) {
    const { subject, entry, user } = parseAnnotationKey(key);
    const uid = Number(subject);
    const known = byUid.get(uid) ?? [];
    byUid.set(uid, [
      ...known,
      { entry, userId: user as ByteString, value: parseAnnotationValue(value).value },
    ]);
  }
  return byUid;
}

function sha1(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex");
}
