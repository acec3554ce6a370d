/** A block before compression: the heads of its objects, then their tails, in the same order. */
import type { StoredObject } from "./object.ts";
import { BLOCK_BYTES_MAX, BLOCK_BYTES_TARGET } from "./pack-types.ts";

export class BlockBuilder {
  #heads: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES_TARGET / 4);
  #tails: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES_TARGET / 4);
  #headBytes = 0;
  #tailBytes = 0;
  #objectCount = 0;

  get rawBytes(): number {
    return this.#headBytes + this.#tailBytes;
  }

  get objectCount(): number {
    return this.#objectCount;
  }

  /** Whether the object would leave the block within its target; an empty block takes any object. */
  hasRoomFor(object: StoredObject): boolean {
    return (
      this.#objectCount === 0 || this.rawBytes + object.head.length + object.tail.length <= BLOCK_BYTES_TARGET
    );
  }

  /** Copies the bytes: the caller may reuse them. */
  add(object: StoredObject): void {
    if (this.rawBytes + object.head.length + object.tail.length > BLOCK_BYTES_MAX)
      throw new RangeError(`an object has at most ${BLOCK_BYTES_MAX} bytes`);
    this.#heads = append(this.#heads, this.#headBytes, object.head);
    this.#tails = append(this.#tails, this.#tailBytes, object.tail);
    this.#headBytes += object.head.length;
    this.#tailBytes += object.tail.length;
    this.#objectCount++;
  }

  /** The raw block; the builder begins anew. The bytes are good until the next `add`. */
  take(): Buffer {
    this.#heads = append(this.#heads, this.#headBytes, this.#tails.subarray(0, this.#tailBytes));
    const raw = this.#heads.subarray(0, this.rawBytes);
    this.#headBytes = 0;
    this.#tailBytes = 0;
    this.#objectCount = 0;
    // What one large object needed is not kept for good.
    if (this.#heads.length > 2 * BLOCK_BYTES_TARGET)
      this.#heads = Buffer.allocUnsafeSlow(BLOCK_BYTES_TARGET / 4);
    if (this.#tails.length > 2 * BLOCK_BYTES_TARGET)
      this.#tails = Buffer.allocUnsafeSlow(BLOCK_BYTES_TARGET / 4);
    return raw;
  }
}

function append(buffer: Buffer, length: number, bytes: Uint8Array): Buffer {
  let target = buffer;
  if (length + bytes.length > buffer.length) {
    // Not beyond the target, which all but a single large object keep to: there are several blocks in a thread.
    const wanted = Math.min(2 * buffer.length, BLOCK_BYTES_TARGET);
    target = Buffer.allocUnsafeSlow(Math.max(length + bytes.length, wanted));
    buffer.copy(target, 0, 0, length);
  }
  target.set(bytes, length);
  return target;
}
