/**
 * The findings of one run: collected in any order and without bounds on their number, kept sorted (errors first,
 * then by code and path), each known again from the backup before.
 */
import type { ByteString } from "../base/byte-string.ts";
import { assert } from "../base/errors.ts";
import { AcceptRules } from "./accept-rules.ts";
import type { Finding, FindingCode, Severity } from "./finding.ts";
import { findingPages, findingSubject, severityPrefix } from "./finding-page.ts";
import { FindingSpill } from "./finding-spill.ts";
import type { ManifestRoot, PageTree } from "./model.ts";
import { PageTreeWriter } from "./page-tree.ts";
import type { PageSink, PageSource } from "./pages-io.ts";
import { readPageTree } from "./read-page-tree.ts";

/** note, warning and error count what nobody has accepted: the four add up to all findings. */
export type FindingCounts = ManifestRoot["counts"]["findings"];

export interface FindingLogOptions {
  /** What a finding that is new counts as seen since. */
  readonly nowMs: number;
  /** As in the manifest root: `CODE` or `CODE:PATH`. */
  readonly acceptRules?: Iterable<string>;
  /** A directory for temporary files; only touched when there are very many findings. */
  readonly temporary?: string;
  /** How many are held before some are put aside in a file. */
  readonly held?: number;
}

/** The parent's findings, to carry over since when each has been there. */
export interface EarlierFindings {
  readonly tree: PageTree;
  readonly source: PageSource;
}

export interface FindingSummary {
  readonly tree: PageTree;
  readonly counts: FindingCounts;
}

const HELD_DEFAULT = 20_000;
const MESSAGE_LENGTH_MAX = 2000;
const SEVERITIES: readonly Severity[] = ["error", "warning", "note"];

export class FindingLog {
  readonly #nowMs: number;
  readonly #rules: AcceptRules;
  readonly #held: number;
  readonly #spill: FindingSpill;
  #findings = new Map<ByteString, Finding>();
  #unacceptedErrors = 0;
  #finished = false;

  constructor(options: FindingLogOptions) {
    this.#nowMs = options.nowMs;
    this.#rules = new AcceptRules(options.acceptRules ?? []);
    this.#held = options.held ?? HELD_DEFAULT;
    this.#spill = new FindingSpill(options.temporary);
  }

  /** Whether the run is incomplete so far. */
  get hasUnacceptedErrors(): boolean {
    return this.#unacceptedErrors > 0;
  }

  /**
   * The same finding twice is one finding.
   *
   * @param path - as on the server. @param message - for people; beyond 2000 characters it is cut.
   * @returns the finding, without the time since when it is known: that comes with `finish`.
   */
  add(
    code: FindingCode,
    severity: Severity,
    path: ByteString,
    message: string,
    about: { readonly mailbox?: ByteString; readonly uid?: number } = {},
  ): Finding {
    assert(!this.#finished, "nothing is found after the end of a run");
    const finding: Finding = {
      code,
      severity,
      path,
      ...(about.mailbox === undefined ? {} : { mailbox: about.mailbox }),
      ...(about.uid === undefined ? {} : { uid: about.uid }),
      message: message.slice(0, MESSAGE_LENGTH_MAX),
      sinceMs: this.#nowMs,
      accepted: this.#rules.accepts({
        code,
        path,
        ...(about.mailbox === undefined ? {} : { mailbox: about.mailbox }),
      }),
    };
    const key = findingPages.key(finding);
    if (this.#findings.has(key)) return finding;
    this.#findings.set(key, finding);
    if (severity === "error" && !finding.accepted) this.#unacceptedErrors++;
    if (this.#findings.size >= this.#held) {
      this.#spill.write(this.#sorted());
      this.#findings = new Map();
    }
    return finding;
  }

  /** Writes all findings. Ends the log, also when it fails. */
  async finish(sink: PageSink, earlier?: EarlierFindings): Promise<FindingSummary> {
    assert(!this.#finished, "a finding log is finished once");
    this.#finished = true;
    const counts = { note: 0, warning: 0, error: 0, accepted: 0 };
    const writer = new PageTreeWriter(findingPages, sink);
    try {
      let known: KnownSince | undefined;
      for (const finding of this.#merged()) {
        if (earlier !== undefined && known?.severity !== finding.severity)
          known = new KnownSince(finding.severity, earlier);
        const sinceMs = Math.min(this.#nowMs, (await known?.find(finding)) ?? this.#nowMs);
        counts[finding.accepted ? "accepted" : finding.severity]++;
        await writer.add(sinceMs === finding.sinceMs ? finding : { ...finding, sinceMs });
      }
      return { tree: await writer.finish(), counts };
    } finally {
      this.#spill.discard();
    }
  }

  /** For a run that ends without a backup. */
  discard(): void {
    this.#finished = true;
    this.#findings.clear();
    this.#spill.discard();
  }

  #sorted(): Finding[] {
    return [...this.#findings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, finding]) => finding);
  }

  /** All findings in the order of their keys, each once. */
  *#merged(): Generator<Finding> {
    const inputs = [
      this.#sorted().values(),
      ...Array.from({ length: this.#spill.runs }, (_, run) => this.#spill.read(run)),
    ];
    try {
      const heads = inputs.map(nextOf);
      for (;;) {
        const least = heads.reduce((a, b) => (b !== undefined && (a === undefined || b.key < a.key) ? b : a));
        if (least === undefined) return;
        yield least.finding;
        for (const [i, input] of inputs.entries()) if (heads[i]?.key === least.key) heads[i] = nextOf(input);
      }
    } finally {
      for (const input of inputs) input.return?.(undefined);
    }
  }
}

interface Head {
  readonly key: ByteString;
  readonly finding: Finding;
}

function nextOf(input: Iterator<Finding>): Head | undefined {
  const next = input.next();
  return next.done ? undefined : { key: findingPages.key(next.value), finding: next.value };
}

/**
 * Walks along the parent's findings while findings of one severity come in order. One that has changed its
 * severity or its wording is still the same: so there is a walk for each severity it may have had.
 */
class KnownSince {
  readonly severity: Severity;
  readonly #walks: AsyncGenerator<Finding>[];
  #heads: (Finding | undefined)[] | undefined;

  constructor(severity: Severity, earlier: EarlierFindings) {
    this.severity = severity;
    this.#walks = SEVERITIES.map((was) => {
      const from = severityPrefix(was);
      return readPageTree(earlier.tree, earlier.source, findingPages, {
        from,
        to: `${from}\xff` as ByteString,
      });
    });
  }

  /** Since when the same code, path and UID has been known; undefined: it has not. */
  async find(finding: Finding): Promise<number | undefined> {
    this.#heads ??= await Promise.all(this.#walks.map(nextIn));
    const subject = findingSubject(finding);
    let since: number | undefined;
    for (const [i, walk] of this.#walks.entries()) {
      let head = this.#heads[i];
      while (head !== undefined && findingSubject(head) < subject) head = await nextIn(walk);
      this.#heads[i] = head;
      if (head !== undefined && findingSubject(head) === subject)
        since = Math.min(since ?? head.sinceMs, head.sinceMs);
    }
    return since;
  }
}

async function nextIn(walk: AsyncGenerator<Finding>): Promise<Finding | undefined> {
  const next = await walk.next();
  return next.done ? undefined : next.value;
}
