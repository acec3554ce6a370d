/**
 * Writes a clean twoskip file: header, dummy, all records in one transaction. Cyrus opens it as one that it has
 * just repacked. From lib/cyrusdb_twoskip.c, 3.6.1: write_record, mycheckpoint.
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/errors.ts";
import type { DatabaseRecord } from "./database-record.ts";
import { DUMMY_OFFSET, HEADER_BYTES, LEVEL_MAX, roundUp, TWOSKIP_MAGIC, TYPE } from "./twoskip-layout.ts";

const COMMIT_BYTES = 24;
const DUMMY_BYTES = 8 + (LEVEL_MAX + 1) * 8 + 8;

/** @param records - strictly ascending by the bytes of their keys; keys are not empty. Taking them otherwise is a bug. */
export function encodeTwoskip(records: Iterable<DatabaseRecord>, generation = 1): Buffer {
  const all = [...records];
  const offsets: number[] = [];
  const start = DUMMY_OFFSET + DUMMY_BYTES;
  let at = start;
  for (const [index, { key, value }] of all.entries()) {
    assert(key.length > 0, "a twoskip record has an empty key");
    const before = all[index - 1];
    assert(before === undefined || Buffer.compare(before.key, key) < 0, "twoskip records are not in order");
    assert(value.length < 0xffff_ffff, "a twoskip value is too large");
    offsets.push(at);
    at = roundUp(at + headBytes(key.length, levelOf(index)) + key.length + value.length);
  }
  const repackBytes = at;
  const end = all.length === 0 ? at : at + COMMIT_BYTES;
  const file = Buffer.alloc(end);

  const next = new Array<number>(LEVEL_MAX).fill(0);
  for (let index = all.length - 1; index >= 0; index--) {
    const offset = offsets[index] as number;
    const level = levelOf(index);
    const recordEnd = offsets[index + 1] ?? repackBytes;
    writeRecord(file, offset, recordEnd, TYPE.record, level, next, all[index]);
    next.fill(offset, 0, level);
  }
  writeRecord(file, DUMMY_OFFSET, start, TYPE.dummy, LEVEL_MAX, next, undefined);
  if (all.length > 0) writeRecord(file, repackBytes, end, TYPE.commit, 0, [start], undefined);
  writeHeader(file, generation, all.length, repackBytes);
  return file;
}

function headBytes(keyBytes: number, level: number): number {
  return 8 + (keyBytes >= 0xffff ? 8 : 0) + (level + 1) * 8 + 8;
}

/** Every second record reaches level 2, every fourth level 3 …: what chance would give, but the same every time. */
function levelOf(index: number): number {
  return Math.min(LEVEL_MAX, 32 - Math.clz32((index + 1) & -(index + 1)));
}

/** @param next - by level, from 0: the offset of what follows. A record of level n has n of them, the first one doubled. */
function writeRecord(
  file: Buffer,
  offset: number,
  end: number,
  type: number,
  level: number,
  next: readonly number[],
  record: DatabaseRecord | undefined,
): void {
  const key = record?.key ?? Buffer.alloc(0);
  const value = record?.value ?? Buffer.alloc(0);
  file[offset] = type;
  file[offset + 1] = level;
  file.writeUInt16BE(Math.min(key.length, 0xffff), offset + 2);
  file.writeUInt32BE(value.length, offset + 4);
  let at = offset + 8;
  if (key.length >= 0xffff) at = file.writeBigUInt64BE(BigInt(key.length), at);
  const links = type === TYPE.commit ? next : [next[0] ?? 0, 0, ...next.slice(1, level)];
  for (const link of links) at = file.writeBigUInt64BE(BigInt(link), at);
  const tailOffset = at + 8;
  file.set(key, tailOffset);
  file.set(value, tailOffset + key.length);
  file.writeUInt32BE(crc32(file.subarray(offset, at)), at);
  file.writeUInt32BE(crc32(file.subarray(tailOffset, end)), at + 4);
}

function writeHeader(file: Buffer, generation: number, recordCount: number, repackBytes: number): void {
  TWOSKIP_MAGIC.copy(file, 0);
  file.writeUInt32BE(1, 20);
  file.writeBigUInt64BE(BigInt(generation), 24);
  file.writeBigUInt64BE(BigInt(recordCount), 32);
  file.writeBigUInt64BE(BigInt(repackBytes), 40);
  file.writeBigUInt64BE(BigInt(file.length), 48);
  file.writeUInt32BE(0, 56);
  file.writeUInt32BE(crc32(file.subarray(0, HEADER_BYTES - 4)), 60);
}
