/** Puts mail into a mailbox: decides what each message is (new, a copy, a reply …), renders and appends it. */
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_DRAFT,
  FLAG_FLAGGED,
  FLAG_SEEN,
  INTERNAL_ARCHIVED,
  INTERNAL_EXPUNGED,
} from "../cyrus/flags.ts";
import { ARCHIVE_AFTER_DAYS, EXPUNGED_SHARE, REMOVED_UID_SHARE } from "./calibration.ts";
import { DOCUMENT_BYTES_MEAN, DocumentPool } from "./documents.ts";
import { type Letter, LetterWriter } from "./letter.ts";
import type { MailboxFiles } from "./mailbox-files.ts";
import type { Random } from "./random.ts";
import { type Copy, type RenderedMessage, Renderer } from "./render.ts";
import type { RecentLetter, SampleParameters, SampleServer } from "./sample-server.ts";

export interface Span {
  /** Seconds since 1970. */
  readonly from: number;
  readonly until: number;
}

interface PlannedMessage {
  readonly entry: RecentLetter;
  readonly copy: Copy;
}

const RECENT_LETTERS = 600;
const DAY_SECONDS = 86_400;
const BASE64_GROWTH = 78 / 57;
/** Headers and frame, and text and HTML of a generated letter, mean: measured on 20,000 of them. */
const LETTER_BYTES = { fixed: 1_350, scaled: 4_500 } as const;
const DOCUMENTS_PER_LETTER = 1.2;
/** Of the repetition, the larger part are copies of letters, the rest documents in other letters. */
const COPIES_OF_REPETITION = 0.7;

export class Deliverer {
  readonly #server: SampleServer;
  readonly #random: Random;
  readonly #writer: LetterWriter;
  readonly #renderer: Renderer;
  readonly #copyChance: number;

  constructor(server: SampleServer, random: Random) {
    const { parameters, next } = server.state;
    const { seed, repetition, users, documentScale, textScale } = parameters;
    this.#server = server;
    this.#random = random;
    this.#copyChance = repetition * COPIES_OF_REPETITION;
    this.#writer = new LetterWriter(
      random,
      {
        userCount: users,
        textScale,
        documentChance: documentChance(parameters),
        repeatedDocumentChance: (repetition - this.#copyChance) / (1 - this.#copyChance),
      },
      next,
    );
    this.#renderer = new Renderer(seed, new DocumentPool(seed, documentScale));
  }

  /** @param count - messages; expunged ones and the UIDs of removed ones come on top where `history` is. */
  deliver(files: MailboxFiles, count: number, span: Span, history: boolean): void {
    const planned = Array.from({ length: count }, () => this.#plan(files, span));
    planned.sort((a, b) => a.entry.letter.sentAt - b.entry.letter.sentAt);
    let uid = files.lastUid;
    for (const { entry, copy } of planned) {
      uid += history && this.#random.chance(REMOVED_UID_SHARE) ? 1 + this.#random.below(6) : 1;
      this.#append(files, uid, entry, copy, history);
    }
    this.#server.state.next = this.#writer.next;
  }

  #plan({ mailbox }: MailboxFiles, { from, until }: Span): PlannedMessage {
    const random = this.#random;
    const { recent } = this.#server.state;
    const isSent = mailbox.role === "sent" || mailbox.role === "drafts";
    const user = mailbox.owner ?? random.below(this.#server.state.parameters.users);
    if (!isSent && recent.length > 0 && random.chance(this.#copyChance)) {
      const entry = random.pick(recent);
      if (entry.letter.sentAt < until) return { entry, copy: this.#copyOf(entry.letter, user) };
    }
    const sentAt = from + random.below(until - from - 60);
    const parent = recent.length === 0 ? undefined : random.pick(recent).letter;
    const answers = parent !== undefined && parent.sentAt < sentAt ? parent : undefined;
    const letter = this.#writer.write(user, isSent, sentAt, answers);
    const entry: RecentLetter = { letter, shared: undefined };
    if (recent.length < RECENT_LETTERS) recent.push(entry);
    else recent[letter.number % RECENT_LETTERS] = entry;
    return { entry, copy: isSent ? { kind: "sent" } : this.#copyOf(letter, user) };
  }

  #copyOf(letter: Letter, user: number): Copy {
    const isShared = letter.kind !== "newsletter" && letter.number % 2 === 0;
    return isShared ? { kind: "shared" } : { kind: "single", user };
  }

  #append(files: MailboxFiles, uid: number, entry: RecentLetter, copy: Copy, history: boolean): void {
    const { mailbox } = files;
    const rendered = this.#renderer.render(entry.letter, copy);
    const flagWord = this.#flags(files, rendered, history);
    const archived = (flagWord & INTERNAL_ARCHIVED) !== 0;
    const isSeen = (flagWord & FLAG_SEEN) !== 0;
    const { partition } = mailbox;
    const same = copy.kind === "shared" ? entry.shared : undefined;
    const linkFrom = same?.partition === partition && same.archived === archived ? same.path : undefined;
    const message = {
      uid,
      modseq: this.#server.nextModseq(mailbox),
      flagWord,
      userFlags: isSeen && this.#random.chance(0.2) ? [this.#random.below(mailbox.flagNames.length)] : [],
      savedAt: rendered.internalDate,
      updatedAt: rendered.internalDate + (isSeen ? 60 + this.#random.below(40_000) : 0),
    };
    const path = files.append(rendered, message, linkFrom);
    if (copy.kind === "shared" && entry.shared === undefined) entry.shared = { path, partition, archived };
  }

  #flags(
    { mailbox, directories }: MailboxFiles,
    { internalDate }: RenderedMessage,
    history: boolean,
  ): number {
    const random = this.#random;
    const ageDays = (this.#server.now - internalDate) / DAY_SECONDS;
    let flags = mailbox.role === "drafts" ? FLAG_DRAFT : 0;
    if (mailbox.owner !== undefined && random.chance(ageDays < 2 ? 0.4 : 0.93)) {
      flags |= FLAG_SEEN;
      if (random.chance(0.15)) flags |= FLAG_ANSWERED;
    }
    if (random.chance(0.03)) flags |= FLAG_FLAGGED;
    if (history && random.chance(EXPUNGED_SHARE)) flags |= FLAG_DELETED | INTERNAL_EXPUNGED;
    if (history && directories.archive !== undefined && ageDays > ARCHIVE_AFTER_DAYS)
      flags |= INTERNAL_ARCHIVED;
    return flags >>> 0;
  }
}

/** How many letters need documents so that these have their share of all bytes. */
function documentChance({ attachmentShare, documentScale, textScale }: SampleParameters): number {
  const documents = DOCUMENTS_PER_LETTER * DOCUMENT_BYTES_MEAN * documentScale * BASE64_GROWTH;
  const letter = LETTER_BYTES.fixed + LETTER_BYTES.scaled * textScale;
  return Math.min(1, (attachmentShare / (1 - attachmentShare)) * (letter / documents));
}
