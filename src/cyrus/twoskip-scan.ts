/**
 * Finds the live records of a twoskip file whose links are broken, by replaying the file in physical order.
 *
 * A `+` sets a key. A `-` has no key: its link names the record that *follows* the deleted one, so what goes is the
 * greatest live key below that record's key, or the greatest of all when the link is 0 (lib/cyrusdb_twoskip.c,
 * delete_here, 3.6.1; observed by dumping files with deletions). Cyrus's own last resort, recovery2 up to 3.12, takes that
 * link for the deleted record itself.
 */
import { type DamageList, type KeyOrder, OrderWitness, orderedKey } from "./database-record.ts";
import { SortedKeys } from "./database-sorted-keys.ts";
import {
  DUMMY_OFFSET,
  FILLER,
  keyBytesOf,
  nextOffset,
  readRecordHead,
  readSize,
  type TwoskipRecord,
  TYPE,
  tailIsSound,
} from "./twoskip-layout.ts";

/**
 * @param committedBytes - from a sound header: everything below counts. Undefined: the header is damaged, and only
 *   what a commit record closes counts.
 * @returns the live records in the file's key order.
 */
export function scanTwoskip(
  bytes: Buffer,
  committedBytes: number | undefined,
  damage: DamageList,
): TwoskipRecord[] {
  const limit = Math.min(committedBytes ?? bytes.length, bytes.length);
  const log = collect(bytes, limit, committedBytes !== undefined, damage);
  return replay(bytes, log, guessOrder(bytes, log, limit), damage);
}

function collect(bytes: Buffer, limit: number, allCommitted: boolean, damage: DamageList): TwoskipRecord[] {
  const log: TwoskipRecord[] = [];
  let committed = 0;
  let lost = false;
  for (let at = DUMMY_OFFSET; at + 24 <= limit; ) {
    const record = readRecordHead(bytes, at, limit);
    if (record === undefined) {
      if (!isFiller(bytes, at)) {
        if (!lost) damage.add(at, "no sound record here");
        lost = true;
      }
      at += 8;
      continue;
    }
    lost = false;
    at = record.end;
    if (record.type === TYPE.commit) committed = log.length;
    else if (record.type === TYPE.record && !tailIsSound(bytes, record))
      damage.add(record.offset, "a key or value has a wrong CRC");
    else if (record.type !== TYPE.dummy) log.push(record);
  }
  if (!allCommitted) log.length = committed;
  return log;
}

function isFiller(bytes: Buffer, at: number): boolean {
  return bytes.compare(FILLER, 0, FILLER.length, at, at + FILLER.length) === 0;
}

/** From the links that are still whole. */
function guessOrder(bytes: Buffer, log: readonly TwoskipRecord[], limit: number): KeyOrder {
  const witness = new OrderWitness();
  for (const record of log) {
    if (record.type !== TYPE.record) continue;
    const next = readRecordHead(bytes, nextOffset(bytes, record, limit), limit);
    if (next?.type === TYPE.record) witness.see(keyBytesOf(bytes, record), keyBytesOf(bytes, next));
  }
  return witness.order;
}

function replay(
  bytes: Buffer,
  log: readonly TwoskipRecord[],
  order: KeyOrder,
  damage: DamageList,
): TwoskipRecord[] {
  const live = new SortedKeys<TwoskipRecord>();
  const sound = new Map<number, TwoskipRecord>();
  for (const record of log) {
    if (record.type === TYPE.record) {
      sound.set(record.offset, record);
      live.set(orderedKey(order, keyBytesOf(bytes, record)), record);
      continue;
    }
    const next = readSize(bytes, record.linkOffset);
    if (next === 0) {
      live.deleteGreatest();
      continue;
    }
    const successor = sound.get(next);
    if (successor !== undefined) live.deleteBelow(orderedKey(order, keyBytesOf(bytes, successor)));
    else damage.add(record.offset, "a deletion names a damaged record: what it deleted is not known");
  }
  return live.values();
}
