/** A message too large to be compared while it was cut is put together again, and verified, from the store. */
import { isCyrvaultError } from "../../base/errors.ts";
import type { ObjectReader } from "../../store/object-reader.ts";
import type { MessagePipeline } from "./pipeline.ts";

export async function verifyLarge(
  { largeMessages }: Pick<MessagePipeline, "largeMessages">,
  objects: Pick<ObjectReader, "stream">,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const id of largeMessages) {
    try {
      for await (const _ of objects.stream("message", id)) signal?.throwIfAborted();
    } catch (error) {
      // A part of it was stored by an earlier run, which a key that may only write cannot open.
      if (!isCyrvaultError(error, "KEY_WRITE_ONLY")) throw error;
    }
  }
}
