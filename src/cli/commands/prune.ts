import { hostname } from "node:os";
import { CyrvaultError } from "../../base/errors.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { assembleMessage } from "../../chunker/assemble.ts";
import { parseSpan } from "../../retention/parse-rules.ts";
import { holdOff } from "../../retention/prune/hold-off.ts";
import { readHolds, removeHold } from "../../retention/prune/holds.ts";
import { type PruneOptions, planPrune, sumBytes } from "../../retention/prune/plan.ts";
import { forecast, type PruneDone, runPrune } from "../../retention/prune/run.ts";
import { describeRun } from "../../retention/prune/runs.ts";
import { type WhyNothing, whyNothingFreed } from "../../retention/prune/why-nothing.ts";
import { isHere } from "../../store/stale-run.ts";
import { example, type Register } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { counted, humanBytes, humanDuration, humanTime } from "../humanise.ts";
import { parseLockWait, withLockWait } from "../lock-wait.ts";
import { parseBytes } from "../parse-size.ts";
import type { Session } from "../session.ts";
import { parseShare } from "./backup.ts";

interface Options {
  readonly grace: string;
  readonly maxUnused: string;
  readonly maxRepack: string;
  readonly dryRun?: boolean;
  readonly lockWait?: string;
  readonly hold?: string;
  readonly reason?: string;
  readonly release?: boolean | string;
}

type Outcome = Pick<
  PruneDone,
  "forgotten" | "marked" | "unmarked" | "swept" | "repacked" | "waiting" | "plan"
> &
  Partial<Pick<PruneDone, "writtenBytes" | "damaged" | "fenced">>;

export const registerPrune: Register = (program, act) => {
  const command = program
    .command("prune")
    .description("delete what no backup needs: it is marked first, and removed after the grace time")
    .option("--grace <time>", "forgotten backups can be brought back so long, and marked data stays", "72h")
    .option("--max-unused <share>", "so much of the data may be of no use before it is written anew", "5%")
    .option("--max-repack <size>", "write at most so much anew; the next prune goes on", "64G")
    .option("-n, --dry-run", "only say what would be done")
    .option("--lock-wait <time>", "wait so long for another prune, or for a hold: 30s, 5m, 2h")
    .option("--hold <time>", "prune nothing for so long, because the repository is being copied")
    .option("--reason <text>", "with --hold: why")
    .option("--release [hold]", "take back one hold, or all")
    .addHelpText(
      "after",
      `
Data is deleted in two steps: what nobody needs is marked, and a later prune removes it when the grace time is over, no
older command is at work, and it is still needed by nobody. With --grace 0 both are done at once.
${example("cyrvault prune --repo /backup/cyrus --dry-run", 'cyrvault prune --repo /backup/cyrus --hold 6h --reason "copy to tape"')}`,
    );
  act<Options>(command, async (session, _args, given) => {
    if (given.hold !== undefined) return await hold(session, given.hold, given);
    if (given.reason !== undefined)
      throw new CyrvaultError("USAGE", "--reason goes with --hold", { hint: "`cyrvault prune --help`" });
    if (given.release !== undefined) return await release(session, given.release);
    keepMemorySmall();
    const options = pruneOptions(given);
    const { clock, progress, signal } = session;
    const here = isHere(hostname());
    const began = clock.monotonicMs();
    const seconds = () => (clock.monotonicMs() - began) / 1000;
    if (given.dryRun === true)
      return await session.withRepository("read", async (repository) => {
        const plan = await session.withProgress(() =>
          planPrune(options, { repository, clock, progress, here, signal }),
        );
        return await report(session, { ...forecast(plan), plan }, options, true, seconds());
      });
    return await session.withRepository("write", async (repository) => {
      const parts = { repository, clock, progress, here, signal, assemble: assembleMessage };
      const done = await withLockWait(session, parseLockWait(given.lockWait), () =>
        session.withProgress(() => runPrune(options, parts)),
      );
      return await report(session, done, options, false, seconds());
    });
  });
};

function pruneOptions({ grace, maxUnused, maxRepack }: Options): PruneOptions {
  return {
    graceMs: parseSpan("--grace", grace),
    maxUnused: /^0%?$/.test(maxUnused) ? 0 : parseShare(maxUnused, "--max-unused"),
    repackBytesMax: parseBytes(maxRepack, "--max-repack"),
  };
}

