/** Pages of messages, in columns: 36 to 40 bytes a message before compression, 32 of them its object id. */
import { type ByteReader, ByteWriter } from "../base/bytes.ts";
import { assert } from "../base/errors.ts";
import { OBJECT_ID_BYTES, type ObjectId } from "../store/object.ts";
import { readId } from "./content-encoding.ts";
import type { MessageEntry } from "./model.ts";
import { readNear, TimeChain, writeNear } from "./numbers.ts";
import { assertAscending, beginPage, openPage, PAGE_KINDS, type PageCodec } from "./page-codec.ts";
import { readCount, readFromTable } from "./page-tables.ts";

const U32 = 0xffff_ffff;
/** UID 1, id 32, time 1, inode 1. */
const LEAST_BYTES = OBJECT_ID_BYTES + 3;

interface Owner {
  readonly directory: number;
  readonly mode: number;
  readonly uidOwner: number;
  readonly gidOwner: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const messagePages: PageCodec<MessageEntry, number> = {
  kind: PAGE_KINDS.messages,
  what: "message page",
  keys: "uid",
  cut: { min: 256, avg: 1024, max: 4096 },
  key: (entry) => entry.uid,
  weigh: () => 42,
  encode: encodeMessages,
  decode: decodeMessages,
};

function encodeMessages(entries: readonly MessageEntry[]): Uint8Array {
  assertAscending(entries, messagePages.key);
  const writer = beginPage(PAGE_KINDS.messages, new ByteWriter(64 + entries.length * 44));
  writer.varint(entries.length);
  let previousUid = -1;
  for (const { uid } of entries) {
    assert(uid >= 0 && uid <= U32, `a UID has 32 bits: ${uid}`);
    writer.varint(uid - previousUid - 1);
    previousUid = uid;
  }
  for (const { object } of entries) writer.raw(object);
  writeOwners(writer, entries);
  const times = new TimeChain();
  for (const { mtimeNs } of entries) times.write(writer, mtimeNs);
  let previousInode = 0;
  for (const { inode } of entries) {
    writeNear(writer, inode, previousInode);
    previousInode = inode;
  }
  writeSparse(
    writer,
    entries,
    (e) => e.linked || undefined,
    () => {},
  );
  writeSparse(
    writer,
    entries,
    (e) => e.good,
    (id) => writer.raw(id),
  );
  writeSparse(
    writer,
    entries,
    (e) => e.size,
    (size) => writer.varint(size),
  );
  return writer.toBytes();
}

function decodeMessages(bytes: Uint8Array): MessageEntry[] {
  const reader = openPage(bytes, PAGE_KINDS.messages, messagePages.what);
  const count = readCount(reader, LEAST_BYTES);
  if (count === 0) throw reader.damaged("it has no entries");
  const uids = new Array<number>(count);
  let previousUid = -1;
  for (let i = 0; i < count; i++) {
    previousUid += reader.varint(U32 - previousUid - 1) + 1;
    uids[i] = previousUid;
  }
  const ids = new Array<ObjectId>(count);
  for (let i = 0; i < count; i++) ids[i] = readId(reader);
  const owners = readOwners(reader, count);
  const entries = new Array<Mutable<MessageEntry>>(count);
  const times = new TimeChain();
  for (let i = 0; i < count; i++) {
    const owner = owners[i] as Owner;
    entries[i] = {
      uid: uids[i] as number,
      object: ids[i] as ObjectId,
      directory: owner.directory,
      mode: owner.mode,
      uidOwner: owner.uidOwner,
      gidOwner: owner.gidOwner,
      mtimeNs: times.read(reader),
      inode: 0,
      linked: false,
    };
  }
  let inode = 0;
  for (const entry of entries) {
    inode = readNear(reader, inode);
    entry.inode = inode;
  }
  readSparse(reader, entries, (entry) => {
    entry.linked = true;
  });
  readSparse(reader, entries, (entry) => {
    entry.good = readId(reader);
  });
  readSparse(reader, entries, (entry) => {
    entry.size = reader.varint();
  });
  reader.end();
  return entries;
}

function writeOwners(writer: ByteWriter, entries: readonly MessageEntry[]): void {
  const positions = new Map<string, number>();
  const table: Owner[] = [];
  const runs: { position: number; length: number }[] = [];
  let last: { owner: Owner; run: { position: number; length: number } } | undefined;
  for (const entry of entries) {
    if (last !== undefined && sameOwner(last.owner, entry)) {
      last.run.length++;
      continue;
    }
    const key = `${entry.directory} ${entry.mode} ${entry.uidOwner} ${entry.gidOwner}`;
    let position = positions.get(key);
    if (position === undefined) {
      position = table.length;
      positions.set(key, position);
      table.push(entry);
    }
    const run = { position, length: 1 };
    runs.push(run);
    last = { owner: entry, run };
  }
  writer.varint(table.length);
  for (const owner of table)
    writer.varint(owner.directory).varint(owner.mode).varint(owner.uidOwner).varint(owner.gidOwner);
  for (const run of runs) writer.varint(run.position).varint(run.length - 1);
}

function sameOwner(a: Owner, b: Owner): boolean {
  return (
    a.directory === b.directory && a.mode === b.mode && a.uidOwner === b.uidOwner && a.gidOwner === b.gidOwner
  );
}

/** One owner for each of `count` messages. */
function readOwners(reader: ByteReader, count: number): Owner[] {
  const table = new Array<Owner>(readCount(reader, 4));
  for (let i = 0; i < table.length; i++) {
    table[i] = {
      directory: reader.varint(U32),
      mode: reader.varint(U32),
      uidOwner: reader.varint(U32),
      gidOwner: reader.varint(U32),
    };
  }
  const owners: Owner[] = [];
  while (owners.length < count) {
    const owner = readFromTable(reader, table);
    for (let rest = reader.varint(count - owners.length - 1) + 1; rest > 0; rest--) owners.push(owner);
  }
  return owners;
}

function writeSparse<V>(
  writer: ByteWriter,
  entries: readonly MessageEntry[],
  pick: (entry: MessageEntry) => V | undefined,
  write: (value: V) => void,
): void {
  let named = 0;
  for (const entry of entries) if (pick(entry) !== undefined) named++;
  writer.varint(named);
  if (named === 0) return;
  let previous = -1;
  entries.forEach((entry, position) => {
    const value = pick(entry);
    if (value === undefined) return;
    writer.varint(position - previous - 1);
    write(value);
    previous = position;
  });
}

function readSparse<E>(reader: ByteReader, entries: readonly E[], read: (entry: E) => void): void {
  let position = -1;
  for (let named = reader.varint(entries.length); named > 0; named--) {
    position += reader.varint() + 1;
    const entry = entries[position];
    if (entry === undefined) throw reader.damaged("a column names a message that is not there");
    read(entry);
  }
}
