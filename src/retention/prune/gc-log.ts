/** Writes records of deletion for one prune, in an order that all agree on; stops when somebody else writes them too. */
import type { Clock } from "../../base/clock.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { appendGcRecord, fenceRuns, type GcKind, type GcRecord } from "../../store/gc-record.ts";
import type { Repository } from "../../store/repository.ts";
import type { Run } from "../../store/run.ts";
import type { RunRecord } from "../../store/run-record.ts";
import { requireNoHold } from "./holds.ts";

export class GcLog {
  readonly #repository: Repository;
  readonly #run: Run;
  readonly #clock: Clock;
  #newest: number;

  /** @param newest - the number of the last record that was read. */
  constructor(repository: Repository, run: Run, clock: Clock, newest: number) {
    this.#repository = repository;
    this.#run = run;
    this.#clock = clock;
    this.#newest = newest;
  }

  /** Everything was computed anew from the records up to this one: what others wrote before it no longer matters. */
  takeOver(newest: number): void {
    this.#newest = newest;
  }

  /** @throws {CyrvaultError} `RUN_FENCED`, `LOCKED`: nothing has been written then. */
  async append(kind: Exclude<GcKind, "fence">, packs: readonly string[]): Promise<void> {
    if (packs.length === 0) return;
    await this.#run.requireStanding();
    await requireNoHold(this.#repository, this.#clock.nowMs());
    const record = { kind, atMs: this.#clock.nowMs(), packs: [...packs].sort(), runs: [] };
    this.#newest = await appendGcRecord(this.#repository, this.#newest, record, (other) =>
      this.#judge(other),
    );
  }

  async fence(runs: readonly RunRecord[]): Promise<void> {
    if (runs.length === 0) return;
    await this.#run.requireStanding();
    this.#newest = await fenceRuns(this.#repository, this.#newest, runs, this.#clock.nowMs(), (other) =>
      this.#judge(other),
    );
  }

  /** What somebody else wrote since. Fences of other runs change nothing of what we know. */
  #judge({ number, kind, runs }: GcRecord): void {
    if (kind === "fence" && !runs.includes(this.#run.id)) return;
    if (kind === "fence")
      throw new CyrvaultError("RUN_FENCED", `this prune may not go on: gc/${number} fences it`, {
        hint: "start the command again",
      });
    throw new CyrvaultError("LOCKED", "another prune is at work in this repository", {
      hint: "wait for it with --lock-wait 1h",
    });
  }
}
