/** Bytes at offsets, whole in memory or seen through a window: the splitter does not care which. */
import { assert } from "../base/errors.ts";

export interface ByteSource {
  readonly size: number;
  /**
   * At least `wanted` bytes from `offset`, fewer only at the end, often more. Valid until the next call.
   * @param wanted - at most `VIEW_BYTES_MAX`.
   */
  view(offset: number, wanted: number): Buffer;
}

/** Bytes from `offset`, exactly `length` of them, valid at least until the next call. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

export const VIEW_BYTES_MAX = 1024 * 1024;

export function memorySource(bytes: Uint8Array): ByteSource {
  const buffer = asBuffer(bytes);
  return { size: buffer.length, view: (offset) => buffer.subarray(offset) };
}

export function windowedSource(read: ReadAt, size: number): ByteSource {
  let window: Buffer = Buffer.alloc(0);
  let windowOffset = 0;
  return {
    size,
    view(offset, wanted) {
      const end = windowOffset + window.length;
      if (offset >= windowOffset && offset <= end && (end - offset >= wanted || end === size))
        return window.subarray(offset - windowOffset);
      const length = Math.min(VIEW_BYTES_MAX, size - offset);
      window = asBuffer(read(offset, length));
      windowOffset = offset;
      assert(window.length === length, `a read of ${length} bytes gave ${window.length}`);
      return window;
    },
  };
}

/** The stretch `[from, to)` in views, in order; the last one is marked. Nothing for an empty stretch. */
export function* viewsOf(
  source: ByteSource,
  from: number,
  to: number,
): Generator<{ bytes: Buffer; last: boolean }> {
  for (let offset = from; offset < to; ) {
    const view = source.view(offset, Math.min(VIEW_BYTES_MAX, to - offset));
    const bytes = view.subarray(0, Math.min(view.length, to - offset));
    offset += bytes.length;
    yield { bytes, last: offset === to };
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
