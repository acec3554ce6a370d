/**
 * What is written and to whom, apart from any copy of it. A letter is a handful of numbers: its text follows from
 * its seed, so that thousands of them can be remembered and copied into other mailboxes later.
 */
import {
  CORPORATE_SHARE,
  HTML_SHARE,
  KIND_SHARES,
  LOGO_SHARE,
  PICTURES_SHARE,
  TEXT_BYTES,
} from "./calibration.ts";
import { corporateDocument, issuePictures, logoOf } from "./circulating.ts";
import type { Random } from "./random.ts";

export type LetterKind = "letter" | "reply" | "forward" | "newsletter";

export interface Letter {
  /** Unique on the server; also what its text follows from. */
  readonly number: number;
  readonly kind: LetterKind;
  /** When its author sent it, seconds since 1970. */
  readonly sentAt: number;
  /** A user's number where `fromUser`, else a correspondent's; for a newsletter the publisher's. */
  readonly from: number;
  readonly fromUser: boolean;
  /** Numbers of users. */
  readonly to: readonly number[];
  readonly cc: readonly number[];
  readonly documents: readonly number[];
  /** Shown by the HTML text: logos, and what a newsletter brings along. */
  readonly pictures: readonly number[];
  /** What it answers or passes on; its own `parent` is cut off after a few. */
  readonly parent: Letter | undefined;
  readonly html: boolean;
  readonly textCharacters: number;
  /** For a newsletter: which issue, the same text for all its readers. */
  readonly issue: number;
}

export interface LetterRules {
  readonly userCount: number;
  /** Makes every text so many times as long. */
  readonly textScale: number;
  /** Letters with at least one document. */
  readonly documentChance: number;
  /** Whether documents are passed on, and letters bring pictures along that others have too. */
  readonly repeats: boolean;
}

const PARENTS_MAX = 3;
const RECENT_DOCUMENTS = 400;
const PUBLISHERS = 40;
const ISSUE_DAYS = 7;
const NEWSLETTER_CHARACTERS = 6000;
const DAY_SECONDS = 86_400;

/** Writes letters one after the other. Remembers which documents circulate, nothing else. */
export class LetterWriter {
  /** How often a document is one that has circulated already, not a new one. */
  repeatedDocumentChance = 0;
  readonly #random: Random;
  readonly #rules: LetterRules;
  readonly #recentDocuments: number[];
  #nextLetter: number;
  #nextDocument: number;

  constructor(random: Random, rules: LetterRules, next = { letter: 1, document: 1 }) {
    this.#random = random;
    this.#rules = rules;
    this.#nextLetter = next.letter;
    this.#nextDocument = next.document;
    const known = Math.min(RECENT_DOCUMENTS, next.document - 1);
    this.#recentDocuments = Array.from({ length: known }, (_, i) => next.document - known + i);
  }

  /** The numbers that the next letter and document will have: where another writer can go on. */
  get next(): { readonly letter: number; readonly document: number } {
    return { letter: this.#nextLetter, document: this.#nextDocument };
  }

  /**
   * @param user - the one in whose mailbox it will lie.
   * @param sentBy - whether that user is the author.
   * @param parent - a letter that this one may answer or pass on.
   */
  write(user: number, sentBy: boolean, sentAt: number, parent: Letter | undefined): Letter {
    const random = this.#random;
    const kind = this.#kind(sentBy, parent);
    const related = kind === "reply" || kind === "forward" ? parent : undefined;
    const passedOn = this.#rules.repeats && related !== undefined ? related.documents : [];
    const documents = kind === "forward" ? passedOn : this.#documents(kind);
    const fromUser = sentBy || (kind !== "newsletter" && random.chance(0.4));
    const others = () => random.below(this.#rules.userCount);
    const from = sentBy
      ? user
      : fromUser
        ? others()
        : random.below(kind === "newsletter" ? PUBLISHERS : 5000);
    const html = kind === "newsletter" || random.chance(HTML_SHARE);
    const issue = Math.floor(sentAt / (ISSUE_DAYS * DAY_SECONDS));
    return {
      number: this.#nextLetter++,
      kind,
      sentAt,
      from,
      fromUser,
      to: sentBy ? [others()] : [user],
      cc:
        kind === "newsletter" ? [] : Array.from({ length: [0, 0, 0, 1, 2, 4][random.below(6)] ?? 0 }, others),
      documents,
      pictures: html && this.#rules.repeats ? this.#pictures(kind, from, fromUser, issue) : [],
      parent: related === undefined ? undefined : withParents(related, PARENTS_MAX),
      html,
      textCharacters: Math.round(this.#textCharacters(kind) * this.#rules.textScale),
      issue,
    };
  }

  /** A newsletter with pictures has them in every issue, a company its logo in every letter of those who use it. */
  #pictures(kind: LetterKind, from: number, fromUser: boolean, issue: number): number[] {
    if (kind === "newsletter") return from < PUBLISHERS * PICTURES_SHARE ? issuePictures(from, issue) : [];
    return (from * 7) % 100 < LOGO_SHARE * 100 ? [logoOf(from, fromUser)] : [];
  }

  #textCharacters(kind: LetterKind): number {
    if (kind === "newsletter") return NEWSLETTER_CHARACTERS;
    return Math.min(TEXT_BYTES.max, this.#random.logNormal(TEXT_BYTES.median, TEXT_BYTES.sigma));
  }

  #kind(sentBy: boolean, parent: Letter | undefined): LetterKind {
    const draw = this.#random.unit();
    if (!sentBy && draw < KIND_SHARES.newsletter) return "newsletter";
    if (parent === undefined || parent.kind === "newsletter") return "letter";
    if (draw > 1 - KIND_SHARES.reply) return "reply";
    return draw > 1 - KIND_SHARES.reply - KIND_SHARES.forward ? "forward" : "letter";
  }

  #documents(kind: LetterKind): number[] {
    const random = this.#random;
    if (kind === "newsletter" || !random.chance(this.#rules.documentChance)) return [];
    const count = random.chance(0.2) ? 2 : 1;
    return Array.from({ length: count }, () => this.#document());
  }

  #document(): number {
    const recent = this.#recentDocuments;
    if (recent.length > 0 && this.#random.chance(this.repeatedDocumentChance))
      return this.#random.chance(CORPORATE_SHARE)
        ? corporateDocument(this.#random)
        : this.#random.pick(recent);
    const number = this.#nextDocument++;
    if (recent.length < RECENT_DOCUMENTS) recent.push(number);
    else recent[number % RECENT_DOCUMENTS] = number;
    return number;
  }
}

function withParents(letter: Letter, depth: number): Letter {
  if (letter.parent === undefined) return letter;
  return { ...letter, parent: depth <= 1 ? undefined : withParents(letter.parent, depth - 1) };
}
