/**
 * Reads a spool and tells what a repository would make of it, without one: where everything lies → what the indexes
 * say → each different message once, as a backup would take it apart and pack it → what that comes to.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import type { CyrvaultError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { DEFAULT_SPLIT_PARAMETERS } from "../chunker/split-parameters.ts";
import { describeServer } from "../source/server.ts";
import { SourceView } from "../source/view.ts";
import { estimateWithIntervals } from "./estimate.ts";
import { MailboxIndex } from "./mailbox-index.ts";
import { ManifestMeter } from "./manifest-meter.ts";
import { measureMailboxRecords, SiteRecords } from "./measure-records.ts";
import type { AnalyzeOptions, AnalyzeResult } from "./options.ts";
import { type MailboxPlace, Places, placeName } from "./places.ts";
import { MessageReader } from "./read-messages.ts";
import { draw } from "./sampling.ts";
import { SeenSet } from "./seen-set.ts";
import { Tally } from "./tally.ts";

export interface AnalyzeContext {
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** A file or directory that cannot be read and does not count. */
  readonly onUnreadable?: (path: string, error: CyrvaultError) => void;
}

/** So long the caller's thread is kept at most: progress is drawn and interruptions are heard in between. */
const TURN_MS = 100;

/** @throws {CyrvaultError} `CONFIG_INVALID`, `SOURCE_INVALID`, `IO`, `INTERRUPTED`. */
export async function runAnalyze(options: AnalyzeOptions, context: AnalyzeContext): Promise<AnalyzeResult> {
  return await new Analysis(options, context).run();
}

class Analysis {
  readonly #options: AnalyzeOptions;
  readonly #context: AnalyzeContext;
  readonly #tally: Tally;
  readonly #meter: ManifestMeter;
  readonly #began: number;
  #turnMs = 0;

  constructor(options: AnalyzeOptions, context: AnalyzeContext) {
    this.#options = options;
    this.#context = context;
    this.#tally = new Tally(options.share, options.compression);
    this.#meter = new ManifestMeter(options.compression);
    this.#began = context.clock.monotonicMs();
  }

