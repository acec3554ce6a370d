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
    const offsets = walk(bytes, header, damage);
    if (offsets !== undefined) {
      const { length: recordCount } = offsets;
      return { header, records: chain(bytes, header, offsets), recordCount, damage: [], recovered: false };
    }
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

/** Where the records are, or undefined when the list cannot be trusted: then `damage` says why. */
function walk(bytes: Buffer, header: TwoskipHeader, damage: DamageList): readonly number[] | undefined {
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
  const offsets: number[] = [];
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
    offsets.push(next);
  }
  if (order.violations > 0) return broken(0, `${order.violations} keys are out of order`);
  if (offsets.length !== header.recordCount)
    return broken(32, `the header counts ${header.recordCount} records, the list has ${offsets.length}`);
  return offsets;
}

/** Only after `walk` has passed: what it found, without checking again. */
function chain(bytes: Buffer, header: TwoskipHeader, offsets: readonly number[]): Iterable<DatabaseRecord> {
  return {
    *[Symbol.iterator]() {
      for (const offset of offsets) {
        const record = readRecordHead(bytes, offset, header.committedBytes, true);
        if (record === undefined)
          throw new CyrvaultError("CYRUS_BAD_FORMAT", "twoskip: the bytes changed while they were read");
        yield { key: keyBytesOf(bytes, record), value: valueBytesOf(bytes, record) };
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
