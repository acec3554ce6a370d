/** Which messages are asked for one by one. */
import type { Cyrvault } from "../tools/cyrvault.ts";
import type { Place } from "../tools/tool.ts";
import { prepare } from "./recorder.ts";

export interface ChosenMessage {
  readonly mailbox: string;
  readonly uid: number;
}

/** From mailboxes all over the latest backup, each from the middle of its mailbox. Fewer where there are fewer. */
export async function chooseMessages(
  cyrvault: Cyrvault,
  place: Place,
  count: number,
): Promise<readonly ChosenMessage[]> {
  const listed = lines(await prepare(cyrvault, [cyrvault.command(place, "ls", "latest")])) as ListedMailbox[];
  const filled = listed.filter(({ messages }) => messages > 0);
  const chosen: ChosenMessage[] = [];
  for (const { mailbox } of spread(filled, count)) {
    const command = cyrvault.command(place, "ls", "latest", mailbox);
    const messages = lines(await prepare(cyrvault, [command])) as ListedMessage[];
    const kept = messages.filter(({ expunged }) => !expunged);
    const middle = kept[kept.length >> 1];
    if (middle !== undefined) chosen.push({ mailbox, uid: middle.uid });
  }
  return chosen;
}

interface ListedMailbox {
  readonly mailbox: string;
  readonly messages: number;
}

interface ListedMessage {
  readonly uid: number;
  readonly expunged: boolean;
}

/** As many as `count`, evenly, the ends a half step away. */
export function spread<T>(things: readonly T[], count: number): T[] {
  const wanted = Math.min(count, things.length);
  return Array.from(
    { length: wanted },
    (_, index) => things[Math.floor(((index + 0.5) * things.length) / wanted)] as T,
  );
}

function lines(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
