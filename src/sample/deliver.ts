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
import {
  ARCHIVE_AFTER_DAYS,
  EXPUNGED_SHARE,
  HTML_SHARE,
  KIND_SHARES,
  LOGO_BYTES,
  LOGO_SHARE,
  PICTURE_BYTES,
  PICTURES_SHARE,
  REMOVED_UID_SHARE,
} from "./calibration.ts";
import { DOCUMENT_BYTES_MEAN, DocumentPool } from "./documents.ts";
import { type Letter, LetterWriter } from "./letter.ts";
import type { MailboxFiles } from "./mailbox-files.ts";
import type { Random } from "./random.ts";
import { type Copy, type RenderedMessage, Renderer } from "./render.ts";
import { type Chances, chancesOf, type FileOrigin, RepetitionCounter } from "./repetition.ts";
import type { RecentLetter, SampleParameters, SampleServer } from "./sample-server.ts";

export interface Span {
  /** Seconds since 1970. */
  readonly from: number;
  readonly until: number;
}

interface PlannedMessage {
  readonly entry: RecentLetter;
  readonly copy: Copy;
  readonly origin: FileOrigin;
  /** The number of the first document that has not occurred before. */
  readonly freshDocuments: number;
}

const RECENT_LETTERS = 600;
const DAY_SECONDS = 86_400;
const BASE64_GROWTH = 78 / 57;
/** Headers and frame, and text and HTML of a generated letter, mean: measured on 20,000 of them. */
const LETTER_BYTES = { fixed: 1_350, scaled: 4_500 } as const;
const DOCUMENTS_PER_LETTER = 1.2;
/** Decoded bytes of pictures, of all letters. */
const PICTURES_MEAN =
  KIND_SHARES.newsletter * PICTURES_SHARE * (meanOf(LOGO_BYTES) + 2 * meanOf(PICTURE_BYTES)) +
  (1 - KIND_SHARES.newsletter) * HTML_SHARE * LOGO_SHARE * meanOf(LOGO_BYTES);
/** Every so many letters come to several users in one delivery. */
const SHARED_EVERY = 3;
const LOOKS_FOR_SHARED = 16;

export class Deliverer {
  readonly #server: SampleServer;
  readonly #random: Random;
  readonly #writer: LetterWriter;
  readonly #renderer: Renderer;
  readonly #counter: RepetitionCounter;

