/** Tables at the head of a page: what many entries have in common is written once. */
import type { ByteString } from "../base/byte-string.ts";
import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import type { FileStat } from "./model.ts";
import { readNear, TimeChain, writeNear } from "./numbers.ts";

const U32 = 0xffff_ffff;
const MAX_STRING_BYTES = 65_536;

/** How many of something follow: never more than there are bytes left for. @param least - bytes that each takes at least. */
export function readCount(reader: ByteReader, least: number): number {
  return reader.varint(Math.floor(reader.remaining / least));
}

export class StringTableWriter {
  readonly #positions = new Map<ByteString, number>();

  position(value: ByteString): number {
    let position = this.#positions.get(value);
    if (position === undefined) {
      position = this.#positions.size;
      this.#positions.set(value, position);
    }
    return position;
  }

  write(writer: ByteWriter): void {
    writer.varint(this.#positions.size);
    for (const value of this.#positions.keys()) writer.byteString(value);
  }
}

export function readStringTable(reader: ByteReader): ByteString[] {
  const strings = new Array<ByteString>(readCount(reader, 1));
  for (let i = 0; i < strings.length; i++) strings[i] = reader.byteString(MAX_STRING_BYTES);
  return strings;
}

/** @throws {CyrvaultError} when the position read is not in the table. */
export function readFromTable<T>(reader: ByteReader, table: readonly T[]): T {
  const value = table[reader.varint()];
  if (value === undefined) throw reader.damaged("a position is outside its table");
  return value;
}

interface Owner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
}

/** Writes stats one after the other, each with the one before as its base; collects their owners. */
export class StatWriter {
  readonly #owners = new Map<string, Owner>();
  readonly #positions = new Map<string, number>();
  readonly #mtime = new TimeChain();
  readonly #ctime = new TimeChain();
  #inode = 0;

  write(writer: ByteWriter, stat: FileStat): void {
    const key = `${stat.mode} ${stat.uid} ${stat.gid} ${stat.links}`;
    let position = this.#positions.get(key);
    if (position === undefined) {
      position = this.#positions.size;
      this.#positions.set(key, position);
      this.#owners.set(key, stat);
    }
    writer.varint(position).varint(stat.size);
    this.#mtime.write(writer, stat.mtimeNs);
    this.#ctime.follow(this.#mtime);
    this.#ctime.write(writer, stat.ctimeNs);
    writeNear(writer, stat.inode, this.#inode);
    this.#inode = stat.inode;
  }

  writeOwners(writer: ByteWriter): void {
    writer.varint(this.#owners.size);
    for (const owner of this.#owners.values())
      writer.varint(owner.mode).varint(owner.uid).varint(owner.gid).varint(owner.links);
  }
}

/** The counterpart of StatWriter: reads the table of owners when it is made. */
export class StatReader {
  readonly #reader: ByteReader;
  readonly #owners: readonly Owner[];
  readonly #mtime = new TimeChain();
  readonly #ctime = new TimeChain();
  #inode = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
    const owners = new Array<Owner>(readCount(reader, 4));
    for (let i = 0; i < owners.length; i++) {
      owners[i] = {
        mode: reader.varint(U32),
        uid: reader.varint(U32),
        gid: reader.varint(U32),
        links: reader.varint(),
      };
    }
    this.#owners = owners;
  }

  read(): FileStat {
    const reader = this.#reader;
    const owner = readFromTable(reader, this.#owners);
    const size = reader.varint();
    const mtimeNs = this.#mtime.read(reader);
    this.#ctime.follow(this.#mtime);
    const ctimeNs = this.#ctime.read(reader);
    this.#inode = readNear(reader, this.#inode);
    return {
      mode: owner.mode,
      uid: owner.uid,
      gid: owner.gid,
      size,
      mtimeNs,
      ctimeNs,
      inode: this.#inode,
      links: owner.links,
    };
  }
}

/** The bytes of a page whose tables are known only once its body has been written. */
export function joinPage(head: ByteWriter, body: ByteWriter): Buffer {
  return head.raw(body.toBytes()).toBytes();
}
