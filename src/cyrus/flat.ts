/**
 * The flat engine: sorted lines `key TAB value LF`. NUL, TAB, LF, CR and 0xFF inside a key or value are written as
 * 0xFF and the byte with its top bit set; 0xFF as two of them. The file is always replaced by rename, so it is whole or old.
 * Format: docs/formats/cyrus-databases.md. From cyrus-imapd 3.6.1, lib/cyrusdb_flat.c (encode, decode).
 */
import { DamageList, type DatabaseRecord, OrderWitness, type RecordSource } from "./database-record.ts";

const TAB = 0x09;
const LF = 0x0a;
const ESCAPE = 0xff;

/** Any bytes can be read: what is not a line with a TAB is told in `damage`. Records come in the order of the lines. */
export function readFlat(file: Uint8Array): RecordSource {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const damage = new DamageList();
  const order = new OrderWitness();
  let previous: Buffer | undefined;
  let recordCount = 0;
  for (const [offset, record] of lines(bytes)) {
    if (record === undefined) {
      damage.add(offset, "a line without a TAB, or without its end");
      continue;
    }
    if (previous !== undefined) order.see(previous, record.key);
    previous = record.key;
    recordCount++;
  }
  if (order.violations > 0) damage.add(0, `${order.violations} lines are out of order`);
  return { records: recordsOf(bytes), recordCount, damage: damage.entries, recovered: false };
}

/** @param records - in key order. */
export function encodeFlat(records: Iterable<DatabaseRecord>): Buffer {
  const parts: Buffer[] = [];
  for (const { key, value } of records)
    parts.push(escapeFlat(key), Buffer.of(TAB), escapeFlat(value), Buffer.of(LF));
  return Buffer.concat(parts);
}

function recordsOf(bytes: Buffer): Iterable<DatabaseRecord> {
  return {
    *[Symbol.iterator]() {
      for (const [, record] of lines(bytes)) if (record !== undefined) yield record;
    },
  };
}

function* lines(bytes: Buffer): Generator<readonly [offset: number, record: DatabaseRecord | undefined]> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(LF, at);
    if (end < 0) {
      yield [at, undefined];
      return;
    }
    const line = bytes.subarray(at, end);
    const tab = line.indexOf(TAB);
    yield [
      at,
      tab < 0
        ? undefined
        : { key: unescapeFlat(line.subarray(0, tab)), value: unescapeFlat(line.subarray(tab + 1)) },
    ];
    at = end + 1;
  }
}

function unescapeFlat(bytes: Buffer): Buffer {
  if (!bytes.includes(ESCAPE)) return bytes;
  const out = Buffer.alloc(bytes.length);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    const following = bytes[at + 1];
    if (byte !== ESCAPE || following === undefined) out[length++] = byte;
    else {
      out[length++] = following === ESCAPE ? ESCAPE : following & 0x7f;
      at++;
    }
  }
  return out.subarray(0, length);
}

export function escapeFlat(bytes: Buffer): Buffer {
  if (!bytes.some(needsEscape)) return bytes;
  const out = Buffer.alloc(bytes.length * 2);
  let length = 0;
  for (const byte of bytes) {
    if (needsEscape(byte)) out[length++] = ESCAPE;
    out[length++] = needsEscape(byte) ? byte | 0x80 : byte;
  }
  return out.subarray(0, length);
}

function needsEscape(byte: number): boolean {
  return byte === 0 || byte === TAB || byte === LF || byte === 0x0d || byte === ESCAPE;
}
