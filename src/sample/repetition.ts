/**
 * How often what is delivered has been there before. Sizes of attachments differ so much that fixed chances would miss the
 * shares that are asked for: each one is corrected by what has come of it so far.
 */
import type { Letter } from "./letter.ts";
import type { RenderedMessage } from "./render.ts";
import type { Repeated, SampleParameters } from "./sample-server.ts";

/** What a message file is, compared with those before. `linked`: none of its own, only a name. */
export type FileOrigin = "new" | "copy" | "whole" | "linked";

export interface Chances {
  /** Each of a message that somebody gets. */
  readonly linked: number;
  readonly whole: number;
  readonly copy: number;
  /** Of a document in a new letter. */
  readonly document: number;
}

/** Of all messages, those that somebody gets: the others lie in Sent and Drafts, and are new. */
const RECEIVED_SHARE = 0.8;
const GAIN = 3;
const FACTOR_LEAST = 0.2;
const FACTOR_MOST = 3;
const CHANCE_MOST = 0.4;

export function chancesOf(parameters: SampleParameters, repeated: Repeated): Chances {
  const { repetition, wholeFileShare, copyShare, linkedShare, attachmentShare } = parameters;
  const corrected = (share: number, got: number, plain: number) => {
    if (share === 0) return 0;
    const missing = repeated.total === 0 ? 0 : 1 - got / repeated.total / share;
    const factor = Math.min(FACTOR_MOST, Math.max(FACTOR_LEAST, 1 + GAIN * missing));
    return Math.min(CHANCE_MOST, plain * factor);
  };
  const whole = repetition * wholeFileShare;
  const copy = repetition * copyShare;
  const other = repetition - whole - copy;
  const newDocuments = (1 - whole - copy) * attachmentShare;
  return {
    linked: ((linkedShare / (1 - linkedShare)) * (whole + copy)) / RECEIVED_SHARE,
    whole: corrected(whole, repeated.wholeFile, whole / RECEIVED_SHARE),
    copy: corrected(copy, repeated.copy, copy / RECEIVED_SHARE),
    document: newDocuments === 0 ? 0 : corrected(other, repeated.other, other / newDocuments),
  };
}

/** Keeps count. `circulating`: numbers of documents below 0 that have occurred. */
export class RepetitionCounter {
  readonly #repeated: Repeated;
  readonly #circulating: number[];
  readonly #known: Set<number>;

  constructor(repeated: Repeated, circulating: number[]) {
    this.#repeated = repeated;
    this.#circulating = circulating;
    this.#known = new Set(circulating);
  }

  /** @param freshDocuments - numbers from this one on occur for the first time in a new letter. */
  add(letter: Letter, rendered: RenderedMessage, origin: FileOrigin, freshDocuments: number): void {
    if (origin === "linked") return;
    const repeated = this.#repeated;
    const numbers = [...letter.documents, ...letter.pictures];
    let known = 0;
    let fresh = 0;
    for (const [index, number] of numbers.entries()) {
      const bytes = rendered.documentBytes[index] ?? 0;
      const isKnown = origin !== "new" || (number < 0 ? this.#known.has(number) : number < freshDocuments);
      if (isKnown) known += bytes;
      else fresh += bytes;
      if (number < 0 && !this.#known.has(number)) {
        this.#known.add(number);
        this.#circulating.push(number);
      }
    }
    // A newsletter names its reader.
    const isTextKnown = origin === "whole" || (origin === "copy" && letter.kind !== "newsletter");
    if (isTextKnown) known += rendered.textBytes;
    else fresh += rendered.textBytes;
    repeated.total += known + fresh;
    if (origin === "whole") repeated.wholeFile += known;
    else if (origin === "copy") repeated.copy += known;
    else repeated.other += known;
  }
}
