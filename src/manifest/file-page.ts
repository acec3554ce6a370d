/** Pages of files that belong to no mailbox. */
import { type ByteString, fromText, pathKey, toText } from "../base/byte-string.ts";
import { ByteWriter } from "../base/bytes.ts";
import { readContentForm, weighContent, writeContent } from "./content-encoding.ts";
import { FILE_FLAGS, fileClassBits, fileClassFrom } from "./entry-flags.ts";
import type { FileEntry } from "./model.ts";
import { FrontChain } from "./numbers.ts";
import { assertAscending, beginPage, openPage, PAGE_KINDS, type PageCodec } from "./page-codec.ts";
import {
  joinPage,
  readCount,
  readFromTable,
  readStringTable,
  StatReader,
  StatWriter,
  StringTableWriter,
} from "./page-tables.ts";

const MAX_FLAGS = 255;
const MAX_TARGET_BYTES = 65_536;
/** Flags, path (2), stat (5). */
const LEAST_BYTES = 8;

export const filePages: PageCodec<FileEntry, FileEntry["path"]> = {
  kind: PAGE_KINDS.files,
  what: "file page",
  keys: "string",
  cut: { min: 64, avg: 256, max: 1024 },
  key: (entry) => pathKey(entry.path),
  weigh: (entry) => 40 + entry.path.length + weighContent(entry.content),
  encode: encodeFiles,
  decode: decodeFiles,
};

function encodeFiles(entries: readonly FileEntry[]): Uint8Array {
  assertAscending(entries, filePages.key);
  const body = new ByteWriter(4096);
  const strings = new StringTableWriter();
  const stats = new StatWriter();
  const paths = new FrontChain();
  body.varint(entries.length);
  for (const entry of entries) {
    body.varint(flagsOf(entry));
    paths.write(body, entry.path);
    stats.write(body, entry.stat);
    if (entry.content !== undefined) writeContent(body, entry.content);
    if (entry.target !== undefined) body.byteString(entry.target);
    if (entry.leftOut !== undefined) body.varint(strings.position(fromText(entry.leftOut)));
  }
  const head = beginPage(PAGE_KINDS.files);
  strings.write(head);
  stats.writeOwners(head);
  return joinPage(head, body);
}

function flagsOf(entry: FileEntry): number {
  return (
    fileClassBits(entry.fileClass) |
    (entry.content === undefined ? 0 : FILE_FLAGS.content) |
    (entry.target === undefined ? 0 : FILE_FLAGS.target) |
    (entry.leftOut === undefined ? 0 : FILE_FLAGS.leftOut) |
    (entry.racy ? FILE_FLAGS.racy : 0) |
    (entry.mailboxDirectory === undefined ? 0 : FILE_FLAGS.mailboxSaid) |
    (entry.mailboxDirectory === true ? FILE_FLAGS.mailbox : 0)
  );
}

function decodeFiles(bytes: Uint8Array): FileEntry[] {
  const reader = openPage(bytes, PAGE_KINDS.files, filePages.what);
  const strings = readStringTable(reader);
  const stats = new StatReader(reader);
  const paths = new FrontChain();
  const count = readCount(reader, LEAST_BYTES);
  if (count === 0) throw reader.damaged("it has no entries");
  const entries = new Array<FileEntry>(count);
  let previousKey: ByteString | undefined;
  for (let i = 0; i < count; i++) {
    const flags = reader.varint(MAX_FLAGS);
    const path = paths.read(reader);
    const key = pathKey(path);
    if (previousKey !== undefined && key <= previousKey) throw reader.damaged("its keys do not ascend");
    previousKey = key;
    const stat = stats.read();
    const content = flags & FILE_FLAGS.content ? readContentForm(reader) : undefined;
    const target = flags & FILE_FLAGS.target ? reader.byteString(MAX_TARGET_BYTES) : undefined;
    const leftOut = flags & FILE_FLAGS.leftOut ? toText(readFromTable(reader, strings)) : undefined;
    entries[i] = {
      path,
      stat,
      fileClass: fileClassFrom(flags),
      ...(content === undefined ? undefined : { content }),
      ...(target === undefined ? undefined : { target }),
      ...(leftOut === undefined ? undefined : { leftOut }),
      ...(flags & FILE_FLAGS.mailboxSaid
        ? { mailboxDirectory: (flags & FILE_FLAGS.mailbox) !== 0 }
        : undefined),
      racy: (flags & FILE_FLAGS.racy) !== 0,
    };
  }
  reader.end();
  return entries;
}
