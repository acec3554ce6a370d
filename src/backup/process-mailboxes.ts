/**
 * All mailboxes in the order of their names: what has not changed is taken over from the parent, the rest is
 * captured, several at once; entries come out in order.
 */
import type { MailboxEntry } from "../manifest/model.ts";
import { captureMailbox, type MailboxCaptureContext } from "./capture-mailbox.ts";
import { type MailboxHistory, whyMailboxChanged } from "./mailbox-history.ts";
import type { PlacedTask } from "./mailbox-join.ts";

export interface ProcessedMailbox {
  readonly entry: MailboxEntry;
  readonly state: "new" | "changed" | "unchanged";
}

/** Small mailboxes are many: enough of them under way that the workers always have something. */
const UNDER_WAY = 12;

export async function* processMailboxes(
  tasks: readonly PlacedTask[],
  history: MailboxHistory,
  context: MailboxCaptureContext,
): AsyncGenerator<ProcessedMailbox> {
  const underWay: Promise<ProcessedMailbox>[] = [];
  for (const task of tasks) {
    const result = processOne(task, await history.before(task), context);
    // It may fail while an earlier one is awaited: the failure is met when its turn comes.
    result.catch(() => {});
    underWay.push(result);
    while (underWay.length >= UNDER_WAY) yield (await underWay.shift()) as ProcessedMailbox;
  }
  for (const result of underWay) yield await result;
}

async function processOne(
  task: PlacedTask,
  befores: readonly MailboxEntry[],
  context: MailboxCaptureContext,
): Promise<ProcessedMailbox> {
  for (const before of befores) {
    if (whyMailboxChanged(task, before, context) !== undefined) continue;
    return { entry: takenOver(task, before), state: "unchanged" };
  }
  const entry = await captureMailbox(context, task, befores[0]);
  return { entry, state: befores.length === 0 ? "new" : "changed" };
}

/** The record as the parent has it, with what is always taken fresh from the mailbox list. */
function takenOver({ list, name, place }: PlacedTask, before: MailboxEntry): MailboxEntry {
  const { partition } = place;
  if (list === undefined) return { ...before, name, partition, listed: false };
  const { uniqueid = before.uniqueid, mailboxType, acl } = list;
  return { ...before, name, partition, listed: true, uniqueid, mailboxType, acl };
}
