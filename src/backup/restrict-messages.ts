/** What comes between a message plan and its execution: messages that are not read this time, and why. */
import type { MessageDecision } from "./message-plan.ts";

export interface NotReached {
  messages: number;
  /** Of them: an earlier backup's copy of the same UID stands in. */
  kept: number;
}

/** Once the time is over nothing is read: what earlier backups hold is taken over, the rest is counted. */
export async function* untilLate(
  decisions: AsyncIterable<MessageDecision>,
  isLate: () => boolean,
  notReached: NotReached,
): AsyncGenerator<MessageDecision> {
  for await (const decision of decisions) {
    if (decision.action !== "read" || !isLate()) {
      yield decision;
      continue;
    }
    notReached.messages++;
    if (decision.before === undefined) continue;
    notReached.kept++;
    const { entry, size = 0 } = decision.before;
    // With a size of its own it is looked at again by the next backup.
    yield { action: "reuse", entry: { ...entry, size }, size };
  }
}

export function notReachedText({ messages, kept }: NotReached): string {
  const standIn = kept === 0 ? "" : `; for ${kept} of them an earlier backup's copy is kept`;
  return `${messages} messages were not read in the time given (--max-duration)${standIn}: the next backup reads them`;
}
