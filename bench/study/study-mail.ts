/** Invented mail for the study: history is short and has no attachments, a day's mail is as on a real server. */
import { DocumentPool } from "../../src/sample/documents.ts";
import { type Letter, LetterWriter } from "../../src/sample/letter.ts";
import { Random } from "../../src/sample/random.ts";
import { Renderer } from "../../src/sample/render.ts";

export interface StudyMessage {
  readonly bytes: Buffer;
  readonly internalDate: number;
}

const SEED = 20_261_122;
const RECENT = 200;
/** Of a day's letters. With documents of 190 KB on average this makes 30 KB a message. */
const DOCUMENT_CHANCE = 0.1;
const REPEATED_DOCUMENT_CHANCE = 0.4;

export class StudyMail {
  readonly #random = new Random(SEED, 1);
  readonly #renderer = new Renderer(SEED, new DocumentPool(SEED, 1));
  readonly #history: LetterWriter;
  readonly #daily: LetterWriter;
  readonly #recent: Letter[] = [];

  constructor(userCount: number) {
    this.#history = new LetterWriter(this.#random, {
      userCount,
      textScale: 0.3,
      documentChance: 0,
      repeats: false,
    });
    this.#daily = new LetterWriter(
      this.#random,
      {
        userCount,
        textScale: 1,
        documentChance: DOCUMENT_CHANCE,
        repeats: true,
      },
      { letter: 10_000_000, document: 1 },
    );
    this.#daily.repeatedDocumentChance = REPEATED_DOCUMENT_CHANCE;
  }

  history(user: number, sentAt: number): StudyMessage {
    return this.#make(this.#history, user, sentAt, false);
  }

  daily(user: number, sentAt: number, sentBy = false): StudyMessage {
    return this.#make(this.#daily, user, sentAt, sentBy);
  }

  #make(writer: LetterWriter, user: number, sentAt: number, sentBy: boolean): StudyMessage {
    const parent = this.#recent.length === 0 ? undefined : this.#random.pick(this.#recent);
    const letter = writer.write(user, sentBy, sentAt, parent);
    if (this.#recent.length < RECENT) this.#recent.push(letter);
    else this.#recent[this.#random.below(RECENT)] = letter;
    const { bytes, internalDate } = this.#renderer.render(
      letter,
      sentBy ? { kind: "sent" } : { kind: "single", user, delivery: letter.number },
    );
    return { bytes, internalDate };
  }
}

/** As IMAP writes a date. */
export function imapDate(seconds: number): string {
  const [, weekday, day, month, year, time] =
    /^(\w+), (\d+) (\w+) (\d+) (\S+)/.exec(new Date(seconds * 1000).toUTCString()) ?? [];
  if (weekday === undefined) throw new RangeError(`no date: ${seconds}`);
  return `"${day}-${month}-${year} ${time} +0000"`;
}
