/** One more day on a sample server: mail comes in, is read, copied and thrown away; folders are renamed and deleted. */
import { readFileSync } from "node:fs";
import { fromText } from "../base/byte-string.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../cyrus/annotations.ts";
import {
  FLAG_DELETED,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_ARCHIVED,
  INTERNAL_EXPUNGED,
  INTERNAL_UNLINKED,
} from "../cyrus/flags.ts";
import type { IndexRecord } from "../cyrus/index-reader.ts";
import { readTwoskip } from "../cyrus/twoskip.ts";
import { Deliverer, type Span } from "./deliver.ts";
import { sizeOf } from "./disk.ts";
import type { SampleMailbox } from "./mailbox.ts";
import { MailboxFiles } from "./mailbox-files.ts";
import type { MessageComment } from "./message-comments.ts";
import { Random } from "./random.ts";
import type { SampleServer } from "./sample-server.ts";
import { mailboxesByOwner, writeUserFiles } from "./user-files.ts";

export interface DayParameters {
  /** From 1; the server's last day plus 1. */
  readonly day: number;
  /** Of all mailboxes: how many get mail and changes. */
  readonly share: number;
}

export interface DayCounts {
  mailboxesTouched: number;
  delivered: number;
  flagged: number;
  expunged: number;
  copied: number;
  /** Mailboxes whose expunged messages were cleaned up: files and records gone, generation one more. */
  repacked: number;
  /** Mailboxes whose expunged messages lost their files, not yet their records. */
  unlinked: number;
  renamed: number;
  deleted: number;
}

const NEW_MAIL_SHARE = 0.01;
const NEW_MAIL_MAX = 40;
const RECENT_RECORDS = 60;
const REPACK_CHANCE = 0.15;
const UNLINK_CHANCE = 0.1;
const COPY_CHANCE = 0.1;
const DAY_SECONDS = 86_400;

/** Every other mailbox's files stay untouched. The server's state is saved at the end. */
export function advanceServer(server: SampleServer, { day, share }: DayParameters): DayCounts {
  if (day !== server.state.day + 1)
    throw new RangeError(`the next day is ${server.state.day + 1}, not ${day}`);
  if (!(share > 0 && share <= 1)) throw new RangeError("a share is above 0 and at most 1");
  server.state.day = day;
  const counts = new ServerDay(server, new Random(server.state.parameters.seed, 0xda7, day)).run(share);
  server.writeDatabases();
  server.save();
  return counts;
}

