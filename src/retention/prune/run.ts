/**
 * Deletion, step by step: forgotten backups whose time is over → what is needed → marks on what is not, and off what is
 * again → sweep what was marked long ago → mostly dead packs are written anew, and marked. Why it is safe, and in
 * which order everybody must look: docs/decisions/0016-deletion.md.
 */
import { backupName } from "../../store/backup-files.ts";
import { forgottenName, readForgotten } from "../../store/forgotten.ts";
import { readGcState } from "../../store/gc-record.ts";
import type { AssembleMessage } from "../../store/object.ts";
import { packName } from "../../store/pack-types.ts";
import type { Run } from "../../store/run.ts";
import type { RunRecord } from "../../store/run-record.ts";
import { NO_TAGS, writeTags } from "../backup-tags.ts";
import { verifySpare } from "./copies.ts";
import { GcLog } from "./gc-log.ts";
import { isInForce, readHolds, removeHold, requireNoHold } from "./holds.ts";
import {
  isExpired,
  type PackFile,
  type PruneContext,
  type PruneOptions,
  type PrunePlan,
  planPrune,
  sumBytes,
} from "./plan.ts";
import { type DamagedPack, Repacker } from "./repack.ts";
import { listRoots, type RootFiles } from "./roots.ts";
import { lockedBy, type StaleRun, sortRuns } from "./runs.ts";
import { tidyRecords } from "./tidy-records.ts";
import { CopyVerifier } from "./verify-copy.ts";

export interface PruneDone {
  readonly forgotten: readonly string[];
  readonly marked: readonly PackFile[];
  readonly unmarked: readonly PackFile[];
  /** Left over from earlier sweeps included. */
  readonly swept: readonly PackFile[];
  readonly repacked: readonly PackFile[];
  /** Of the packs that were written anew. */
  readonly writtenBytes: number;
  /** Marked, and not swept yet. */
  readonly waiting: readonly PackFile[];
  /** They stay, whatever the plan said. */
  readonly damaged: readonly DamagedPack[];
  readonly fenced: readonly StaleRun[];
  readonly plan: PrunePlan;
}

export interface PruneParts extends PruneContext {
  readonly assemble: AssembleMessage;
  /** Of new packs to be marked at once: bounds what is there twice. Default 256 MiB. */
  readonly batchBytes?: number;
}

const BATCH_BYTES = 256 * 1024 * 1024;
const PLANS_MAX = 3;

/** What `runPrune` would do now, if nobody else did anything. Writes nothing. */
export function forecast(plan: PrunePlan): Omit<PruneDone, "writtenBytes" | "damaged" | "fenced" | "plan"> {
  const repacked: PackFile[] = [...plan.repack.packs];
  const marked = [...plan.mark, ...repacked];
  const swept = [...plan.leftOver, ...plan.sweep, ...(plan.sweepsAtOnce ? marked : [])];
  const waiting = [...plan.waiting, ...(plan.sweepsAtOnce ? [] : marked)];
  return { forgotten: plan.forgotten, marked, unmarked: plan.unmark, swept, repacked, waiting };
}

/**
 * @throws {CyrvaultError} `LOCKED`: another prune is at work, or pruning is held off. `RUN_FENCED`. What keeps a root or
 *   page from being read: nothing has been marked or swept then.
 */
export async function runPrune(options: PruneOptions, parts: PruneParts): Promise<PruneDone> {
  const { repository, clock, here } = parts;
  await requireNoHold(repository, clock.nowMs());
  const run = await repository.startRun({ kind: "prune", server: "", host: here.host });
  try {
    return await new Prune(options, parts, run).run();
  } finally {
    await run.abort();
  }
}

class Prune {
  readonly #options: PruneOptions;
  readonly #parts: PruneParts;
  readonly #run: Run;
  readonly #verifier: CopyVerifier;
  readonly #forgotten: string[] = [];
  readonly #marked: PackFile[] = [];
  readonly #unmarked: PackFile[] = [];
  readonly #swept: PackFile[] = [];
  readonly #repacked: PackFile[] = [];
  readonly #damaged: DamagedPack[] = [];

