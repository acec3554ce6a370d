/** Which blocks a part goes into: docs/decisions/0014-block-size-and-layout.md. */
import { looksCompressible } from "./codec.ts";
import type { BlockLane } from "./pack-types.ts";

/** Smaller parts share a block with their like anyway. */
const DENSE_BYTES_MIN = 16 * 1024;
const DENSE_SAMPLE_BYTES = 16 * 1024;
/** Longer ones are data rather than something written, and many bytes for a slow level. */
export const TEXT_PART_BYTES_MAX = 64 * 1024;
const TEXT_STRETCH_BYTES = 512;

/**
 * Texts are at home among the texts of messages, which quote them. Attachments that are compressed already (images,
 * archives, PDF) keep the others from shrinking fast.
 */
export function laneOfPart(part: Uint8Array): BlockLane {
  if (part.length <= TEXT_PART_BYTES_MAX && looksLikeText(part)) return "text";
  return part.length >= DENSE_BYTES_MIN && !looksCompressible(part, DENSE_SAMPLE_BYTES) ? "dense" : "part";
}

/** No control characters at the start, in the middle, at the end, but those that texts have; any charset but UTF-16 and 32. */
export function looksLikeText(part: Uint8Array): boolean {
  const last = Math.max(0, part.length - TEXT_STRETCH_BYTES);
  for (const from of [0, last >>> 1, last]) {
    const to = Math.min(part.length, from + TEXT_STRETCH_BYTES);
    for (let i = from; i < to; i++) {
      const byte = part[i] as number;
      if (byte < 0x20 && !isTextControl(byte)) return false;
    }
  }
  return true;
}

/** Tab to carriage return, and the escape of ISO 2022. */
function isTextControl(byte: number): boolean {
  return (byte >= 0x09 && byte <= 0x0d) || byte === 0x1b;
}
