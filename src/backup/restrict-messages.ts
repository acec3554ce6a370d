/** What comes between a message plan and its execution: messages that are not read this time, and why. */
import type { FindingSink } from "./finding-sink.ts";
import type { LeftOutMessage, MessageDecision } from "./message-plan.ts";

export const LEFT_OUT_REASON = "messages left out (--exclude-larger, --exclude-older)";

type ReuseDecision = Extract<MessageDecision, { action: "reuse" }>;
type UnreadDecision = Exclude<MessageDecision, { action: "reuse" }>;

export interface LeftOutCount {
  files: number;
  bytes: number;
}

/** What the filter leaves out is counted, the rest goes on. */
export async function* withoutLeftOut(
  decisions: AsyncIterable<MessageDecision | LeftOutMessage>,
  leftOut: LeftOutCount,
): AsyncGenerator<MessageDecision> {
  for await (const decision of decisions) {
    if (decision.action !== "leave-out") yield decision;
    else {
      leftOut.files++;
      leftOut.bytes += decision.size;
    }
  }
}

export function leftOutText({ files, bytes }: LeftOutCount): string {
  return `${files} messages of ${bytes} bytes are left out by the filter`;
}

/** Tells `count` of what findings say was left out: those of today, and those that are taken over. */
export function countingLeftOut(findings: FindingSink, count: LeftOutCount): FindingSink {
  return {
    add(code, severity, path, message, about) {
      const more = code === "messages-left-out" ? parseLeftOutText(message) : undefined;
      count.files += more?.files ?? 0;
      count.bytes += more?.bytes ?? 0;
      return findings.add(code, severity, path, message, about);
    },
  };
}

/** @returns undefined: it is no text of `leftOutText`. */
function parseLeftOutText(text: string): LeftOutCount | undefined {
  const [, files, bytes] = /^(\d+) messages of (\d+) bytes are left out/.exec(text) ?? [];
  return files === undefined || bytes === undefined
    ? undefined
    : { files: Number(files), bytes: Number(bytes) };
}

export interface NotReached {
  messages: number;
  /** Of them: an earlier backup's copy of the same UID stands in. */
  kept: number;
}

/**
 * Once the time is over nothing is read: what earlier backups hold is taken over, the rest is counted. So is a message
 * whose file is not there: on a server that goes on again the index may be newer than the list of files.
 */
export async function* untilLate(
  decisions: AsyncIterable<MessageDecision>,
  isLate: () => boolean,
  notReached: NotReached,
): AsyncGenerator<MessageDecision> {
  for await (const decision of decisions) {
    const isOurs =
      decision.action === "read" || (decision.action === "missing" && decision.before === undefined);
    if (!isOurs || !isLate()) {
      yield decision;
      continue;
    }
    const standIn = standInFor(decision, notReached);
    if (standIn !== undefined) yield standIn;
  }
}

/** Counts a message that was not reached. @returns an earlier backup's copy of the same UID. */
export function standInFor(
  { before }: Pick<UnreadDecision, "before">,
  notReached: NotReached,
): ReuseDecision | undefined {
  notReached.messages++;
  if (before === undefined) return undefined;
  notReached.kept++;
  const { entry, size = 0 } = before;
  // With a size of its own it is looked at again by the next backup.
  return { action: "reuse", entry: { ...entry, size }, size };
}

export function notReachedText({ messages, kept }: NotReached): string {
  const standIn = kept === 0 ? "" : `; for ${kept} of them an earlier backup's copy is kept`;
  return `${messages} messages were not read in the time given (--max-duration, --max-downtime)${standIn}: the next backup reads them`;
}
