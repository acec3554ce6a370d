/** Splits a message that should not be held in memory. */
import { type ReadAt, windowedSource } from "./byte-source.ts";
import { walkMessage } from "./mime-walk.ts";
import { PieceBuilder } from "./piece-builder.ts";
import type { SplitMessage } from "./split.ts";
import { DEFAULT_SPLIT_PARAMETERS, type SplitParameters } from "./split-parameters.ts";

/**
 * Gives the same head, tail and parts as `splitMessage`. Takes about 10 MiB beside what `read` takes, and
 * reads every byte a few times, in stretches of at most 1 MiB, mostly forward.
 *
 * @param read - gives exactly the bytes asked for, which must hold until its next call.
 * @param emitPart - is called with each part in order; the bytes hold during the call only.
 */
export function splitLargeMessage(
  read: ReadAt,
  size: number,
  emitPart: (bytes: Uint8Array) => void,
  parameters: SplitParameters = DEFAULT_SPLIT_PARAMETERS,
): Omit<SplitMessage, "parts"> {
  const source = windowedSource(read, size);
  const builder = new PieceBuilder(source, parameters, true, emitPart);
  walkMessage(source, builder);
  return builder.finish();
}
