/** What a restore or an export has done so far and what did not go as it should: counted, shown as progress, named. */
import type { ByteString } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import type { Amount, Progress } from "../base/progress.ts";
import { isLost } from "../manifest/sound-pages.ts";
import { hasSetId } from "./attributes.ts";
import { RestoreFindings } from "./findings.ts";
import type { LinkTable } from "./link-table.ts";
import type { RestoreResult } from "./options.ts";
import type { WriteOutcome } from "./write-file.ts";

const PHASES = { restored: "restoring", exported: "exporting" } as const;

type Summary = Pick<
  RestoreResult,
  "mailboxes" | "messages" | "files" | "bytes" | "findings" | "findingsTotal" | "incomplete" | "seconds"
>;

export class RestoreAccount {
  readonly findings = new RestoreFindings();
  readonly #clock: Clock;
  readonly #progress: Progress;
  readonly #verb: keyof typeof PHASES;
  readonly #beganMs: number;
  readonly #done = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };

  readonly #outcomes = { written: 0, replaced: 0, same: 0, kept: 0 };

  /** @param verb - what becomes of a file. */
  constructor(
    verb: keyof typeof PHASES,
    expected: Amount,
    { clock, progress }: { readonly clock: Clock; readonly progress: Progress },
  ) {
    this.#clock = clock;
    this.#progress = progress;
    this.#verb = verb;
    this.#beganMs = clock.monotonicMs();
    progress.beginPhase(PHASES[verb], this.#beganMs, expected, "files");
  }

  count(what: "messages" | "files", bytes: number): void {
    this.#done[what]++;
    this.#done.bytes += bytes;
    this.#progress.add({ items: 1, bytes }, this.#clock.monotonicMs());
  }

  /** Of its messages and files each is counted by itself. */
  countMailbox(): void {
    this.#done.mailboxes++;
  }

  /** One that was expected and is not among what is done. */
  passOver(): void {
    this.#progress.add({ items: 1 }, this.#clock.monotonicMs());
  }

  /** What there is to say of a message or a file that is in its place. @param mode - as on the server. */
  noteWritten(serverPath: ByteString, outcome: WriteOutcome, mode: number): void {
    this.noteOutcome(serverPath, outcome);
    if (hasSetId(mode)) this.findings.addSetIdDropped(serverPath);
  }

  noteOutcome(serverPath: ByteString, outcome: WriteOutcome): void {
    this.#outcomes[outcome.became]++;
    this.findings.addOutcome(serverPath, outcome);
  }

  noteGoodCopy(serverPath: ByteString): void {
    const message = `the file was damaged when it was backed up: the good copy of an earlier backup is ${this.#verb}`;
    this.findings.add("good-copy", "warning", serverPath, message);
  }

  noteForgottenLinks({ full }: LinkTable): void {
    const message = "there are more hard links than can be remembered: some are files of their own";
    if (full) this.findings.add("not-linked", "note", "/" as ByteString, message);
  }

  /**
   * What is damaged in the repository is named and left out; the rest comes back.
   * @returns undefined: it is damaged.
   */
  async guarded<T>(serverPath: ByteString, write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await write();
    } catch (error) {
      if (!isLost(error)) throw error;
      this.findings.add("object-damaged", "error", serverPath, `not ${this.#verb}: ${error.message}`);
      return undefined;
    }
  }

  get outcomes(): RestoreResult["outcomes"] {
    return { ...this.#outcomes };
  }

  get summary(): Summary {
    return {
      ...this.#done,
      findings: this.findings.shown,
      findingsTotal: this.findings.total,
      incomplete: this.findings.incomplete,
      seconds: (this.#clock.monotonicMs() - this.#beganMs) / 1000,
    };
  }
}