class ServerDay {
  readonly #server: SampleServer;
  readonly #random: Random;
  readonly #deliverer: Deliverer;
  readonly #span: Span;
  readonly #counts: DayCounts = {
    mailboxesTouched: 0,
    delivered: 0,
    flagged: 0,
    expunged: 0,
    copied: 0,
    repacked: 0,
    unlinked: 0,
    renamed: 0,
    deleted: 0,
  };

  constructor(server: SampleServer, random: Random) {
    this.#server = server;
    this.#random = random;
    this.#deliverer = new Deliverer(server, random);
    this.#span = { from: server.now - DAY_SECONDS, until: server.now };
  }

  run(share: number): DayCounts {
    const { mailboxes, users } = this.#server.state;
    const touched = this.#choose(share);
    const byOwner = mailboxesByOwner(mailboxes);
    const leaves = touched.filter(
      (mailbox) => mailbox.role === "folder" && !this.#hasChildren(mailbox, byOwner),
    );
    const [renamed, deleted] = [leaves[0], leaves[1]];
    for (const mailbox of touched) {
      const files = this.#open(mailbox);
      this.#change(files, byOwner.get(mailbox.owner) ?? []);
      if (mailbox === renamed) this.#rename(files);
      else if (mailbox === deleted) this.#delete(files);
      else files.commit(this.#server.highestModseq(mailbox));
    }
    const owners = new Set(touched.map(({ owner }) => owner));
    const remaining = mailboxesByOwner(mailboxes);
    for (const user of users) {
      if (!owners.has(user.number)) continue;
      writeUserFiles(this.#server, user, remaining.get(user.number) ?? [], remaining.get(undefined) ?? []);
    }
    return this.#counts;
  }

  /** At least one. INBOXes first among equals: they come three times as often. */
  #choose(share: number): SampleMailbox[] {
    const alive = this.#server.state.mailboxes.filter(({ role }) => role !== "deleted");
    const wanted = Math.max(1, Math.round(alive.length * share));
    const drawn = alive.map((mailbox) => ({
      mailbox,
      draw: this.#random.unit() / (mailbox.role === "inbox" ? 3 : 1),
    }));
    const limit = [...drawn].sort((a, b) => a.draw - b.draw)[wanted - 1]?.draw ?? 1;
    return drawn.filter(({ draw }) => draw <= limit).map(({ mailbox }) => mailbox);
  }

  #open(mailbox: SampleMailbox): MailboxFiles {
    const directories = this.#server.layout.mailboxDirectories(mailbox);
    const { headerForm } = this.#server.state.parameters;
    return MailboxFiles.open(mailbox, directories, readComments(directories.meta), headerForm);
  }

  #change(files: MailboxFiles, siblings: readonly SampleMailbox[]): void {
    const random = this.#random;
    this.#counts.mailboxesTouched++;
    const hasExpunged = files.records.some(isExpunged);
    if (hasExpunged && random.chance(REPACK_CHANCE)) {
      files.repack(this.#span.from);
      this.#counts.repacked++;
    } else if (hasExpunged && random.chance(UNLINK_CHANCE)) {
      files.unlinkExpunged();
      this.#counts.unlinked++;
    }
    const count =
      1 + Math.min(NEW_MAIL_MAX, random.below(1 + Math.ceil(files.records.length * NEW_MAIL_SHARE * 2)));
    this.#deliverer.deliver(files, count, this.#span, false);
    this.#counts.delivered += count;
    this.#changeFlags(files);
    if (random.chance(COPY_CHANCE)) this.#copy(files, siblings);
  }

  #changeFlags(files: MailboxFiles): void {
    const random = this.#random;
    const { records, mailbox } = files;
    for (let index = Math.max(0, records.length - RECENT_RECORDS); index < records.length; index++) {
      const { flagWord } = records[index] as IndexRecord;
      if ((flagWord & INTERNAL_EXPUNGED) !== 0) continue;
      const draw = random.unit();
      const now = this.#span.until - 1 - random.below(3600);
      const modseq = () => this.#server.nextModseq(mailbox);
      if (draw < 0.03) {
        files.expunge(index, modseq(), now);
        this.#counts.expunged++;
      } else if (draw < 0.1 && mailbox.owner !== undefined) {
        files.setFlags(index, flagWord ^ (draw < 0.05 ? FLAG_FLAGGED : FLAG_SEEN), modseq(), now);
        this.#counts.flagged++;
      } else if (draw < 0.11) {
        files.setFlags(index, flagWord | FLAG_DELETED, modseq(), now);
        this.#counts.flagged++;
      }
    }
  }

  /** From another folder of the same user. */
  #copy(files: MailboxFiles, siblings: readonly SampleMailbox[]): void {
    const from = siblings.filter((other) => other !== files.mailbox && other.exists > 0);
    if (from.length === 0) return;
    const source = this.#open(this.#random.pick(from));
    const live = source.records.filter(
      (record) => (record.flagWord & (INTERNAL_EXPUNGED | INTERNAL_UNLINKED)) === 0,
    );
    const record = live.at(-1);
    if (record === undefined || (record.flagWord & INTERNAL_ARCHIVED) !== 0) return;
    const modseq = this.#server.nextModseq(files.mailbox);
    files.copyFrom(source, record, files.lastUid + 1, modseq, this.#span.until - 1);
    this.#counts.copied++;
  }

  #rename(files: MailboxFiles): void {
    const { name } = files.mailbox;
    this.#server.rename(files, fromText(`${name}-${this.#server.state.day}`), this.#span.until - 2);
    this.#counts.renamed++;
  }

  #delete(files: MailboxFiles): void {
    this.#server.delete(files, this.#span.until - 2);
    this.#counts.deleted++;
  }

  #hasChildren(mailbox: SampleMailbox, byOwner: ReadonlyMap<number | undefined, SampleMailbox[]>): boolean {
    return (byOwner.get(mailbox.owner) ?? []).some(({ name }) => name.startsWith(`${mailbox.name}.`));
  }
}

function isExpunged({ flagWord }: IndexRecord): boolean {
  return (flagWord & INTERNAL_EXPUNGED) !== 0;
}

function readComments(metaDirectory: string): MessageComment[] {
  const path = `${metaDirectory}/cyrus.annotations`;
  if (sizeOf(path) === 0) return [];
  return [...readTwoskip(readFileSync(path)).records].map(({ key, value }) => ({
    uid: Number(parseAnnotationKey(key).subject),
    text: parseAnnotationValue(value).value.toString("latin1"),
  }));
}
