/** Which blocks a part goes into. */
import { looksCompressible } from "./codec.ts";
import type { BlockLane } from "./pack-types.ts";

/** Smaller parts share a block with their like anyway. */
const DENSE_BYTES_MIN = 16 * 1024;
const DENSE_SAMPLE_BYTES = 16 * 1024;

/** Attachments that are compressed already (images, archives, PDF) keep the others from shrinking fast. */
export function laneOfPart(part: Uint8Array): BlockLane {
  return part.length >= DENSE_BYTES_MIN && !looksCompressible(part, DENSE_SAMPLE_BYTES) ? "dense" : "part";
}
