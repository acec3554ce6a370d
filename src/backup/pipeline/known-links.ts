/** What files with several links hold, by device and inode: so many of them, in flat memory; the oldest is forgotten. */
import type { FileStat } from "../../base/file-stat.ts";
import { sameStat } from "../../source/read-file.ts";
import { asObjectId, type ObjectId } from "../../store/object.ts";

const ID_BYTES = 32;
const GUID_BYTES = 20;
const RECORD_BYTES = ID_BYTES + GUID_BYTES;

export interface KnownLink {
  readonly id: ObjectId;
  /** SHA-1. */
  readonly guid: Buffer;
}

export class KnownLinks {
  readonly #capacity: number;
  readonly #records: Buffer;
  readonly #stats: (FileStat | undefined)[] = [];
  readonly #keys: string[] = [];
  readonly #positions = new Map<string, number>();
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#records = Buffer.alloc(capacity * RECORD_BYTES);
  }

  /** undefined: not known, or it was another file then. What is given back is a copy. */
  find(key: string, stat: FileStat): KnownLink | undefined {
    const position = this.#positions.get(key);
    if (position === undefined) return undefined;
    const then = this.#stats[position];
    if (then === undefined || !sameStat(then, stat)) return undefined;
    const at = position * RECORD_BYTES;
    const record = Buffer.from(this.#records.subarray(at, at + RECORD_BYTES));
    return { id: asObjectId(record.subarray(0, ID_BYTES)), guid: record.subarray(ID_BYTES) };
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
    this.#stats[position] = stat;
    this.#records.set(id, position * RECORD_BYTES);
    this.#records.set(guid, position * RECORD_BYTES + ID_BYTES);
  }
}