  constructor(options: PruneOptions, parts: PruneParts, run: Run) {
    this.#options = options;
    this.#parts = parts;
    this.#run = run;
    this.#verifier = new CopyVerifier(parts.repository, parts.assemble);
  }

  async run(): Promise<PruneDone> {
    const { repository, clock, here } = this.#parts;
    const gc = await readGcState(repository.backend, repository.sealer);
    const log = new GcLog(repository, this.#run, clock, gc.newest);
    const { live, stale } = await sortRuns(repository, clock, here, this.#run.id);
    const other = live.find(({ kind }) => kind === "prune");
    if (other !== undefined) throw lockedBy(other);
    // Looked at again, now that our run can be seen: who holds us off looks for it.
    await requireNoHold(repository, clock.nowMs());
    await log.fence(stale.map(({ record }) => record));
    await this.#dropOldHolds();

    const first = await this.#plan(log);
    let plan = first;
    // The copies that stay may be those of a run that broke off, which no segment covers yet.
    await this.#run.writer.flush();
    await this.#mark(log, plan);
    await this.#sweep(log, plan);
    await this.#repack(log, plan);
    if (this.#marked.length > 0 && plan.sweepsAtOnce) {
      // What was marked just now may have come back into use since we looked.
      plan = await this.#plan(log);
      await this.#unmark(log, plan);
      await this.#sweep(log, plan);
    }
    await this.#run.requireStanding();
    await tidyRecords(repository, this.#run.id);
    const gone = new Set(this.#swept.map(({ pack }) => pack));
    return {
      forgotten: this.#forgotten,
      marked: this.#marked,
      unmarked: this.#unmarked,
      swept: this.#swept,
      repacked: this.#repacked,
      writtenBytes: this.#run.writer.stats.storedBytes,
      waiting: [...first.waiting, ...this.#marked].filter(({ pack }) => !gone.has(pack)),
      damaged: this.#damaged,
      fenced: stale,
      plan: first,
    };
  }

  /**
   * What is to be done, and the forgotten backups that it does not count are gone. Not before: where anything cannot be
   * read, nothing goes.
   */
  async #plan(log: GcLog): Promise<PrunePlan> {
    const { repository, clock, here } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      const plan = await planPrune(this.#options, this.#parts, this.#run.id);
      log.takeOver(plan.gc.newest);
      for (const id of plan.voided) await this.#removeVoid(id);
      if (plan.forgotten.length === 0) return plan;
      for (const id of plan.forgotten) await this.#removeForgotten(id);
      // Somebody may have built upon one of them just before it went.
      const { live } = await sortRuns(repository, clock, here, this.#run.id);
      if (!hasNewRoots(plan, await listRoots(repository), live)) return plan;
      if (attempt >= PLANS_MAX) return { ...plan, sweep: [], sweepsAtOnce: false };
    }
  }

  async #removeForgotten(id: string): Promise<void> {
    const { repository, clock } = this.#parts;
    const { backend } = repository;
    await this.#run.requireStanding();
    // Brought back and forgotten again, it is another one.
    const found = await readForgotten(repository, id);
    if (found === undefined || !isExpired(found.forgottenMs, clock.nowMs(), this.#options.graceMs)) return;
    if ((await backend.size(backupName(id))) !== undefined) return;
    if (!(await backend.remove(forgottenName(id)))) return;
    await writeTags(repository, id, NO_TAGS);
    this.#forgotten.push(id);
  }

  /** Its run was fenced before it made this, and could not withdraw it: nobody was told that it is there. */
  async #removeVoid(id: string): Promise<void> {
    await this.#run.requireStanding();
    await this.#parts.repository.backend.remove(backupName(id));
  }

  async #dropOldHolds(): Promise<void> {
    const { repository, clock } = this.#parts;
    for (const hold of await readHolds(repository))
      if (!isInForce(hold, clock.nowMs())) await removeHold(repository, hold.id);
  }

  async #unmark(log: GcLog, { unmark }: PrunePlan): Promise<void> {
    await log.append("unmark", hexOf(unmark));
    for (const pack of unmark) this.#unmarked.push(pack);
  }

  async #mark(log: GcLog, plan: PrunePlan): Promise<void> {
    await this.#unmark(log, plan);
    const marked = await this.#whoseCopiesAreSound(plan, plan.mark);
    await log.append("mark", hexOf(marked));
    for (const pack of marked) this.#marked.push(pack);
  }

  async #sweep(log: GcLog, plan: PrunePlan): Promise<void> {
    const { repository, clock, progress } = this.#parts;
    // Somebody wrote this record and did not get so far as to remove the files.
    await this.#remove(plan.leftOver);
    const sound = await this.#whoseCopiesAreSound(plan, plan.sweep);
    if (sound.length === 0) return;
    const amount = { items: sound.length, bytes: sumBytes(sound) };
    progress.beginPhase("sweeping", clock.monotonicMs(), amount, "packs");
    await log.append("sweep", hexOf(sound));
    await this.#remove(sound);
    await repository.lookup.refresh({ mayWrite: true });
    await repository.lookup.merge();
  }

  async #remove(files: readonly PackFile[]): Promise<void> {
    const { repository, clock, progress, signal } = this.#parts;
    for (const file of files) {
      signal?.throwIfAborted();
      await repository.backend.remove(packName(file.pack.packId));
      file.pack.live = false;
      this.#swept.push(file);
      progress.add({ items: 1, bytes: file.bytes }, clock.monotonicMs());
    }
  }