async function report(
  session: Session,
  outcome: Outcome,
  options: PruneOptions,
  dryRun: boolean,
  seconds: number,
) {
  const { output } = session;
  const { forgotten, marked, unmarked, swept, repacked, waiting, plan, writtenBytes } = outcome;
  const { damaged = [], fenced = [] } = outcome;
  const bytes = {
    freed: sumBytes(swept),
    willBeFreed: sumBytes(waiting),
    repacked: sumBytes(repacked),
    ...(writtenBytes !== undefined && { written: writtenBytes }),
  };
  const stillMarked = new Set(waiting);
  const why =
    swept.length > 0
      ? []
      : whyNothingFreed(plan, marked.filter((file) => stillMarked.has(file)).length, {
          nowMs: session.clock.nowMs(),
          graceMs: options.graceMs,
        });
  for (const { pack, error } of damaged)
    session.log.error(`a pack stays, because something cannot be read: ${error.message}`, { pack });
  for (const pack of plan.unreadable)
    session.log.error("a pack stays, because nobody can tell what is in it", { pack });
  for (const { record, reason } of fenced)
    session.log.warning(`${describeRun(record)}, counts as dead: ${reason}`, { run: record.run });
  if (session.json) {
    await output.object({
      dryRun,
      marked: marked.length,
      unmarked: unmarked.length,
      swept: swept.length,
      repacked: repacked.length,
      waiting: waiting.length,
      bytes,
      forgottenRemoved: forgotten.length,
      forgotten,
      waitingFor: plan.holding.map((record) => ({ run: record.run, what: describeRun(record) })),
      fenced: fenced.map(({ record, reason }) => ({ run: record.run, reason })),
      damaged: damaged.map(({ pack, error }) => ({ pack, code: error.code, message: error.message })),
      unreadable: plan.unreadable,
      packs: plan.total.packs,
      unusedBytes: Math.round(plan.repack.unusedBytes),
      repackLeft: plan.repack.left,
      whyNothingFreed: why.map(({ reason, ...more }) => ({
        reason,
        ...more,
        ...("dueMs" in more ? { dueMs: undefined, dueAt: new Date(more.dueMs).toISOString() } : {}),
      })),
      seconds,
    });
  } else {
    const lines = [
      `${counted(forgotten.length, "forgotten backup")} ${dryRun ? "would go" : "gone"} for good.`,
      `${counted(swept.length, "pack")} ${dryRun ? "would be" : ""} removed: ${humanBytes(bytes.freed)}.`,
      `${counted(marked.length, "pack")} ${dryRun ? "would be" : ""} marked, ${unmarked.length} unmarked; ${counted(waiting.length, "pack")} wait for their time: ${humanBytes(bytes.willBeFreed)}.`,
      `${counted(repacked.length, "pack")} of ${humanBytes(bytes.repacked)} ${dryRun ? "would be" : ""} written anew${writtenBytes === undefined || writtenBytes === 0 ? "" : ` as ${humanBytes(writtenBytes)}`}.`,
      ...(plan.repack.left > 0
        ? [`${counted(plan.repack.left, "pack")} more are left for the next prune.`]
        : []),
      ...(why.length === 0
        ? []
        : [
            `Nothing ${dryRun ? "would come" : "came"} free: ${why.map((one) => whyText(one, options)).join("; ")}.`,
          ]),
      ...plan.holding.map((record) => `Waited for: ${describeRun(record)}.`),
      `In ${humanDuration(seconds * 1000)}.`,
    ];
    await output.text(lines.map((line) => line.replace(/ {2}/g, " ")).join("\n"));
  }
  return damaged.length > 0 || plan.unreadable.length > 0 ? EXIT.failed : undefined;
}

function whyText(why: WhyNothing, { maxUnused }: PruneOptions): string {
  switch (why.reason) {
    case "forgotten-in-grace":
      return `${counted(why.count, "forgotten backup")} can be brought back, the first until ${humanTime(why.dueMs)} (--grace), and what they need stays`;
    case "forgotten-held":
      return `kept by a hold or by a command at work: ${counted(why.count, "forgotten backup")}`;
    case "nothing-forgotten":
      return "no backup has been forgotten";
    case "packs-marked":
      return `${counted(why.count, "pack")} marked, which a prune from ${humanTime(why.dueMs)} on removes`;
    case "commands-at-work":
      return `${counted(why.count, "command")} at work may need what is marked`;
    case "packs-needed":
      return `backups need something of ${counted(why.count, "pack")}${why.unusedBytes > 0 ? `, and ${humanBytes(why.unusedBytes)} in them that nobody needs is within --max-unused ${Math.round(maxUnused * 1000) / 10}%` : ""}`;
    case "packs-unreadable":
      return `nobody can tell what is in ${counted(why.count, "pack")}`;
  }
}

async function hold(session: Session, span: string, { reason, lockWait }: Options): Promise<undefined> {
  const forMs = parseSpan("--hold", span);
  const { clock, output } = session;
  const why = reason?.trim();
  if (forMs === 0 || why === undefined || why === "")
    throw new CyrvaultError("USAGE", "a hold needs a time and a reason", {
      hint: 'cyrvault prune --hold 6h --reason "copy to tape"',
    });
  await session.withRepository("write", async (repository) => {
    const parts = { repository, clock, here: isHere(hostname()) };
    const { id, untilMs } = await withLockWait(session, parseLockWait(lockWait), () =>
      holdOff(parts, { forMs, reason: why }),
    );
    const until = new Date(untilMs).toISOString();
    if (session.json) await output.object({ hold: id, until, reason: why });
    else await output.text(`Pruning is held off until ${until}: hold ${id}.`);
  });
}

async function release(session: Session, which: boolean | string): Promise<undefined> {
  const { output } = session;
  await session.withRepository("write", async (repository) => {
    repository.requireWritable();
    const released: string[] = [];
    for (const { id } of await readHolds(repository))
      if (typeof which !== "string" || which === id) {
        await removeHold(repository, id);
        released.push(id);
      }
    if (typeof which === "string" && released.length === 0)
      throw new CyrvaultError("USAGE", `no hold ${which}`, { hint: "`cyrvault unlock` lists them" });
    if (session.json) await output.object({ released });
    else await output.text(`${counted(released.length, "hold")} taken back.`);
  });
}
