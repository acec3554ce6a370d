/**
 * A writing command at work: its file in runs/, its checkpoint, its commit. Order of writes and rules of deletion:
 * docs/formats/repository.md.
 */
import type { Backend } from "../backend/backend.ts";
import { ByteWriter } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { processMark } from "../base/processes.ts";
import {
  backupName,
  checkpointName,
  newTimedId,
  readCheckpoints,
  readRuns,
  sealRoot,
  timeOfId,
} from "./backup-files.ts";
import type { Compression } from "./codec.ts";
import { forgottenName } from "./forgotten.ts";
import { fenceRuns, readGcRecords, readGcState } from "./gc-record.ts";
import type { Lookup } from "./lookup.ts";
import type { PackSlot } from "./lookup-packs.ts";
import { type RunKind, type RunRecord, runName, sealRun } from "./run-record.ts";
import { RunWriter } from "./run-writer.ts";
import type { SealContext } from "./seal-context.ts";
import type { Sealer } from "./sealer.ts";
import { isHere, isStaleRun } from "./stale-run.ts";

const HEARTBEAT_MS = 5 * 60_000;

export interface RunOptions {
  /** Default `backup`. */
  readonly kind?: RunKind;
  /** Whose data is written. */
  readonly server: string;
  /** The machine that runs the command. */
  readonly host: string;
  /** The backup that is built upon. */
  readonly parent?: string | undefined;
  /** Runs whose checkpoints are built upon. */
  readonly checkpoints?: readonly string[];
  /** The backup that will be committed. */
  readonly backup?: string;
  /** Of meta packs. Default `auto`. */
  readonly compression?: Compression;
  readonly heartbeatMs?: number;
}

export interface RunParts {
  readonly backend: Backend;
  readonly sealer: Sealer;
  readonly lookup: Lookup;
  readonly clock: Clock;
  readonly log: Logger;
  /** Takes the object index if it is to be had. Called once the run stands. */
  readonly acquireIndex: () => Promise<void>;
  readonly releaseIndex: () => Promise<void>;
  /** Called when the run can be seen by others, before it looks which packs there are. */
  readonly beforeLooking: () => Promise<void>;
}

export class Run {
  readonly id: string;
  readonly writer: RunWriter;
  /** For workers that build packs. */
  readonly seal: SealContext;
  readonly #parts: RunParts;
  #record: RunRecord;
  /** Packs that this run may rely on. */
  readonly #relied: Set<PackSlot>;
  readonly #heartbeatMs: number;
  #lastBeatMs: number;
  #beating: Promise<void> = Promise.resolve();
  readonly #timer: NodeJS.Timeout;
  #isFenced = false;
  #hasEnded = false;

  private constructor(parts: RunParts, record: RunRecord, options: RunOptions) {
    this.#parts = parts;
    this.#record = record;
    this.id = record.run;
    this.seal = parts.sealer.context;
    this.#relied = new Set([...parts.lookup.packs.live()].filter(({ marked }) => !marked));
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#lastBeatMs = parts.clock.monotonicMs();
    this.writer = new RunWriter({
      backend: parts.backend,
      context: parts.sealer.context,
      lookup: parts.lookup,
      compression: options.compression ?? "auto",
      onProgress: () => this.#beatIfDue(),
    });
    this.#timer = setInterval(() => this.#beatIfDue(), Math.min(this.#heartbeatMs, HEARTBEAT_MS));
    this.#timer.unref();
  }

