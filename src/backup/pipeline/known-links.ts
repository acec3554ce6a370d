/** What files with several links hold, by device and inode: so many of them, in flat memory; the oldest is forgotten. */
import type { FileStat } from "../../base/file-stat.ts";
import { asObjectId, type ObjectId } from "../../store/object.ts";

const ID_BYTES = 32;
const GUID_BYTES = 20;
const HELD_BYTES = ID_BYTES + GUID_BYTES;
const STAT_BYTES = 48;
const RECORD_BYTES = HELD_BYTES + STAT_BYTES;

export interface KnownLink {
  readonly id: ObjectId;
  /** SHA-1. */
  readonly guid: Buffer;
}

export class KnownLinks {
  readonly #capacity: number;
  readonly #records: Buffer;
  readonly #keys: string[] = [];
  readonly #positions = new Map<string, number>();
  readonly #stat: Buffer = Buffer.alloc(STAT_BYTES);
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#records = Buffer.alloc(capacity * RECORD_BYTES);
  }

  /** undefined: not known, or it was another file then. What is given back is a copy. */
  find(key: string, stat: FileStat): KnownLink | undefined {
    const position = this.#positions.get(key);
    if (position === undefined) return undefined;
    const at = position * RECORD_BYTES;
    encodeStat(stat, this.#stat);
    if (this.#stat.compare(this.#records, at + HELD_BYTES, at + RECORD_BYTES) !== 0) return undefined;
    const held = Buffer.from(this.#records.subarray(at, at + HELD_BYTES));
    return { id: asObjectId(held.subarray(0, ID_BYTES)), guid: held.subarray(ID_BYTES) };
  }

  remember(key: string, stat: FileStat, { id, guid }: KnownLink): void {
    let position = this.#positions.get(key);
    if (position === undefined) {
      position = this.#next;
      this.#next = (this.#next + 1) % this.#capacity;
      const oldest = this.#keys[position];
      if (oldest !== undefined) this.#positions.delete(oldest);
      this.#keys[position] = key;
      this.#positions.set(key, position);
    }
    const at = position * RECORD_BYTES;
    this.#records.set(id, at);
    this.#records.set(guid, at + ID_BYTES);
    encodeStat(stat, this.#stat);
    this.#records.set(this.#stat, at + HELD_BYTES);
  }
}

/** What `sameStat` compares. */
function encodeStat({ size, mtimeNs, ctimeNs, inode, mode, uid, gid }: FileStat, target: Buffer): void {
  target.writeDoubleLE(size, 0);
  target.writeBigInt64LE(BigInt.asIntN(64, mtimeNs), 8);
  target.writeBigInt64LE(BigInt.asIntN(64, ctimeNs), 16);
  target.writeDoubleLE(inode, 24);
  target.writeUInt32LE(mode >>> 0, 32);
  target.writeUInt32LE(uid >>> 0, 36);
  target.writeUInt32LE(gid >>> 0, 40);
}