  constructor(server: SampleServer, random: Random) {
    const { parameters, next, repeated, circulating } = server.state;
    const { seed, users, documentScale, textScale } = parameters;
    this.#server = server;
    this.#random = random;
    this.#counter = new RepetitionCounter(repeated, circulating);
    this.#writer = new LetterWriter(
      random,
      {
        userCount: users,
        textScale,
        documentChance: documentChance(parameters),
        repeats: hasPictures(parameters),
      },
      next,
    );
    this.#renderer = new Renderer(seed, new DocumentPool(seed, documentScale));
  }

  /** @param count - messages; expunged ones and the UIDs of removed ones come on top where `history` is. */
  deliver(files: MailboxFiles, count: number, span: Span, history: boolean): void {
    const chances = chancesOf(this.#server.state.parameters, this.#server.state.repeated);
    this.#writer.repeatedDocumentChance = chances.document;
    const planned = Array.from({ length: count }, () => this.#plan(files, span, chances));
    planned.sort((a, b) => a.entry.letter.sentAt - b.entry.letter.sentAt);
    let uid = files.lastUid;
    for (const message of planned) {
      uid += history && this.#random.chance(REMOVED_UID_SHARE) ? 1 + this.#random.below(6) : 1;
      this.#append(files, uid, message, history);
    }
    this.#server.state.next = this.#writer.next;
  }

  #plan({ mailbox }: MailboxFiles, { from, until }: Span, chances: Chances): PlannedMessage {
    const random = this.#random;
    const { recent } = this.#server.state;
    const isSent = mailbox.role === "sent" || mailbox.role === "drafts";
    const user = mailbox.owner ?? random.below(this.#server.state.parameters.users);
    const freshDocuments = this.#writer.next.document;
    if (!isSent) {
      const origin = originOf(random.unit(), chances);
      const entry = origin === "new" ? undefined : this.#known(origin, mailbox.partition, until);
      if (entry !== undefined) {
        const copy: Copy = origin === "copy" ? this.#single(entry, user) : { kind: "shared" };
        return { entry, copy, origin, freshDocuments };
      }
    }
    const sentAt = from + random.below(until - from - 60);
    const parent = recent.length === 0 ? undefined : random.pick(recent).letter;
    const answers = parent !== undefined && parent.sentAt < sentAt ? parent : undefined;
    const letter = this.#writer.write(user, isSent, sentAt, answers);
    const entry: RecentLetter = { letter, shared: undefined, deliveries: 0 };
    if (recent.length < RECENT_LETTERS) recent.push(entry);
    else recent[letter.number % RECENT_LETTERS] = entry;
    const copy: Copy = isSent
      ? { kind: "sent" }
      : isForSeveral(letter)
        ? { kind: "shared" }
        : this.#single(entry, user);
    return { entry, copy, origin: "new", freshDocuments };
  }

  #single(entry: RecentLetter, user: number): Copy {
    return { kind: "single", user, delivery: entry.deliveries++ };
  }

  /** A letter of which there may be such a copy, if one is soon found. */
  #known(origin: FileOrigin, partition: string, until: number): RecentLetter | undefined {
    const { recent } = this.#server.state;
    for (let looks = Math.min(recent.length, LOOKS_FOR_SHARED); looks > 0; looks--) {
      const entry = this.#random.pick(recent);
      if (entry.letter.sentAt >= until) continue;
      if (origin === "copy") return entry;
      if (entry.shared !== undefined && (origin === "whole" || entry.shared.partition === partition))
        return entry;
    }
    return undefined;
  }

  #append(
    files: MailboxFiles,
    uid: number,
    { entry, copy, origin, freshDocuments }: PlannedMessage,
    history: boolean,
  ): void {
    const { mailbox } = files;
    const rendered = this.#renderer.render(entry.letter, copy);
    const flagWord = this.#flags(files, rendered, history);
    const archived = (flagWord & INTERNAL_ARCHIVED) !== 0;
    const isSeen = (flagWord & FLAG_SEEN) !== 0;
    const { partition } = mailbox;
    const isLinkable = entry.shared?.partition === partition && entry.shared.archived === archived;
    const linkFrom = origin === "linked" && isLinkable ? entry.shared?.path : undefined;
    const message = {
      uid,
      modseq: this.#server.nextModseq(mailbox),
      flagWord,
      userFlags: isSeen && this.#random.chance(0.2) ? [this.#random.below(mailbox.flagNames.length)] : [],
      savedAt: rendered.internalDate,
      updatedAt: rendered.internalDate + (isSeen ? 60 + this.#random.below(40_000) : 0),
    };
    const { path, linked } = files.append(rendered, message, linkFrom);
    const found = origin === "linked" && !linked ? "whole" : origin;
    this.#counter.add(entry.letter, rendered, found, freshDocuments);
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

function originOf(draw: number, { linked, whole, copy }: Chances): FileOrigin {
  if (draw < linked) return "linked";
  if (draw < linked + whole) return "whole";
  return draw < linked + whole + copy ? "copy" : "new";
}

function isForSeveral({ kind, number }: Letter): boolean {
  return kind !== "newsletter" && number % SHARED_EVERY === 0;
}

function hasPictures({ attachmentShare, repetition }: SampleParameters): boolean {
  return attachmentShare > 0 && repetition > 0;
}

/** How many letters that may have documents need some, so that these and pictures have their share of all bytes. */
function documentChance(parameters: SampleParameters): number {
  const { attachmentShare, documentScale, textScale } = parameters;
  const scale = documentScale * BASE64_GROWTH;
  const letter = LETTER_BYTES.fixed + LETTER_BYTES.scaled * textScale;
  const wanted = (attachmentShare / (1 - attachmentShare)) * letter;
  const pictures = hasPictures(parameters) ? PICTURES_MEAN * scale : 0;
  const documents = (1 - KIND_SHARES.newsletter) * DOCUMENTS_PER_LETTER * DOCUMENT_BYTES_MEAN * scale;
  return Math.min(1, Math.max(0, wanted - pictures) / documents);
}

/** Of sizes whose logarithms are equally frequent. */
function meanOf([least, most]: readonly [number, number]): number {
  return (most - least) / Math.log(most / least);
}