  async run(): Promise<AnalyzeResult> {
    const { root, mappings, config } = this.#options;
    const view = new SourceView(root, mappings);
    const { roots } = describeServer({ view, config, includes: [], withSearch: false });
    const onUnreadable = (path: ByteString, error: CyrvaultError): void => {
      this.#tally.unreadable++;
      this.#context.onUnreadable?.(toText(path), error);
    };
    await this.#readIndexes(new Places({ view, roots, onUnreadable: () => {} }));
    const { messages, bytes } = this.#tally.indexed;
    const { clock, progress } = this.#context;
    progress.beginPhase("messages", clock.monotonicMs(), { items: messages, bytes });
    const reader = new MessageReader(this.#tally, Math.ceil(messages * this.#options.share));
    let mailbox = 0;
    for (const place of new Places({ view, roots, onUnreadable }).all())
      await this.#readMailbox(place, ++mailbox, reader);
    await this.#meter.endMailboxes();
    const recordsBefore = this.#meter.totals.rawBytes;
    progress.beginPhase("other files", clock.monotonicMs());
    await new SiteRecords(this.#tally, this.#meter, () => this.#breathe(1, 0)).measure(roots);
    await this.#meter.finish();
    this.#tally.siteRecordBytes = this.#meter.totals.rawBytes - recordsBefore;
    this.#tally.texts.finish();
    for (const packs of Object.values(this.#tally.parts)) packs.finish();
    return this.#result(reader);
  }

  /** Of all messages, at the cost of reading what Cyrus itself knows of them. */
  async #readIndexes(places: Places): Promise<void> {
    const { clock, progress } = this.#context;
    const { indexed, share } = this.#tally;
    progress.beginPhase("indexes", clock.monotonicMs());
    const different = share < 1 ? new SeenSet() : undefined;
    for (const place of places.all()) {
      const index = MailboxIndex.read(place);
      indexed.mailboxes++;
      for (let position = 0; position < index.count; position++) {
        const { guid, size } = index.at(position);
        indexed.messages++;
        indexed.bytes += size;
        if (different === undefined || (guid !== undefined && !different.add(guid))) continue;
        indexed.differentMessages++;
        indexed.differentBytes += size;
      }
      await this.#breathe(1, 0);
    }
  }

  async #readMailbox(place: MailboxPlace, mailbox: number, reader: MessageReader): Promise<void> {
    const tally = this.#tally;
    const index = MailboxIndex.read(place);
    const hash = createHash("sha1").update(placeName(place)).digest();
    const { chosen: recorded, group } = draw(hash, tally.share);
    const recordsBefore = this.#meter.totals.rawBytes;
    const pages = this.#meter.messages();
    let messages = 0;
    let bytes = 0;
    let found = 0;
    for (const { uid, directory, realPath } of messageFiles(place)) {
      const entry = index.find(uid);
      if (entry !== undefined) found++;
      const path = joinPath(realPath, `${uid}.` as ByteString);
      const named = reader.read({ path, guid: entry?.guid, mailbox, recorded });
      if (recorded && named !== undefined) {
        const { object, stat } = named;
        const { mode, uid: uidOwner, gid: gidOwner, mtimeNs, inode } = stat;
        const linked = stat.links > 1;
        await pages.add({ uid, object, directory, mode, uidOwner, gidOwner, mtimeNs, inode, linked });
        messages++;
        bytes += stat.size;
      }
      await this.#breathe(1, entry?.size ?? named?.stat.size ?? 0);
    }
    tally.missing += index.count - found;
    const tree = await pages.finish();
    if (!recorded) return;
    const files = await measureMailboxRecords(place, this.#meter, tree, { messages, bytes });
    tally.recordedFiles.add(group, messages);
    tally.recordBytes.add(group, this.#meter.totals.rawBytes - recordsBefore);
    tally.otherFiles += files.files;
    tally.otherBytes += files.bytes;
  }

  async #breathe(items: number, bytes: number): Promise<void> {
    const { clock, progress, signal } = this.#context;
    const now = clock.monotonicMs();
    progress.add({ items, bytes }, now);
    if (now - this.#turnMs < TURN_MS) return;
    this.#turnMs = now;
    await turn();
    signal?.throwIfAborted();
  }

  #result(reader: MessageReader): AnalyzeResult {
    const tally = this.#tally;
    const { whole, steps, total } = estimateWithIntervals(tally, this.#meter.totals);
    const sampled = tally.share < 1;
    const { linked, differentMessages } = whole;
    const timesScale = sampled ? 1 / tally.share : 1;
    return {
      mailboxes: tally.indexed.mailboxes,
      messages: whole.messages,
      bytes: whole.bytes,
      sample: sampled
        ? { share: tally.share, messages: tally.messages.total(), bytes: tally.messageBytes.total() }
        : null,
      hardLinks: rounded(linked),
      copies: rounded({
        count: whole.messages - linked.count - differentMessages.count,
        bytes: whole.bytes - linked.bytes - differentMessages.bytes,
      }),
      differentMessages: rounded(differentMessages),
      attachments: {
        bytesMin: DEFAULT_SPLIT_PARAMETERS.partBytesMin,
        all: rounded(whole.attachments),
        different: rounded(whole.differentAttachments),
      },
      steps: steps.map((step) => ({
        ...step,
        bytes: Math.round(step.bytes),
        saved: Math.round(step.saved),
        interval: roundedInterval(step.interval),
      })),
      largest: {
        bytesMin: reader.largest.bytesMin,
        attachments: reader.largest.largest(this.#options.largest).map(({ times, mailboxes, ...rest }) => ({
          ...rest,
          times: Math.round(times * timesScale),
          mailboxes: sampled
            ? Math.min(tally.indexed.mailboxes, Math.round(mailboxes * timesScale))
            : mailboxes,
        })),
      },
      otherFiles: { count: tally.otherFiles, bytes: tally.otherBytes },
      repository: {
        messages: Math.round(whole.left.at(-1) as number),
        records: Math.round(whole.records),
        bookkeeping: Math.round(whole.bookkeeping),
        total: Math.round(whole.total),
        interval: roundedInterval(total),
      },
      problems: {
        missing: tally.missing,
        withoutGuid: tally.withoutGuid,
        guidMismatch: tally.guidMismatch,
        unreadable: tally.unreadable,
      },
      seconds: (this.#context.clock.monotonicMs() - this.#began) / 1000,
    };
  }
}

/** Ascending by UID. Of two files with one UID, that of the message directory. */
function* messageFiles(
  place: MailboxPlace,
): Generator<{ uid: number; directory: number; realPath: ByteString }> {
  const sources = place.directories
    .map(({ role, realPath, listing }, directory) => ({
      role,
      realPath,
      directory,
      uids: listing.uids,
      next: 0,
    }))
    .filter(({ role }) => role !== "meta");
  for (;;) {
    let uid = Number.POSITIVE_INFINITY;
    for (const { uids, next } of sources) uid = Math.min(uid, uids[next] ?? uid);
    if (uid === Number.POSITIVE_INFINITY) return;
    const here = sources.filter(({ uids, next }) => uids[next] === uid);
    for (const source of here) source.next++;
    const [{ directory, realPath } = { directory: 0, realPath: "" as ByteString }] = here;
    yield { uid, directory, realPath };
  }
}

function rounded({ count, bytes }: { count: number; bytes: number }): { count: number; bytes: number } {
  return { count: Math.max(0, Math.round(count)), bytes: Math.max(0, Math.round(bytes)) };
}

function roundedInterval(
  interval: { low: number; high: number } | null,
): { low: number; high: number } | null {
  return interval === null ? null : { low: Math.round(interval.low), high: Math.round(interval.high) };
}
