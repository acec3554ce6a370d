/** Where findings go while a backup runs: the log of the manifest fills in since when, and whether accepted. */
import type { ByteString } from "../base/byte-string.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";

export interface FindingSink {
  add(
    code: FindingCode,
    severity: Severity,
    path: ByteString,
    message: string,
    about?: { readonly mailbox?: ByteString; readonly uid?: number },
  ): { readonly accepted: boolean };
}

/** Keeps findings of a step that may have to be done again. Whether they are accepted is not known yet. */
export class BufferedFindings implements FindingSink {
  readonly #calls: Parameters<FindingSink["add"]>[] = [];

  add(...call: Parameters<FindingSink["add"]>): { readonly accepted: boolean } {
    this.#calls.push(call);
    return { accepted: false };
  }

  replayInto(sink: FindingSink): void {
    for (const call of this.#calls) sink.add(...call);
  }
}
