/**
 * Reads a twoskip database at its last committed state.
 *
 * The list is walked once to check every CRC, the order of the keys and their number; only then are records given,
 * so that a broken link never shows as a short list. When the walk fails, the whole file is scanned instead
 * (twoskip-scan.ts) and the result says so.
 */
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { DamageList, type DatabaseRecord, OrderWitness, type RecordSource } from "./database-record.ts";
import {
  DUMMY_OFFSET,
  keyBytesOf,
  nextOffset,
  parseTwoskipHeader,
  readRecordHead,
  TWOSKIP_MAGIC,
  type TwoskipHeader,
  type TwoskipRecord,
  TYPE,
  tailIsSound,
  valueBytesOf,
} from "./twoskip-layout.ts";
import { scanTwoskip } from "./twoskip-scan.ts";

export interface TwoskipReading extends RecordSource {
  /** Undefined where the header's CRC is wrong: the whole file was scanned then. */
  readonly header: TwoskipHeader | undefined;
}

/**
 * @throws {CyrvaultError} `CYRUS_BAD_FORMAT`: no twoskip magic, an unknown version, or shorter than a header.
 *   Anything else that is wrong inside is told in `damage`.
 */
export function readTwoskip(file: Uint8Array): TwoskipReading {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const damage = new DamageList();
  const header = headerOrUndefined(bytes, damage);
  if (header !== undefined) {
    const count = walk(bytes, header, damage);
    if (count !== undefined)
      return { header, records: chain(bytes, header), recordCount: count, damage: [], recovered: false };
  }
  const found = scanTwoskip(bytes, header?.committedBytes, damage);
  if (header !== undefined && found.length !== header.recordCount)
    damage.add(32, `the header counts ${header.recordCount} records, the scan found ${found.length}`);
  return {
    header,
    records: { [Symbol.iterator]: () => recordsAt(bytes, found) },
    recordCount: found.length,
    damage: damage.entries,
    recovered: true,
  };
}

function headerOrUndefined(bytes: Buffer, damage: DamageList): TwoskipHeader | undefined {
  try {
    return parseTwoskipHeader(bytes);
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_CHECKSUM")) throw error;
    damage.add(0, "the header's CRC is wrong");
    return undefined;
  }
}

/** The number of records, or undefined when the list cannot be trusted: then `damage` says why. */
function walk(bytes: Buffer, header: TwoskipHeader, damage: DamageList): number | undefined {
  const end = header.committedBytes;
  const broken = (offset: number, reason: string): undefined => {
    damage.add(offset, reason);
  };
  if (end > bytes.length)
    return broken(bytes.length, `cut short: ${end} bytes committed, ${bytes.length} there`);
  let record = readRecordHead(bytes, DUMMY_OFFSET, end);
  if (record === undefined || record.type !== TYPE.dummy)
    return broken(DUMMY_OFFSET, "the first record is damaged");
  const order = new OrderWitness();
  let previous: Buffer | undefined;
  let count = 0;
  for (let visits = Math.ceil(end / 24); ; visits--) {
    const next: number = nextOffset(bytes, record, end);
    if (next === 0) break;
    if (visits === 0) return broken(record.offset, "the links run in a circle");
    const target: TwoskipRecord | undefined = readRecordHead(bytes, next, end);
    if (target === undefined || (target.type !== TYPE.record && target.type !== TYPE.delete))
      return broken(record.offset, `a link leads to no record (${next})`);
    record = target;
    if (record.type === TYPE.delete) continue;
    if (!tailIsSound(bytes, record)) return broken(next, "a key or value has a wrong CRC");
    const key = keyBytesOf(bytes, record);
    if (previous !== undefined) order.see(previous, key);
    previous = key;
    count++;
  }
  if (order.violations > 0) return broken(0, `${order.violations} keys are out of order`);
  if (count !== header.recordCount)
    return broken(32, `the header counts ${header.recordCount} records, the list has ${count}`);
  return count;
}

/** Only after `walk` has passed: the same way again, without checking. */
function chain(bytes: Buffer, header: TwoskipHeader): Iterable<DatabaseRecord> {
  return {
    *[Symbol.iterator]() {
      const end = header.committedBytes;
      let at = DUMMY_OFFSET;
      while (true) {
        const record = readRecordHead(bytes, at, end);
        if (record === undefined)
          throw new CyrvaultError("CYRUS_BAD_FORMAT", "twoskip: the bytes changed while they were read");
        if (record.type === TYPE.record)
          yield { key: keyBytesOf(bytes, record), value: valueBytesOf(bytes, record) };
        at = nextOffset(bytes, record, end);
        if (at === 0) return;
      }
    },
  };
}

function* recordsAt(bytes: Buffer, found: readonly TwoskipRecord[]): Generator<DatabaseRecord> {
  for (const record of found) yield { key: keyBytesOf(bytes, record), value: valueBytesOf(bytes, record) };
}

export function isTwoskip(file: Uint8Array): boolean {
  return (
    file.length >= TWOSKIP_MAGIC.length &&
    Buffer.compare(file.subarray(0, TWOSKIP_MAGIC.length), TWOSKIP_MAGIC) === 0
  );
}
