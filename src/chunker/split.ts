/**
 * Splits a message into the form in which it is stored: what it can have in common with others becomes parts,
 * the rest is its own. `assembleMessage` makes the same bytes of it again, whatever they are.
 * Format and rules: docs/formats/message.md. Pure, synchronous, linear in the size of the message.
 */
import { memorySource } from "./byte-source.ts";
import { walkMessage } from "./mime-walk.ts";
import { PieceBuilder } from "./piece-builder.ts";
import { DEFAULT_SPLIT_PARAMETERS, type SplitParameters } from "./split-parameters.ts";

export interface SplitMessage {
  /** The piece list, then the mail's header. */
  readonly head: Uint8Array;
  /** The other stretches of its own: about 2 MiB at most. */
  readonly tail: Uint8Array;
  /** Plaintexts of `data` objects, in the order of the references; 1 byte to 4 MiB each. */
  readonly parts: readonly { readonly bytes: Uint8Array }[];
}

/**
 * What is given back may be views of `message`: they hold as long as it is not changed.
 * @param take - where decoded bodies come to lie: a buffer of at least so many bytes, which nobody else uses as long as
 *   the parts are needed.
 */
export function splitMessage(
  message: Uint8Array,
  parameters: SplitParameters = DEFAULT_SPLIT_PARAMETERS,
  take: (bytes: number) => Buffer = Buffer.allocUnsafe,
): SplitMessage {
  const parts: { bytes: Uint8Array }[] = [];
  const source = memorySource(message);
  const builder = new PieceBuilder(source, parameters, false, (bytes) => parts.push({ bytes }), take);
  walkMessage(source, builder);
  return { ...builder.finish(), parts };
}
