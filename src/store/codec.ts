/**
 * Compression of blocks. The codec is a byte in the pack's directory: docs/formats/pack.md.
 * Pure and synchronous: what calls this runs in a worker thread.
 */
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateRawSync,
  inflateRawSync,
} from "node:zlib";
import { CyrvaultError } from "../base/errors.ts";

export type Compression = "fast" | "auto" | "max";

/** On disk: never renumber. */
export const CODEC = { none: 0, deflate: 1, brotli: 2, zstdReserved: 3 } as const;

const BROTLI_QUALITY: Readonly<Record<Compression, number>> = { fast: 1, auto: 4, max: 9 };

const SAMPLE_BYTES = 65_536;
const STRETCH_BYTES = 2048;
/** A sample that shrinks to no less than this share says that compression is not worth its time. */
const SAMPLE_RATIO = 0.97;
/** Below this no codec gains anything worth a call. */
const COMPRESS_BYTES_MIN = 64;

export interface Compressed {
  readonly codec: number;
  /** `codec` 0: the very bytes that were given, not a copy. */
  readonly bytes: Uint8Array;
}

/** @param compression - `none`: not tried. Bytes that would not shrink come back as they are, with codec 0. */
export function compress(raw: Uint8Array, compression: Compression | "none"): Compressed {
  if (compression !== "none" && raw.length >= COMPRESS_BYTES_MIN && looksCompressible(raw)) {
    const bytes = encodeWith(CODEC.brotli, raw, BROTLI_QUALITY[compression]);
    if (bytes.length < raw.length) return { codec: CODEC.brotli, bytes };
  }
  return { codec: CODEC.none, bytes: raw };
}

/** @param level - brotli's quality 0–11, deflate's level 0–9. */
export function encodeWith(codec: number, raw: Uint8Array, level: number): Uint8Array {
  switch (codec) {
    case CODEC.none:
      return raw;
    case CODEC.deflate:
      return deflateRawSync(raw, { level });
    case CODEC.brotli:
      return brotliCompressSync(raw, {
        chunkSize: Math.max(1024, raw.length),
        params: {
          [constants.BROTLI_PARAM_QUALITY]: level,
          [constants.BROTLI_PARAM_LGWIN]: windowBits(raw.length),
          [constants.BROTLI_PARAM_SIZE_HINT]: raw.length,
        },
      });
    default:
      throw new RangeError(`no codec ${codec}`);
  }
}

/**
 * @param rawBytes - what must come out, already bounded by the caller: never more memory is taken.
 * @returns codec 0: the very bytes given.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: not that codec's form, or another length.
 * @throws {CyrvaultError} `REPOSITORY_VERSION`: a codec that this version does not have.
 */
export function decompress(codec: number, stored: Uint8Array, rawBytes: number): Uint8Array {
  const raw = decode(codec, stored, rawBytes);
  if (raw.length !== rawBytes)
    throw new CyrvaultError("REPOSITORY_DAMAGED", "block: wrong length after decompression", {
      context: { expected: rawBytes, actual: raw.length },
    });
  return raw;
}

export function isKnownCodec(codec: number): boolean {
  return codec === CODEC.none || codec === CODEC.deflate || codec === CODEC.brotli;
}

function decode(codec: number, stored: Uint8Array, rawBytes: number): Uint8Array {
  if (codec === CODEC.none) return stored;
  if (!isKnownCodec(codec))
    throw new CyrvaultError("REPOSITORY_VERSION", `block: codec ${codec} is not known to this version`, {
      hint: "use the version of cyrvault that wrote it, or a newer one",
    });
  // One byte of room beyond the end saves zlib a second, empty round.
  const options = { maxOutputLength: Math.max(1, rawBytes), chunkSize: Math.max(64, rawBytes + 1) };
  try {
    return codec === CODEC.brotli ? brotliDecompressSync(stored, options) : inflateRawSync(stored, options);
  } catch (cause) {
    throw new CyrvaultError("REPOSITORY_DAMAGED", "block: cannot be decompressed", { cause });
  }
}

/** The window is at least as large as the data, as far as brotli goes (16 MiB). */
function windowBits(length: number): number {
  const needed = Math.ceil(Math.log2(length + 16));
  return Math.min(constants.BROTLI_MAX_WINDOW_BITS, Math.max(18, needed));
}

/** Stretches from all over the data: a block begins with mail headers, which say nothing about the images behind them. */
export function looksCompressible(raw: Uint8Array, sampleBytes: number = SAMPLE_BYTES): boolean {
  let sample = raw;
  if (raw.length > 2 * sampleBytes) {
    const stretches = Math.max(1, Math.round(sampleBytes / STRETCH_BYTES));
    const step = Math.floor((raw.length - STRETCH_BYTES) / Math.max(1, stretches - 1));
    sample = new Uint8Array(stretches * STRETCH_BYTES);
    for (let i = 0; i < stretches; i++)
      sample.set(raw.subarray(i * step, i * step + STRETCH_BYTES), i * STRETCH_BYTES);
  }
  return encodeWith(CODEC.brotli, sample, 1).length < sample.length * SAMPLE_RATIO;
}