  /** A pack may go because all that is needed of it lies elsewhere, too: only if it can be read from there. */
  async #whoseCopiesAreSound(plan: PrunePlan, files: readonly PackFile[]): Promise<PackFile[]> {
    const sound: PackFile[] = [];
    for (const file of files) {
      this.#parts.signal?.throwIfAborted();
      const error = await verifySpare(
        this.#parts.repository,
        file.pack,
        plan.needed,
        plan.spare,
        (copy, ordinal) => this.#verifier.verifyPlace(copy, ordinal),
      );
      if (error === undefined) sound.push(file);
      else this.#damaged.push({ pack: file.pack.hex, error });
    }
    return sound;
  }

  /** In batches: of each, the new packs are durable and found before the old ones are marked. */
  async #repack(log: GcLog, { repack, needed }: PrunePlan): Promise<void> {
    if (repack.packs.length === 0) return;
    const { repository, clock, progress, signal, batchBytes = BATCH_BYTES } = this.#parts;
    const bytes = repack.packs.reduce((sum, use) => sum + use.bytes - use.unusedBytes, 0);
    progress.beginPhase("repacking", clock.monotonicMs(), { items: 0, bytes });
    const repacker = new Repacker({
      repository,
      run: this.#run,
      needed,
      verifier: this.#verifier,
      signal,
      onBytes: (read) => progress.add({ bytes: read }, clock.monotonicMs()),
    });
    let batch: PackFile[] = [];
    let batched = 0;
    for (const [i, use] of repack.packs.entries()) {
      batch.push(use);
      batched += use.bytes - use.unusedBytes;
      if (batched < batchBytes && i + 1 < repack.packs.length) continue;
      await this.#run.requireStanding();
      const done = new Set(await repacker.repack(batch.map(({ pack }) => pack)));
      const repacked = batch.filter(({ pack }) => done.has(pack));
      await log.append("mark", hexOf(repacked));
      this.#marked.push(...repacked);
      this.#repacked.push(...repacked);
      batch = [];
      batched = 0;
    }
    this.#damaged.push(...repacker.damaged);
  }
}

/** Whether there is anything to go by that the plan did not go by. */
function hasNewRoots(
  { roots, forgotten, gc }: PrunePlan,
  now: RootFiles,
  live: readonly RunRecord[],
): boolean {
  const gone = new Set(forgotten);
  const known = new Set([...roots.backups, ...roots.forgotten].filter((id) => !gone.has(id)));
  const checkpoints = new Set(roots.checkpoints);
  return (
    [...now.backups, ...now.forgotten].some((id) => !known.has(id) && !gc.voided.has(id)) ||
    now.checkpoints.some((run) => !checkpoints.has(run)) ||
    live.some(({ parent }) => parent !== undefined && gone.has(parent))
  );
}

function hexOf(files: readonly PackFile[]): string[] {
  return files.map(({ pack }) => pack.hex);
}
