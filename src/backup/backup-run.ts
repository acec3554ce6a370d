/**
 * The run itself: what there is (survey, list, join), what of it has changed, read, cut, stored, and checkpoints on
 * the way.
 */

import { FindingLog, type FindingSummary } from "../manifest/findings.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { Content, FileStat, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import { EMPTY_TREE, PageTreeWriter } from "../manifest/page-tree.ts";
import { encodeRoot } from "../manifest/root.ts";
import { FileCapture } from "./capture-file.ts";
import type { MailboxCaptureContext } from "./capture-mailbox.ts";
import { carryOverFindings, isThere } from "./carry-over-findings.ts";
import { completePlaces } from "./complete-places.ts";
import { composeRoot, type Processed, type RootInput, type Surveyed } from "./compose-root.ts";
import { Decisions } from "./decisions.ts";
import { BufferedFindings, type FindingSink } from "./finding-sink.ts";
import { joinServerMailboxes } from "./join-server.ts";
import { readListAndText } from "./list-and-text.ts";
import type { ListedMailboxes } from "./listed-mailboxes.ts";
import type { LookAgain } from "./live-rounds.ts";
import { MailboxHistory } from "./mailbox-history.ts";
import type { MailboxTasks } from "./mailbox-tasks.ts";
import type { BackupOptions } from "./options.ts";
import { OwnerNames } from "./owners.ts";
import { MessagePipeline } from "./pipeline/pipeline.ts";
import { verifyLarge } from "./pipeline/verify-large.ts";
import { startWorkers } from "./pipeline/worker-pool.ts";
import { MailboxProcessor } from "./process-mailboxes.ts";
import { racyAt } from "./racy.ts";
import { countingLeftOut, type LeftOutCount } from "./restrict-messages.ts";
import type { BackupContext, MadeBackup } from "./run-context.ts";
import { RunLimits } from "./run-limits.ts";
import { GIVEN_VIEW } from "./source-cut.ts";
import { readSpecialUse } from "./special-use.ts";
import type { StartedBackup } from "./start-backup.ts";
import { captureSurveyedFiles } from "./survey-files.ts";
import { surveyServer } from "./survey-server.ts";
import { makeTextDumps } from "./text-dumps.ts";

/** One reading of one tree. In live mode there may be several, each of which begins anew. */
export class BackupRun {
  readonly #options: BackupOptions;
  readonly #context: BackupContext;
  readonly #given: StartedBackup;
  readonly #decisions: Decisions;
  readonly #findings: FindingLog;
  readonly #leftOut: LeftOutCount = { files: 0, bytes: 0 };
  readonly #mailboxFindings: FindingSink;
  readonly #files: FileCapture;
  readonly #owners = new OwnerNames();
  readonly #isRacy: (stat: FileStat) => boolean;
  readonly #backup: string;
  readonly #began: number;
  readonly #mustLookAgain: LookAgain;
  readonly #limits: RunLimits;
  #lastCheckpoint: { atMs: number; bytes: number };

