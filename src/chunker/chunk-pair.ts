/** A stretch of a file, and the two objects as which it is stored: what lasts, and what changes day by day. */
export interface ChunkPair {
  readonly bytes: Uint8Array;
  readonly lasting: Uint8Array;
  readonly changing: Uint8Array;
}

const VERBATIM = 0;

/** A stretch that is stored as it is. */
export function verbatimPair(bytes: Uint8Array): ChunkPair {
  return { bytes, lasting: Buffer.from(bytes), changing: Buffer.from([VERBATIM]) };
}
