/**
 * The attachments that take most by being repeated. Which those are is known only at the end; so all from a size
 * on are followed, and where they become too many, those from twice that size.
 */
import type { MeasuredBody } from "./measure-message.ts";

export interface RepeatedAttachment {
  readonly name: string | undefined;
  readonly type: string;
  /** Decoded. */
  readonly bytes: number;
  /** Message files that hold it; copies and hard links count. */
  readonly times: number;
  readonly mailboxes: number;
}

interface Followed {
  readonly name: string | undefined;
  readonly type: string;
  readonly bytes: number;
  times: number;
  mailboxes: number;
  lastMailbox: number;
}

const ATTACHMENTS_MAX = 40_000;
const MESSAGES_MAX = 80_000;

export class LargestAttachments {
  readonly #followed = new Map<string, Followed>();
  /** Message → what it holds of those, to count it again with each copy of the message. */
  readonly #messages = new Map<string, readonly Followed[]>();
  #bytesMin: number;
  readonly #attachmentsMax: number;

  /** @param bytesMin - smaller attachments are not followed. */
  constructor(bytesMin: number, attachmentsMax: number = ATTACHMENTS_MAX) {
    this.#bytesMin = bytesMin;
    this.#attachmentsMax = attachmentsMax;
  }

  /** Attachments from this size on were followed. */
  get bytesMin(): number {
    return this.#bytesMin;
  }

  /** A message read for the first time. @param mailbox - a number, of the mailbox that it lies in. */
  first(message: Buffer, bodies: readonly MeasuredBody[], mailbox: number): void {
    const held = new Set<Followed>();
    for (const { kind, bytes, hash, header } of bodies) {
      if (kind !== "attachment" || bytes < this.#bytesMin) continue;
      const key = keyOf(hash);
      let followed = this.#followed.get(key);
      if (followed === undefined) {
        followed = { name: header.name, type: header.type, bytes, times: 0, mailboxes: 0, lastMailbox: -1 };
        this.#followed.set(key, followed);
      }
      held.add(followed);
    }
    if (held.size === 0) return;
    const list = [...held];
    this.#messages.set(keyOf(message), list);
    count(list, mailbox);
    if (this.#followed.size > this.#attachmentsMax || this.#messages.size > MESSAGES_MAX) this.#raise();
  }

  /** Another file of a message that was read before. */
  again(message: Buffer, mailbox: number): void {
    const held = this.#messages.get(keyOf(message));
    if (held !== undefined) count(held, mailbox);
  }

  /** Those that waste most first. */
  largest(limit: number): RepeatedAttachment[] {
    const waste = ({ bytes, times }: Followed) => bytes * (times - 1);
    return [...this.#followed.values()]
      .filter(({ times }) => times > 1)
      .sort((a, b) => waste(b) - waste(a) || b.bytes - a.bytes)
      .slice(0, limit)
      .map(({ name, type, bytes, times, mailboxes }) => ({ name, type, bytes, times, mailboxes }));
  }

  #raise(): void {
    this.#bytesMin *= 2;
    const stays = ({ bytes }: Followed) => bytes >= this.#bytesMin;
    for (const [key, followed] of this.#followed) if (!stays(followed)) this.#followed.delete(key);
    for (const [key, held] of this.#messages) {
      const left = held.filter(stays);
      if (left.length === 0) this.#messages.delete(key);
      else if (left.length < held.length) this.#messages.set(key, left);
    }
  }
}

function count(held: readonly Followed[], mailbox: number): void {
  for (const followed of held) {
    followed.times++;
    if (followed.lastMailbox !== mailbox) followed.mailboxes++;
    followed.lastMailbox = mailbox;
  }
}

/** 12 bytes do: it is about some ten thousand. */
function keyOf(hash: Buffer): string {
  return hash.toString("latin1", 0, 12);
}
