/**
 * Reads a skiplist database (the engine of Cyrus up to 2.4, and of conversations to this day) by its log, never by
 * its pointers: those are written in place and are what a crash tears.
 *
 * Before `logstart` lie the records of the last checkpoint in key order; after it additions and deletions, each
 * transaction closed by a commit word. What follows the last commit was never committed. Everything is big-endian.
 * Format: docs/formats/cyrus-databases.md. From cyrus-imapd 3.6.1, lib/cyrusdb_skiplist.c.
 */
import { type ByteString, compareBytes, fromBytes } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import {
  DamageList,
  type DatabaseRecord,
  OrderWitness,
  orderedKey,
  type RecordSource,
} from "./database-record.ts";

export const SKIPLIST_MAGIC: Buffer = Buffer.from("\xa1\x02\x8b\x0dskiplist file\0\0\0", "latin1");
const HEADER_BYTES = 48;
const TYPE = { inorder: 1, add: 2, delete: 4, commit: 255, dummy: 257 } as const;
/** Cyrus writes 20 levels; a run of pointers longer than this is not one. */
const POINTERS_MAX = 64;
const POINTERS_END = 0xffff_ffff;

interface Node {
  readonly type: number;
  readonly keyOffset: number;
  readonly keyBytes: number;
  readonly valueOffset: number;
  readonly valueBytes: number;
  readonly end: number;
}

/** @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: no skiplist magic, unknown version, shorter than its header. */
export function readSkiplist(file: Uint8Array): RecordSource {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const { logStart } = parseHeader(bytes);
  const damage = new DamageList();
  const order = new OrderWitness();
  const live = new Map<ByteString, number>();

  let at = HEADER_BYTES;
  let inLog = false;
  let previousKey: Buffer | undefined;
  let pending: { readonly key: ByteString; readonly offset: number; readonly add: boolean }[] = [];
  const apply = (): void => {
    for (const { key, offset, add } of pending) {
      if (add) live.set(key, offset);
      else if (live.get(key) === offset) live.delete(key);
    }
    pending = [];
  };

  while (at + 4 <= bytes.length) {
    if (!inLog && at >= logStart) {
      inLog = true;
      apply();
    }
    const type = bytes.readUInt32BE(at);
    if (type === 0) {
      at += 4;
    } else if (type === TYPE.commit) {
      apply();
      at += 4;
    } else if (type === TYPE.delete) {
      if (at + 8 > bytes.length) break;
      const target = bytes.readUInt32BE(at + 4);
      const node = readNode(bytes, target);
      if (node === undefined) damage.add(at, "a deletion names no record");
      else pending.push({ key: fromBytes(keyOf(bytes, node)), offset: target, add: false });
      at += 8;
    } else {
      const node = readNode(bytes, at);
      if (node === undefined) {
        damage.add(
          at,
          inLog ? "no sound record here: the rest of the log was not read" : "no sound record here",
        );
        break;
      }
      if (node.type !== TYPE.dummy) {
        const key = keyOf(bytes, node);
        if (node.type === TYPE.inorder) {
          if (previousKey !== undefined) order.see(previousKey, key);
          previousKey = key;
        }
        pending.push({ key: fromBytes(key), offset: at, add: true });
      }
      at = node.end;
    }
  }
  if (!inLog && at < logStart) damage.add(at, "cut short within the last checkpoint");
  if (!inLog) apply();

  const sorted = sortKeys(live, order);
  return {
    records: { [Symbol.iterator]: () => recordsAt(bytes, sorted) },
    recordCount: sorted.length,
    damage: damage.entries,
    recovered: false,
  };
}

function parseHeader(bytes: Buffer): { readonly logStart: number } {
  const bad = (why: string): CyrvaultError =>
    new CyrvaultError("CYRUS_BAD_FORMAT", `skiplist: ${why}`, { context: { length: bytes.length } });
  if (bytes.length < HEADER_BYTES || !isSkiplist(bytes))
    throw bad("not a skiplist file, or shorter than its header");
  const version = bytes.readUInt32BE(20);
  if (version !== 1) throw bad(`version ${version} is not known`);
  const logStart = bytes.readUInt32BE(40);
  if (logStart < HEADER_BYTES) throw bad("the log begins inside the header");
  return { logStart };
}

/** A dummy, inorder or add record that lies wholly inside the file; undefined for anything else. */
function readNode(bytes: Buffer, offset: number): Node | undefined {
  if (offset < HEADER_BYTES || offset % 4 !== 0 || offset + 12 > bytes.length) return undefined;
  const type = bytes.readUInt32BE(offset);
  if (type !== TYPE.inorder && type !== TYPE.add && type !== TYPE.dummy) return undefined;
  const keyBytes = bytes.readUInt32BE(offset + 4);
  const keyOffset = offset + 8;
  let at = keyOffset + roundUp(keyBytes);
  if (at + 4 > bytes.length) return undefined;
  const valueBytes = bytes.readUInt32BE(at);
  const valueOffset = at + 4;
  at = valueOffset + roundUp(valueBytes);
  for (let pointers = 0; pointers <= POINTERS_MAX; pointers++) {
    if (at + 4 > bytes.length) return undefined;
    const pointer = bytes.readUInt32BE(at);
    at += 4;
    if (pointer === POINTERS_END) return { type, keyOffset, keyBytes, valueOffset, valueBytes, end: at };
  }
  return undefined;
}

function sortKeys(live: ReadonlyMap<ByteString, number>, witness: OrderWitness): number[] {
  const order = witness.order;
  const entries = [...live];
  if (order === "bytes") entries.sort((a, b) => compareBytes(a[0], b[0]));
  else {
    const ordered = (key: ByteString): ByteString => orderedKey(order, Buffer.from(key, "latin1"));
    entries.sort((a, b) => compareBytes(ordered(a[0]), ordered(b[0])));
  }
  return entries.map(([, offset]) => offset);
}

function* recordsAt(bytes: Buffer, offsets: readonly number[]): Generator<DatabaseRecord> {
  for (const offset of offsets) {
    const node = readNode(bytes, offset);
    if (node === undefined)
      throw new CyrvaultError("CYRUS_BAD_FORMAT", "skiplist: the bytes changed while they were read");
    yield {
      key: keyOf(bytes, node),
      value: bytes.subarray(node.valueOffset, node.valueOffset + node.valueBytes),
    };
  }
}

function keyOf(bytes: Buffer, node: Node): Buffer {
  return bytes.subarray(node.keyOffset, node.keyOffset + node.keyBytes);
}

function roundUp(length: number): number {
  return Math.ceil(length / 4) * 4;
}

export function isSkiplist(file: Uint8Array): boolean {
  return (
    file.length >= SKIPLIST_MAGIC.length &&
    Buffer.compare(file.subarray(0, SKIPLIST_MAGIC.length), SKIPLIST_MAGIC) === 0
  );
}
