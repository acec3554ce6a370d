/**
 * All mailboxes in the order of their names: what has not changed is taken over from the parent, the rest is
 * captured, several at once; entries come out in order.
 */
import type { MailboxEntry } from "../manifest/model.ts";
import { MailboxCapture, type MailboxCaptureContext } from "./capture-mailbox.ts";
import { type MailboxHistory, whyMailboxChanged } from "./mailbox-history.ts";
import type { PlacedTask } from "./mailbox-tasks.ts";

export interface ProcessedMailbox {
  readonly entry: MailboxEntry;
  readonly state: "new" | "changed" | "unchanged";
}

/** Small mailboxes are many: enough of them under way that the workers always have something. */
const UNDER_WAY = 12;

interface UnderWay {
  readonly capture: MailboxCapture | undefined;
  readonly result: Promise<ProcessedMailbox>;
  done?: ProcessedMailbox;
}

export class MailboxProcessor {
  readonly #history: MailboxHistory;
  readonly #context: MailboxCaptureContext;
  readonly #underWay: UnderWay[] = [];

  constructor(history: MailboxHistory, context: MailboxCaptureContext) {
    this.#history = history;
    this.#context = context;
  }

  async *process(tasks: Iterable<PlacedTask>): AsyncGenerator<ProcessedMailbox> {
    for (const task of tasks) {
      this.#begin(task, await this.#history.before(task));
      if (this.#underWay.length >= UNDER_WAY) yield await this.#next();
    }
    while (this.#underWay.length > 0) yield await this.#next();
  }

  /** Entries of what is under way, as far as it has come: the next run goes on from there. In order. */
  async partial(): Promise<MailboxEntry[]> {
    const entries: MailboxEntry[] = [];
    for (const { capture, done } of [...this.#underWay]) {
      const entry = done?.entry ?? (await capture?.partial());
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  #begin(task: PlacedTask, befores: readonly MailboxEntry[]): void {
    const same = this.#isSettled(task, befores[0])
      ? befores[0]
      : befores.find((before) => whyMailboxChanged(task, before, this.#context) === undefined);
    if (same !== undefined) {
      const done: ProcessedMailbox = { entry: takenOver(task, same), state: "unchanged" };
      this.#underWay.push({ capture: undefined, result: Promise.resolve(done), done });
      return;
    }
    const capture = new MailboxCapture(this.#context, task, fullest(befores));
    const state = befores.length === 0 ? "new" : "changed";
    const underWay: UnderWay = { capture, result: capture.run().then((entry) => ({ entry, state })) };
    // It may fail while an earlier one is awaited: the failure is met when its turn comes.
    underWay.result.then(
      (done) => {
        underWay.done = done;
      },
      () => {},
    );
    this.#underWay.push(underWay);
  }

  #isSettled({ place }: PlacedTask, before: MailboxEntry | undefined): boolean {
    const { directories } = place;
    return (
      before?.directories.length === directories.length &&
      before.directories.every(({ path }, at) => path === directories[at]?.path) &&
      this.#context.holder?.isSettled?.(directories.map(({ realPath }) => realPath)) === true
    );
  }

  async #next(): Promise<ProcessedMailbox> {
    const [first] = this.#underWay;
    const result = await (first as UnderWay).result;
    this.#underWay.shift();
    return result;
  }
}

/** What an interrupted run had of a mailbox can be less than the backup before it had: messages come in order. */
function fullest(befores: readonly MailboxEntry[]): MailboxEntry | undefined {
  return befores.reduce<MailboxEntry | undefined>(
    (best, entry) => (best === undefined || entry.messages > best.messages ? entry : best),
    undefined,
  );
}

/** The record as the parent has it, with what is always taken fresh from the mailbox list; itself where that is the same. */
function takenOver({ list, name, place }: PlacedTask, before: MailboxEntry): MailboxEntry {
  const { partition } = place;
  const listed = list !== undefined;
  const { uniqueid = before.uniqueid, mailboxType, acl } = list ?? before;
  const isSame =
    before.name === name &&
    before.partition === partition &&
    before.listed === listed &&
    before.uniqueid === uniqueid &&
    before.mailboxType === mailboxType &&
    before.acl === acl;
  return isSame ? before : { ...before, name, partition, listed, uniqueid, mailboxType, acl };
}
