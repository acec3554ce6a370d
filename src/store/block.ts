/** A block before compression: the heads of its objects, then their tails, in the same order. */
import { giveBack } from "../base/give-back.ts";
import type { StoredObject } from "./object.ts";
import { BLOCK_BYTES_MAX, BLOCK_BYTES_TARGET } from "./pack-types.ts";

export class BlockBuilder {
  readonly #bytesTarget: number;
  #heads: Buffer;
  #tails: Buffer;
  #headBytes = 0;
  #tailBytes = 0;
  #objectCount = 0;
  /** Too large to be kept; the block last taken may still lie in it. */
  #outgrown: Buffer[] = [];

  /** @param bytesTarget - when a block is full. Default: that of most blocks. */
  constructor(bytesTarget = BLOCK_BYTES_TARGET) {
    this.#bytesTarget = bytesTarget;
    this.#heads = Buffer.allocUnsafeSlow(bytesTarget / 4);
    this.#tails = Buffer.allocUnsafeSlow(bytesTarget / 4);
  }

  get isFull(): boolean {
    return this.rawBytes >= this.#bytesTarget;
  }

  get rawBytes(): number {
    return this.#headBytes + this.#tailBytes;
  }

  get objectCount(): number {
    return this.#objectCount;
  }

  /** Whether the object would leave the block within its target; an empty block takes any object. */
  hasRoomFor(object: StoredObject): boolean {
    return (
      this.#objectCount === 0 || this.rawBytes + object.head.length + object.tail.length <= this.#bytesTarget
    );
  }

  /** Copies the bytes: the caller may reuse them. */
  add(object: StoredObject): void {
    if (this.rawBytes + object.head.length + object.tail.length > BLOCK_BYTES_MAX)
      throw new RangeError(`an object has at most ${BLOCK_BYTES_MAX} bytes`);
    for (const buffer of this.#outgrown.splice(0)) giveBack(buffer);
    this.#heads = append(this.#heads, this.#headBytes, object.head, this.#bytesTarget);
    this.#tails = append(this.#tails, this.#tailBytes, object.tail, this.#bytesTarget);
    this.#headBytes += object.head.length;
    this.#tailBytes += object.tail.length;
    this.#objectCount++;
  }

  /** The raw block; the builder begins anew. The bytes are good until the next `add`. */
  take(): Buffer {
    const tails = this.#tails.subarray(0, this.#tailBytes);
    this.#heads = append(this.#heads, this.#headBytes, tails, this.#bytesTarget);
    const raw = this.#heads.subarray(0, this.rawBytes);
    this.#headBytes = 0;
    this.#tailBytes = 0;
    this.#objectCount = 0;
    // What one large object needed is not kept for good.
    this.#heads = this.#kept(this.#heads);
    this.#tails = this.#kept(this.#tails);
    return raw;
  }

  #kept(buffer: Buffer): Buffer {
    if (buffer.length <= 2 * this.#bytesTarget) return buffer;
    this.#outgrown.push(buffer);
    return Buffer.allocUnsafeSlow(this.#bytesTarget / 4);
  }
}

function append(buffer: Buffer, length: number, bytes: Uint8Array, bytesTarget: number): Buffer {
  let target = buffer;
  if (length + bytes.length > buffer.length) {
    // Not beyond the target, which all but a single large object keep to: there are several blocks in a thread.
    const wanted = Math.min(2 * buffer.length, bytesTarget);
    target = Buffer.allocUnsafeSlow(Math.max(length + bytes.length, wanted));
    buffer.copy(target, 0, 0, length);
    giveBack(buffer);
  }
  target.set(bytes, length);
  return target;
}
