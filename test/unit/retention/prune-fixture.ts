/** A repository in memory that lives in simulated time, and prunes of it. */

import type { Backend } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { runCheck } from "../../../src/check/run.ts";
import { type PrunePlan, planPrune } from "../../../src/retention/prune/plan.ts";
import { type PruneDone, runPrune } from "../../../src/retention/prune/run.ts";
import { forgetBackup } from "../../../src/store/forgotten.ts";
import type { Repository } from "../../../src/store/repository.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { assemble, content, newPlain, openPlain } from "../store/repository-fixture.ts";

export const HOUR = 3_600_000;
export const GRACE = 72 * HOUR;

export interface Site {
  readonly backend: MemoryBackend;
  readonly clock: SimulatedClock;
  /** Opened anew, as a command does. */
  open(over?: Backend): Promise<Repository>;
  /** A backup of mails of these names. @returns its id. */
  backUp(names: readonly string[], server?: string): Promise<string>;
  forget(id: string): Promise<void>;
  prune(options?: PruneGiven): Promise<PruneDone>;
  plan(options?: PruneGiven): Promise<PrunePlan>;
  /** Codes of what a check of everything finds. */
  check(): Promise<string[]>;
}

export interface PruneGiven {
  readonly graceMs?: number;
  readonly maxUnused?: number;
  readonly repackBytesMax?: number;
  readonly batchBytes?: number;
  readonly over?: Backend;
}

export async function newSite(startMs = Date.UTC(2026, 0, 1)): Promise<Site> {
  const backend = new MemoryBackend();
  const clock = new SimulatedClock({ startMs, autoAdvance: true });
  const here = { host: "here", isAlive: () => true };
  await (await newPlain(backend, { clock })).close();
  const open = (over: Backend = backend) => openPlain(over, { clock });
  const optionsOf = ({ graceMs = GRACE, maxUnused = 1, repackBytesMax = 1e12 }: PruneGiven) => ({
    graceMs,
    maxUnused,
    repackBytesMax,
  });
  return {
    backend,
    clock,
    open,
    backUp: async (names, server = "mail") => {
      const repository = await open();
      clock.advance(1000);
      const messages = Object.fromEntries(
        names.map((name, i) => [i + 1, content(name, 1000).toString("latin1")]),
      );
      const mailboxes = [{ name: "user.anna", messages }];
      const root = await storeBackup(repository, { server, timeMs: clock.nowMs(), mailboxes });
      await repository.close();
      return root.backup;
    },
    forget: async (id) => await forgetBackup(await open(), id, clock.nowMs()),
    prune: async (given = {}) => {
      const repository = await open(given.over);
      const { batchBytes } = given;
      return await runPrune(optionsOf(given), {
        repository,
        clock,
        here,
        assemble,
        progress: new Progress(),
        ...(batchBytes !== undefined && { batchBytes }),
      });
    },
    plan: async (given = {}) =>
      await planPrune(optionsOf(given), { repository: await open(), clock, here, progress: new Progress() }),
    check: async () => {
      const repository = await open();
      const { errors } = await runCheck(
        { readDataPercent: 100 },
        { repository, assemble, clock, progress: new Progress() },
      );
      return errors.map(({ code, message }) => `${code}: ${message}`);
    },
  };
}
