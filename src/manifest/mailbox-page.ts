/** Pages of mailboxes. An unchanged run reads all of them: they are laid out to be decoded fast. */
import { type ByteString, fromText, toText } from "../base/byte-string.ts";
import { type ByteReader, ByteWriter } from "../base/bytes.ts";
import { readContentForm, readTree, weighContent, writeContent, writeTree } from "./content-encoding.ts";
import { FILE_FLAGS, fileClassBits, fileClassFrom, readRole, roleByte } from "./entry-flags.ts";
import type { MailboxDirectory, MailboxEntry, MailboxFile } from "./model.ts";
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

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const FLAGS = { uniqueid: 1, quotaRoot: 2, listed: 4, racy: 8 } as const;
const MAX_FLAGS = 15;
const MAX_FILE_FLAGS = 63;
const MAX_UNIQUEID_BYTES = 4096;
const MAX_TARGET_BYTES = 65_536;
const U32 = 0xffff_ffff;
const HALF = 32n;
const LEAST_ENTRY_BYTES = 19;
const LEAST_DIRECTORY_BYTES = 8;
const LEAST_FILE_BYTES = 8;

export const mailboxPages: PageCodec<MailboxEntry, MailboxEntry["name"]> = {
  kind: PAGE_KINDS.mailboxes,
  what: "mailbox page",
  keys: "string",
  cut: { min: 16, avg: 64, max: 256 },
  key: (entry) => entry.name,
  weigh: (entry) => {
    let weight = 150 + entry.name.length + entry.acl.length + entry.directories.length * 60;
    for (const file of entry.files) weight += 20 + file.name.length + weighContent(file.content);
    return weight;
  },
  encode: encodeMailboxes,
  decode: decodeMailboxes,
};

function encodeMailboxes(entries: readonly MailboxEntry[]): Uint8Array {
  assertAscending(entries, mailboxPages.key);
  const body = new ByteWriter(16_384);
  const strings = new StringTableWriter();
  const stats = new StatWriter();
  const names = new FrontChain();
  const paths = new FrontChain();
  body.varint(entries.length);
  for (const entry of entries) {
    body.varint(
      (entry.uniqueid === undefined ? 0 : FLAGS.uniqueid) |
        (entry.quotaRoot === undefined ? 0 : FLAGS.quotaRoot) |
        (entry.listed ? FLAGS.listed : 0) |
        (entry.racy ? FLAGS.racy : 0),
    );
    names.write(body, entry.name);
    if (entry.uniqueid !== undefined) body.byteString(entry.uniqueid);
    body.varint(strings.position(entry.partition));
    body.varint(strings.position(entry.mailboxType));
    body.varint(strings.position(entry.acl));
    if (entry.quotaRoot !== undefined) body.varint(strings.position(entry.quotaRoot));
    body.varint(entry.uidvalidity).varint(entry.lastUid);
    body.varint(Number(entry.highestModseq >> HALF)).varint(Number(entry.highestModseq & BigInt(U32)));
    body.varint(entry.generation).varint(entry.indexVersion).varint(entry.messages).varint(entry.bytes);
    body.varint(entry.directories.length);
    for (const directory of entry.directories) {
      body.u8(roleByte(directory.role));
      paths.write(body, directory.path);
      stats.write(body, directory.stat);
    }
    body.varint(entry.files.length);
    for (const file of entry.files) writeFile(body, file, strings, stats);
    writeTree(body, entry.messagePages);
    body.varint(entry.openFindings).varint(entry.rules);
  }
  const head = beginPage(PAGE_KINDS.mailboxes);
  strings.write(head);
  stats.writeOwners(head);
  return joinPage(head, body);
}

function writeFile(body: ByteWriter, file: MailboxFile, strings: StringTableWriter, stats: StatWriter): void {
  body.varint(
    fileClassBits(file.fileClass) |
      (file.content === undefined ? 0 : FILE_FLAGS.content) |
      (file.target === undefined ? 0 : FILE_FLAGS.target) |
      (file.leftOut === undefined ? 0 : FILE_FLAGS.leftOut) |
      (file.racy ? FILE_FLAGS.racy : 0),
  );
  body.varint(file.directory).varint(strings.position(file.name));
  stats.write(body, file.stat);
  if (file.content !== undefined) writeContent(body, file.content);
  if (file.target !== undefined) body.byteString(file.target);
  if (file.leftOut !== undefined) body.varint(strings.position(fromText(file.leftOut)));
}

