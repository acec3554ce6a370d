/**
 * FastCDC with normalised chunking: cuts where the content says so, so that an insertion moves only the cuts
 * around it.
 *
 * A 32-bit hash rolls over the bytes: h = 2h + gear[byte] mod 2^32, so it depends on the last 32 bytes alone.
 * With b = log2(bytesAvg), a chunk ends after the first byte at which it is at least `bytesMin` long and the
 * top b+2 bits of h are zero; once it is `bytesAvg` long, the top b−2 bits suffice; at `bytesMax` it ends anyway.
 *
 * gear[0…255]: HMAC-SHA-256 under the 32-byte seed of "cyrvault fastcdc gear" and one byte k, for k = 0…31, put
 * one after the other and read as 256 big-endian 32-bit integers. The seed is zero by
 * default. Lengths of chunks with a known gear table tell which well-known file was stored, to whoever sees them:
 * that takes an opened pack directory (docs/security.md).
 */
import { createHmac } from "node:crypto";
import { assert } from "../base/errors.ts";

export interface CutSizes {
  /** At least 64. */
  readonly bytesMin: number;
  /** A power of two, between the others. */
  readonly bytesAvg: number;
  readonly bytesMax: number;
}

export const ATTACHMENT_CUTS: CutSizes = {
  bytesMin: 256 * 1024,
  bytesAvg: 1024 * 1024,
  bytesMax: 4096 * 1024,
};
export const SMALL_FILE_CUTS: CutSizes = { bytesMin: 8 * 1024, bytesAvg: 32 * 1024, bytesMax: 128 * 1024 };

export const SEED_BYTES = 32;
const GEAR_LABEL = "cyrvault fastcdc gear";
/** Bytes that the hash depends on. */
const WINDOW_BYTES = 32;
const NORMALISATION = 2;

export class FastCdc {
  readonly sizes: CutSizes;
  readonly #gear: Int32Array;
  readonly #strict: number;
  readonly #lenient: number;

  constructor(sizes: CutSizes, seed: Uint8Array = new Uint8Array(SEED_BYTES)) {
    const bits = Math.log2(sizes.bytesAvg);
    assert(
      Number.isInteger(bits) && bits >= 6 && bits <= 28 && sizes.bytesMin >= 64,
      "the average of a cut is no power of two, or the minimum too small",
    );
    assert(sizes.bytesMin < sizes.bytesAvg && sizes.bytesAvg < sizes.bytesMax, "cut sizes are in no order");
    this.sizes = sizes;
    this.#gear = deriveGear(seed);
    this.#strict = -1 << (32 - bits - NORMALISATION);
    this.#lenient = -1 << (32 - bits + NORMALISATION);
  }

  /**
   * Where the chunk that begins at `start` ends, seen up to `end`.
   * @param scanned - no cut at or before this offset, as an earlier call with fewer bytes found; else `start`.
   * @returns the offset after its last byte, or −1 when it does not end in what is there.
   */
  findCut(bytes: Uint8Array, start: number, scanned: number, end: number): number {
    const first = Math.max(start + this.sizes.bytesMin, scanned + 1);
    const last = Math.min(end, start + this.sizes.bytesMax);
    if (first <= last) {
      const middle = Math.min(Math.max(start + this.sizes.bytesAvg, first), last + 1);
      const early = findZeroBits(bytes, first, middle, this.#strict, this.#gear);
      if (early >= 0) return early;
      const late = findZeroBits(bytes, middle, last + 1, this.#lenient, this.#gear);
      if (late >= 0) return late;
    }
    return end - start >= this.sizes.bytesMax ? start + this.sizes.bytesMax : -1;
  }
}

/** The first cut offset in [from, to) whose hash, that of the bytes before it, has all bits of `mask` zero; or −1. */
function findZeroBits(bytes: Uint8Array, from: number, to: number, mask: number, gear: Int32Array): number {
  if (from >= to) return -1;
  let hash = 0;
  for (let index = from - WINDOW_BYTES; index < from - 1; index++) {
    hash = ((hash << 1) + (gear[bytes[index] as number] as number)) | 0;
  }
  for (let cut = from; cut < to; cut++) {
    hash = ((hash << 1) + (gear[bytes[cut - 1] as number] as number)) | 0;
    if ((hash & mask) === 0) return cut;
  }
  return -1;
}

function deriveGear(seed: Uint8Array): Int32Array {
  assert(seed.length === SEED_BYTES, `the seed of a gear table has ${SEED_BYTES} bytes`);
  const gear = new Int32Array(256);
  for (let block = 0; block < 32; block++) {
    const digest = createHmac("sha256", seed).update(GEAR_LABEL).update(Uint8Array.of(block)).digest();
    for (let word = 0; word < 8; word++) gear[block * 8 + word] = digest.readInt32BE(word * 4);
  }
  return gear;
}
