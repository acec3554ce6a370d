/**
 * `--quiesce none` where snapshots of several filesystems are taken one after the other: nothing is held, but a job that
 * works through all mailboxes is waited for. What it unlinks between two snapshots would be named in the first and missing in
 * the second.
 */
import type { Logger } from "../base/log.ts";
import { filesystemsOf } from "../source/host/filesystems.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { parseMounts } from "../source/host/mounts.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Quiesce, QuiesceReport } from "./method.ts";
import { describeHolders, type Holder, holdersBelow, isJob } from "./quiesce-holders.ts";

export interface JobsInput {
  readonly host: SnapshotHost;
  readonly waitMs: number;
  readonly log: Pick<Logger, "info" | "warning">;
}

const LOOK_MS = 500;

export class JobsQuiesce implements Quiesce {
  readonly name = "none";
  readonly #input: JobsInput;
  #places: Places | undefined;
  #busy: string | undefined;

  constructor(input: JobsInput) {
    this.#input = input;
  }

  async plan(places: Places): Promise<readonly string[]> {
    const jobs = jobsOf(this.#input.host.facts(), places);
    return jobs.length === 0 ? [] : [`wait until these have ended: ${describeHolders(jobs)}`];
  }

  async begin(places: Places, _holdings: Holdings, signal?: AbortSignal): Promise<void> {
    const { host, waitMs, log } = this.#input;
    this.#places = places;
    const until = host.nowMs() + waitMs;
    for (let look = 1; ; look++) {
      signal?.throwIfAborted();
      const jobs = jobsOf(host.facts(), places);
      if (jobs.length === 0) return;
      const who = describeHolders(jobs);
      if (host.nowMs() >= until) {
        this.#busy = who;
        log.warning("not waited for any longer: the snapshots are taken while they work", { who });
        return;
      }
      if (look === 1) log.info("waiting for others that work on the mailboxes", { who });
      await host.sleep(Math.min(LOOK_MS, until - host.nowMs()));
    }
  }

  async end(): Promise<QuiesceReport> {
    const jobs = this.#places === undefined ? [] : jobsOf(this.#input.host.facts(), this.#places);
    const busy = this.#busy ?? (jobs.length === 0 ? undefined : describeHolders(jobs));
    return { heldMs: 0, broken: undefined, ...(busy === undefined ? {} : { busy }) };
  }
}

/** None where all lies in one filesystem: what a snapshot of that holds is of one moment. */
function jobsOf(facts: HostFacts, { roots }: Places): readonly Holder[] {
  if (filesystemsOf(roots, parseMounts(facts.mountInfo), facts).length < 2) return [];
  return holdersBelow(facts, roots).holders.filter(({ process }) => isJob(process));
}
