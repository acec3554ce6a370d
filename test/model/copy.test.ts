import { expect, test } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { MemoryBackend } from "../../src/backend/memory.ts";
import { SimulatedClock } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import { runCheck } from "../../src/check/run.ts";
import { mailboxPages } from "../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../src/manifest/message-page.ts";
import { readPageTree } from "../../src/manifest/read-page-tree.ts";
import { decodeRoot } from "../../src/manifest/root.ts";
import { holdOff } from "../../src/retention/prune/hold-off.ts";
import { runPrune } from "../../src/retention/prune/run.ts";
import { Random } from "../../src/sample/random.ts";
import { forgetBackup } from "../../src/store/forgotten.ts";
import { Scheduler } from "../support/scheduler.ts";
import { storeBackup } from "../unit/inspect/tiny-backup.ts";
import { assemble, content, newPlain, openPlain } from "../unit/store/repository-fixture.ts";

const ROOTS = ["forgotten/", "backups/", "checkpoints/"];
const HERE = { host: "here", isAlive: () => true };

/** As rsync does it: a list first, then file by file; what has gone by then is named at the end. */
async function copyFiles(from: Backend, to: Backend, wanted: (name: string) => boolean): Promise<boolean> {
  const names: string[] = [];
  for await (const { name } of from.list("")) if (wanted(name)) names.push(name);
  let isWhole = true;
  for (const name of names.sort()) {
    const bytes = await from.read(name, 1e9);
    if (bytes === undefined) isWhole = false;
    else await to.replace(name, bytes);
  }
  return isWhole;
}

interface Copied {
  readonly copy: MemoryBackend;
  readonly clock: SimulatedClock;
  readonly steps: number;
}

/** Two servers back up, somebody prunes again and again, somebody copies. @param stages - what is copied, one after the other. */
async function copyAtWork(seed: number, stages: readonly ((name: string) => boolean)[]): Promise<Copied> {
  const random = new Random(seed);
  const backend = new MemoryBackend();
  const copy = new MemoryBackend();
  const clock = new SimulatedClock({ startMs: Date.UTC(2026, 0, 1), autoAdvance: true });
  await (await newPlain(backend, { clock })).close();
  const backUp = async (over: Backend, server: string, days: number) => {
    const repository = await openPlain(over, { clock });
    for (let day = 0; day < days; day++) {
      clock.advance(1000);
      const messages = Object.fromEntries(
        [1, 2, 3].map((uid) => [uid, content(`${random.below(60)}`, 500).toString("latin1")]),
      );
      const mailboxes = [{ name: "user.a", messages }];
      await storeBackup(repository, { server, timeMs: clock.nowMs(), mailboxes });
    }
  };
  // So many that those to come merge segments; and one that goes when nothing holds prune off.
  await backUp(backend, "anna", 15);
  const repository = await openPlain(backend, { clock });
  const [first] = await repository.listBackups();
  await forgetBackup(repository, first?.id ?? "", clock.nowMs());

  const failures: unknown[] = [];
  const scheduler = new Scheduler(random, {});
  const start = (name: string, work: (over: Backend) => Promise<void>) =>
    scheduler.start(name, backend, (over) =>
      work(over).catch((error: unknown) => {
        failures.push(error);
      }),
    );
  start("anna", (over) => backUp(over, "anna", 3));
  start("berta", (over) => backUp(over, "berta", 3));
  start("copy", async (over) => {
    const hold = { forMs: 3_600_000, reason: "a copy" };
    const parts = { repository: await openPlain(over, { clock }), clock, here: HERE };
    for (let isHeld = false; !isHeld; )
      isHeld = await holdOff(parts, hold).then(
        () => true,
        (error: { code?: string }) => {
          // A prune is at work: once more, as with --lock-wait.
          if (error.code !== "LOCKED") throw error;
          return false;
        },
      );
    for (const isWanted of stages) while (!(await copyFiles(over, copy, isWanted)));
  });
  start("prune", async (over) => {
    const options = { graceMs: 0, maxUnused: 0, repackBytesMax: 1e12 };
    for (let i = 0; i < 6; i++) {
      const opened = await openPlain(over, { clock });
      const context = { repository: opened, clock, here: HERE, assemble, progress: new Progress() };
      await runPrune(options, context).catch((error: { code?: string }) => {
        if (error.code !== "LOCKED") throw error;
      });
    }
  });
  while (scheduler.active > 0) await scheduler.step();
  expect(failures).toEqual([]);
  return { copy, clock, steps: scheduler.steps };
}

async function errorsIn({ copy, clock }: Copied): Promise<string[]> {
  const repository = await openPlain(copy, { clock });
  const context = { repository, assemble, clock, progress: new Progress() };
  return (await runCheck({ readDataPercent: 100 }, context)).errors.map(({ message }) => message);
}

const isRoot = (name: string) => ROOTS.some((root) => name.startsWith(root));

test("a copy made while backups run, backups/ first and with prune held off, is whole; in another order it is not", async () => {
  let steps = 0;
  let whole = 0;
  let broken = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const copied = await copyAtWork(seed, [isRoot, (name) => !isRoot(name)]);
    steps += copied.steps;
    expect(await errorsIn(copied)).toEqual([]);
    const opened = await openPlain(copied.copy, { clock: copied.clock });
    const backups = await opened.listBackups();
    expect(backups.length).toBeGreaterThanOrEqual(14);
    for (const { id } of backups) {
      const { mailboxes } = decodeRoot(await opened.readBackup(id));
      for await (const mailbox of readPageTree(mailboxes, opened.objects, mailboxPages))
        for await (const { object } of readPageTree(mailbox.messagePages, opened.objects, messagePages))
          expect((await opened.objects.get("message", object)).length).toBe(500);
    }
    whole++;
    const reversed = await copyAtWork(seed, [(name) => !isRoot(name), isRoot]);
    if ((await errorsIn(reversed)).length > 0) broken++;
  }
  console.log(`copies of a repository at work: ${whole}, made in ${steps} steps`);
  expect(whole).toBe(4);
  expect(broken).toBeGreaterThan(0);
});