  constructor(
    options: BackupOptions,
    context: BackupContext,
    given: StartedBackup,
    mustLookAgain: LookAgain = async () => false,
  ) {
    this.#mustLookAgain = mustLookAgain;
    this.#options = options;
    this.#context = context;
    this.#given = given;
    const { startedMs, server, run, backup } = given;
    this.#findings = new FindingLog({
      nowMs: startedMs,
      acceptRules: context.acceptRules,
      ...(context.temporary === undefined ? {} : { temporary: context.temporary }),
    });
    const uses = options.filter?.excludeSpecialUse ?? [];
    const specialUse = readSpecialUse(
      server.layout,
      uses,
      given.view,
      this.#findings,
      context.live?.holder.readNow,
    );
    this.#decisions = new Decisions(options, server.layout, startedMs, specialUse);
    this.#mailboxFindings = countingLeftOut(this.#findings, this.#leftOut);
    this.#limits = new RunLimits(options.limits ?? {}, { ...context, letGo: context.cut?.letGo });
    this.#files = new FileCapture(run.writer, this.#findings, this.#limits.pace, context.live?.holder);
    this.#isRacy = racyAt(Math.min(startedMs, context.cut?.cutMs ?? startedMs));
    this.#backup = backup;
    this.#began = context.clock.monotonicMs();
    this.#lastCheckpoint = { atMs: this.#began, bytes: 0 };
  }

  /** Everything but the commit. */
  async make(): Promise<MadeBackup> {
    const { server, run, parents } = this.#given;
    for (const { code, severity, path, message } of server.notes)
      this.#findings.add(code, severity, path, message);
    const { surveyed, kept, mailboxList, listing } = await this.#look();

    const settings = { seal: run.seal, compression: this.#options.compression };
    const { threads } = this.#options;
    const start = () => startWorkers(settings, typeof threads === "number" ? threads : threads(kept.length));
    const pipeline = new MessagePipeline(run.writer, start, this.#limits);
    try {
      const processed = await this.#processMailboxes(kept, surveyed, pipeline);
      await pipeline.pause(async () => {
        await run.writer.flush();
      });
      await verifyLarge(pipeline, this.#context.repository.objects, this.#context.signal);
      const cut = await this.#context.cut?.finish(surveyed.roots);
      for (const { code, severity, path, message } of cut?.findings ?? [])
        this.#findings.add(code, severity, path, message);
      await carryOverFindings(
        parents.backup,
        this.#context.repository.objects,
        (mailbox) => processed.takenOver[kept.positionOf(mailbox) ?? -1] === 1,
        (code, path) => isThere(this.#given.view, code, path),
        this.#mailboxFindings,
      );
      const findings = await this.#findings.finish(
        run.writer,
        parents.backup === undefined
          ? undefined
          : { tree: parents.backup.findings, source: this.#context.repository.objects },
      );
      // The root says how much is stored: the pages of the findings too.
      await run.writer.flush();
      const root = this.#root(surveyed, processed, pipeline, findings, mailboxList, listing, cut?.view);
      return {
        root,
        tasks: kept,
        takenOver: processed.takenOver,
        renamed: processed.renamed,
        directories: surveyed.directories,
      };
    } finally {
      this.#findings.discard();
      await pipeline.close();
    }
  }

  /** What there is. */
  async #look(): Promise<{
    readonly surveyed: Surveyed;
    readonly kept: MailboxTasks;
    readonly mailboxList: Content | undefined;
    readonly listing: RootInput["listing"];
  }> {
    const findings = new BufferedFindings();
    const { list, text } = await readListAndText(this.#given, findings, {
      source: this.#context.repository.objects,
      sink: this.#given.run.writer,
      holder: this.#context.live?.holder,
      isRacy: this.#isRacy,
    });
    const surveyed = await this.#survey(list?.listed);
    if (this.#context.live !== undefined) completePlaces(surveyed.places, surveyed.roots);
    const { tasks, excluded, remote } = joinServerMailboxes(
      this.#given.server,
      // Whoever wants the list alone wants no mailboxes.
      this.#options.only === undefined ? list : undefined,
      surveyed.places,
      this.#decisions,
      findings,
      this.#context.live?.isYetToCome,
    );
    if (await this.#mustLookAgain(tasks)) return await this.#look();
    findings.replayInto(this.#findings);
    return {
      surveyed,
      kept: tasks,
      mailboxList: text,
      listing: { style: list?.style, excluded, remote, messagesLeftOut: this.#leftOut },
    };
  }

  async #survey(listed: ListedMailboxes | undefined): Promise<Surveyed> {
    const { clock, progress, repository, signal } = this.#context;
    const { view, server, parents, run } = this.#given;
    progress.beginPhase("looking", clock.monotonicMs(), undefined, "files and directories");
    const before = parents.checkpoints[0] ?? parents.backup;
    const input = {
      view,
      roots: server.roots,
      before,
      source: repository.objects,
      decisions: this.#decisions,
    };
    const more = this.#options.textDumps
      ? await makeTextDumps({
          ...this.#given,
          layout: server.layout,
          listed,
          sink: run.writer,
          findings: this.#findings,
          readNow: this.#context.live?.holder.readNow,
        })
      : undefined;
    const { result, findings, ...surveyed } = await surveyServer(input, (items, parentFiles) =>
      captureSurveyedFiles(items, {
        more,
        parentFiles,
        sink: run.writer,
        files: this.#files,
        owners: this.#owners,
        isRacy: this.#isRacy,
        onItem: () => {
          signal?.throwIfAborted();
          const problem = this.#limits.roomProblem();
          if (problem !== undefined) throw problem;
          progress.add({ items: 1 }, clock.monotonicMs());
        },
      }),
    );
    findings.replayInto(this.#findings);
    return { ...surveyed, ...result };
  }

  async #processMailboxes(
    tasks: MailboxTasks,
    surveyed: Surveyed,
    pipeline: MessagePipeline,
  ): Promise<Processed> {
    const { clock, progress, repository, signal } = this.#context;
    const { run, parents } = this.#given;
    progress.beginPhase("mailboxes", clock.monotonicMs(), { items: tasks.length, bytes: 0 });
    const writer = new PageTreeWriter<MailboxEntry, MailboxEntry["name"]>(mailboxPages, run.writer);
    const history = new MailboxHistory(repository.objects, parents, tasks, (page) => writer.know(page));
    let bytesBefore = 0;
    let isCheckpointing = false;
    const breathe = async (): Promise<void> => {
      signal?.throwIfAborted();
      const { bytesRead } = pipeline.counts;
      if (bytesRead > bytesBefore) progress.add({ bytes: bytesRead - bytesBefore }, clock.monotonicMs());
      bytesBefore = bytesRead;
      if (isCheckpointing) return;
      const problem = this.#limits.roomProblem();
      if (problem === undefined && !this.#checkpointIsDue(bytesRead)) return;
      isCheckpointing = true;
      this.#lastCheckpoint = { atMs: clock.monotonicMs(), bytes: bytesRead };
      await pipeline.pause(() => this.#checkpoint(writer, processor, surveyed, processed, pipeline));
      isCheckpointing = false;
      if (problem !== undefined) throw problem;
    };
    const capture: MailboxCaptureContext = {
      sink: run.writer,
      source: repository.objects,
      files: this.#files,
      pipeline,
      findings: this.#mailboxFindings,
      isRacy: this.#isRacy,
      keepFile: (name) => this.#decisions.keepFile(name),
      excludes: (task) => this.#decisions.excludes(task),
      keepOfExcluded: (name) => this.#decisions.keepOfExcluded(name),
      leavesOut: this.#decisions.leavesOut,
      rulesOf: (task) => this.#decisions.rulesOf(task),
      scrub: (name) => this.#decisions.scrub(name),
      breathe,
      isLate: () => this.#limits.isLate,
      mustProve: this.#context.mustProve === true,
      holder: this.#context.live?.holder,
    };
    const processor = new MailboxProcessor(history, capture);
    const processed: Processed = {
      tree: EMPTY_TREE,
      total: 0,
      changed: 0,
      unchanged: 0,
      new: 0,
      gone: 0,
      renamed: 0,
      messages: 0,
      messageBytes: 0,
      files: 0,
      fileBytes: 0,
      maxIndexVersion: 0,
      takenOver: new Uint8Array(tasks.length),
    };
    for await (const { entry, state } of processor.process(tasks)) {
      await writer.add(entry);
      processed.takenOver[processed.total] = state === "unchanged" ? 1 : state === "new" ? 2 : 0;
      processed.total++;
      processed[state]++;
      processed.messages += entry.messages;
      processed.messageBytes += entry.bytes;
      processed.maxIndexVersion = Math.max(processed.maxIndexVersion, entry.indexVersion);
      for (const { stat, content } of entry.files) {
        this.#owners.note(stat.uid, stat.gid);
        if (content === undefined) continue;
        processed.files++;
        processed.fileBytes += stat.size;
      }
      progress.add({ items: 1 }, clock.monotonicMs());
      await breathe();
    }
    await history.close();
    const { goneCount, renamedCount } = history;
    return { ...processed, gone: goneCount, renamed: renamedCount, tree: await writer.finish() };
  }

  #checkpointIsDue(bytesRead: number): boolean {
    const { checkpointMs, checkpointBytes } = this.#options;
    const { atMs, bytes } = this.#lastCheckpoint;
    return this.#context.clock.monotonicMs() - atMs >= checkpointMs || bytesRead - bytes >= checkpointBytes;
  }

  /**
   * Everything so far becomes durable, with a partial root that the next run takes as its second parent. While the
   * pipeline pauses: whatever an entry refers to is in a complete pack.
   */
  async #checkpoint(
    writer: PageTreeWriter<MailboxEntry, MailboxEntry["name"]>,
    processor: MailboxProcessor,
    surveyed: Surveyed,
    processed: Processed,
    pipeline: MessagePipeline,
  ): Promise<void> {
    const { run } = this.#given;
    const tree = await writer.snapshot(await processor.partial());
    await run.writer.flush();
    const none: FindingSummary = { tree: EMPTY_TREE, counts: { note: 0, warning: 0, error: 0, accepted: 0 } };
    const root = this.#root(surveyed, { ...processed, tree }, pipeline, none, undefined, {
      style: undefined,
      excluded: [],
      messagesLeftOut: { files: 0, bytes: 0 },
      remote: 0,
    });
    await run.checkpoint(encodeRoot(root));
  }

  #root(
    surveyed: Surveyed,
    processed: Processed,
    pipeline: MessagePipeline,
    findings: FindingSummary,
    mailboxList: Content | undefined,
    listing: RootInput["listing"],
    cutView: RootInput["cutView"] = GIVEN_VIEW,
  ): ManifestRoot {
    const { view, server, name, parents, run, startedMs } = this.#given;
    return composeRoot({
      backup: this.#backup,
      parent: parents.backup,
      serverName: name,
      startedMs,
      cutMs: this.#context.cut?.cutMs ?? startedMs,
      cutView,
      completedMs: this.#context.clock.nowMs(),
      server,
      options: this.#options,
      acceptRules: this.#context.acceptRules,
      owners: this.#owners.resolve(view, parents.backup ?? { users: {}, groups: {} }),
      surveyed,
      processed,
      messages: pipeline.counts,
      filesBytesRead: this.#files.counts.bytesRead,
      stored: run.writer.stats,
      findings,
      mailboxList,
      listing,
    });
  }
}