function decodeMailboxes(bytes: Uint8Array): MailboxEntry[] {
  const reader = openPage(bytes, PAGE_KINDS.mailboxes, mailboxPages.what);
  const strings = readStringTable(reader);
  const stats = new StatReader(reader);
  const names = new FrontChain();
  const paths = new FrontChain();
  const count = readCount(reader, LEAST_ENTRY_BYTES);
  if (count === 0) throw reader.damaged("it has no entries");
  const entries = new Array<MailboxEntry>(count);
  let previous: MailboxEntry | undefined;
  for (let i = 0; i < count; i++) {
    const entry = readMailbox(reader, strings, stats, names, paths);
    if (previous !== undefined && entry.name <= previous.name) throw reader.damaged("its keys do not ascend");
    entries[i] = entry;
    previous = entry;
  }
  reader.end();
  return entries;
}

function readMailbox(
  reader: ByteReader,
  strings: readonly ByteString[],
  stats: StatReader,
  names: FrontChain,
  paths: FrontChain,
): MailboxEntry {
  const flags = reader.varint(MAX_FLAGS);
  // Fields stand here in the order of the bytes: JavaScript evaluates them so.
  return {
    name: names.read(reader),
    uniqueid: flags & FLAGS.uniqueid ? reader.byteString(MAX_UNIQUEID_BYTES) : undefined,
    partition: readFromTable(reader, strings),
    mailboxType: readFromTable(reader, strings),
    acl: readFromTable(reader, strings),
    quotaRoot: flags & FLAGS.quotaRoot ? readFromTable(reader, strings) : undefined,
    listed: (flags & FLAGS.listed) !== 0,
    uidvalidity: reader.varint(),
    lastUid: reader.varint(),
    highestModseq: readModseq(reader),
    generation: reader.varint(),
    indexVersion: reader.varint(),
    messages: reader.varint(),
    bytes: reader.varint(),
    directories: readDirectories(reader, stats, paths),
    files: readFiles(reader, strings, stats),
    messagePages: readTree(reader),
    openFindings: reader.varint(),
    racy: (flags & FLAGS.racy) !== 0,
    rules: reader.varint(),
  };
}

function readModseq(reader: ByteReader): bigint {
  const high = reader.varint(U32);
  const low = BigInt(reader.varint(U32));
  return high === 0 ? low : (BigInt(high) << HALF) | low;
}

function readDirectories(reader: ByteReader, stats: StatReader, paths: FrontChain): MailboxDirectory[] {
  const directories = new Array<MailboxDirectory>(readCount(reader, LEAST_DIRECTORY_BYTES));
  for (let i = 0; i < directories.length; i++)
    directories[i] = { role: readRole(reader), path: paths.read(reader), stat: stats.read() };
  return directories;
}

function readFiles(reader: ByteReader, strings: readonly ByteString[], stats: StatReader): MailboxFile[] {
  const files = new Array<MailboxFile>(readCount(reader, LEAST_FILE_BYTES));
  for (let i = 0; i < files.length; i++) {
    const flags = reader.varint(MAX_FILE_FLAGS);
    const directory = reader.varint();
    const name = readFromTable(reader, strings);
    const stat = stats.read();
    const racy = (flags & FILE_FLAGS.racy) !== 0;
    const file: Mutable<MailboxFile> = { directory, name, stat, fileClass: fileClassFrom(flags), racy };
    if (flags & FILE_FLAGS.content) file.content = readContentForm(reader);
    if (flags & FILE_FLAGS.target) file.target = reader.byteString(MAX_TARGET_BYTES);
    if (flags & FILE_FLAGS.leftOut) file.leftOut = toText(readFromTable(reader, strings));
    files[i] = file;
  }
  return files;
}