  /**
   * Ends with `commit` or `abort`.
   * @throws {CyrvaultError} `RUN_FENCED`: what it would build upon has gone. As the backend does. Nothing is left behind then.
   */
  static async start(parts: RunParts, options: RunOptions): Promise<Run> {
    const { backend, sealer, lookup, clock } = parts;
    const { newest } = await readGcState(backend, sealer);
    const startedMs = clock.nowMs();
    const record: RunRecord = {
      run: newTimedId(startedMs),
      kind: options.kind ?? "backup",
      server: options.server,
      host: options.host,
      pid: process.pid,
      startedMs,
      heartbeatMs: startedMs,
      gcSeen: newest,
      parent: options.parent,
      checkpoints: options.checkpoints ?? [],
      backup: options.backup,
      process: processMark(),
    };
    // Before we look which packs there are: who deletes packs looks which runs there are.
    const name = runName(record.run);
    try {
      await backend.create(name, sealRun(sealer, record));
      await requireParents(backend, record);
      await parts.beforeLooking();
      await lookup.refresh({ mayWrite: true });
      lookup.setMarked((await readGcState(backend, sealer)).marked);
      await parts.acquireIndex();
      return new Run(parts, record, options);
    } catch (error) {
      await backend.remove(name).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Replaces the run's checkpoint: the root of what is finished so far. Flush first: whatever it refers to must be durable.
   * @throws {CyrvaultError} `RUN_FENCED`.
   */
  async checkpoint(rootBytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    const { backend, sealer } = this.#parts;
    await this.#checkStanding();
    const name = checkpointName(this.id);
    const plain = new ByteWriter(rootBytes.length + 256).text(this.#record.server).raw(rootBytes).toBytes();
    await backend.replace(name, sealRoot(sealer, "checkpoint", name, plain));
  }

  /**
   * Makes the backup. When it resolves, the backup stands and the run has ended; when it rejects, call `abort`: there is
   * no backup then, unless the backend failed so that it could not tell.
   * @param backupId - `20261121T030000Z-1a2b3c4d`.
   * @returns the size of its file.
   * @throws {CyrvaultError} `RUN_FENCED`: what the backup relies on may be gone. `NAME_EXISTS`.
   */
  async commit(backupId: string, rootBytes: Uint8Array): Promise<number> {
    this.#assertOpen();
    assert(timeOfId(backupId) !== undefined, `no backup id: ${backupId}`);
    assert((this.#record.backup ?? backupId) === backupId, `a run for another backup: ${backupId}`);
    const { backend, sealer, lookup, log } = this.#parts;
    await this.writer.flush();
    assert(this.writer.openClaims === 0, `${this.writer.openClaims} objects were claimed and not stored`);
    await this.#checkStanding();
    const name = backupName(backupId);
    const sealed = sealRoot(sealer, "backup", name, rootBytes);
    await backend.create(name, sealed);
    try {
      await this.#checkStanding();
    } catch (error) {
      await backend.remove(name);
      throw error;
    }
    // The backup stands: what follows is tidying, and what fails of it is done by a later run.
    try {
      await lookup.merge();
      await this.#removeSuperfluous();
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      log.warning("not everything could be tidied up after the backup", { reason: error.message });
    }
    await this.#end();
    return sealed.length;
  }

  /** Ends the run without a backup. Its checkpoint stays for the next run. Does nothing after `commit`. */
  async abort(): Promise<void> {
    if (this.#hasEnded) return;
    await this.writer.abort().catch(() => undefined);
    await this.#end();
  }

  /** Renews the run's file, which otherwise happens by itself. Does nothing once it has been fenced. */
  heartbeat(): Promise<void> {
    this.#lastBeatMs = this.#parts.clock.monotonicMs();
    this.#beating = this.#beating.then(() => this.#beat());
    return this.#beating;
  }

  #beatIfDue(): void {
    if (this.#hasEnded || this.#parts.clock.monotonicMs() - this.#lastBeatMs < this.#heartbeatMs) return;
    void this.heartbeat();
  }

  async #beat(): Promise<void> {
    const { backend, sealer, clock, log } = this.#parts;
    if (this.#hasEnded || this.#isFenced) return;
    try {
      // Whoever removed it has fenced us: it must not come back.
      if ((await backend.size(runName(this.id))) === undefined) {
        this.#isFenced = true;
        return;
      }
      this.#record = { ...this.#record, heartbeatMs: clock.nowMs() };
      await backend.replace(runName(this.id), sealRun(sealer, this.#record));
    } catch (error) {
      log.warning("the run's file could not be renewed", { reason: String(error) });
    }
  }

  /** Whether it may still go on: before every step that others could suffer from. @throws {CyrvaultError} `RUN_FENCED`. */
  async requireStanding(): Promise<void> {
    this.#assertOpen();
    await this.#checkStanding();
  }

  async #checkStanding(): Promise<void> {
    const { backend, sealer, lookup } = this.#parts;
    if (!this.#isFenced) this.#isFenced = (await backend.size(runName(this.id))) === undefined;
    if (this.#isFenced) throw fenced(this.id, "its file in runs/ has been removed");
    for await (const { number, kind, packs, runs } of readGcRecords(backend, sealer, this.#record.gcSeen)) {
      if (kind === "fence" && runs.includes(this.id)) throw fenced(this.id, `gc/${number} fences it`);
      if (kind !== "sweep" || this.#record.kind === "prune") continue;
      for (const hex of packs) {
        const pack = lookup.packs.byHex(hex);
        if (pack !== undefined && (this.#relied.has(pack) || this.#isOurs(pack)))
          throw fenced(this.id, `gc/${number} has swept pack ${hex}, which it may rely on`);
      }
    }
  }

  /** Everything that was taken up since the start and is not marked counts as ours. */
  #isOurs(pack: PackSlot): boolean {
    return pack.live && !pack.marked;
  }

  /** Checkpoints and run files of this server that nobody is at work on any more. */
  async #removeSuperfluous(): Promise<void> {
    const { backend, sealer, clock } = this.#parts;
    const here = isHere(this.#record.host);
    const isOver = (record: RunRecord) => isStaleRun(record, clock.nowMs(), here);
    const runs = await readRuns(backend, sealer);
    const inUse = new Set(
      runs
        .filter((record) => record.run !== this.id && !isOver(record))
        .flatMap((record) => record.checkpoints),
    );
    for (const { run, server, record } of await readCheckpoints(backend, sealer)) {
      if (run === this.id || server !== this.#record.server || inUse.has(run)) continue;
      if (record === undefined || isOver(record)) await backend.remove(checkpointName(run));
    }
    const over = runs.filter(
      (record) => record.run !== this.id && record.server === this.#record.server && isOver(record),
    );
    if (over.length > 0) {
      const { newest } = await readGcState(backend, sealer);
      await fenceRuns({ backend, sealer }, newest, over, clock.nowMs());
    }
    await backend.remove(checkpointName(this.id));
  }

  async #end(): Promise<void> {
    this.#hasEnded = true;
    clearInterval(this.#timer);
    await this.#beating;
    const { backend, releaseIndex, log } = this.#parts;
    await releaseIndex();
    try {
      await backend.remove(runName(this.id));
    } catch (error) {
      log.warning("the run's file could not be removed", { run: this.id, reason: String(error) });
    }
  }

  #assertOpen(): void {
    assert(!this.#hasEnded, "a run is used after its end");
  }
}

/**
 * From now on prune keeps what the run builds upon, or sweeps nothing while it cannot find it. What went before now
 * may be swept already.
 */
async function requireParents(backend: Backend, { run, parent, checkpoints }: RunRecord): Promise<void> {
  const isThere = async (name: string) => (await backend.size(name)) !== undefined;
  // Forgetting writes the one before it removes the other, and bringing back too: looked for in turns, it is not missed.
  if (parent !== undefined) {
    const [backup, forgotten] = [backupName(parent), forgottenName(parent)];
    if (!(await isThere(backup)) && !(await isThere(forgotten)) && !(await isThere(backup)))
      throw fenced(run, `backup ${parent}, which it builds upon, has gone`);
  }
  for (const other of checkpoints)
    if (!(await isThere(checkpointName(other))))
      throw fenced(run, `the checkpoint of run ${other}, which it builds upon, has gone`);
}

function fenced(run: string, why: string): CyrvaultError {
  return new CyrvaultError("RUN_FENCED", `run ${run} may not go on: ${why}`, {
    hint: "start the command again: what it has stored is reused",
  });
}
