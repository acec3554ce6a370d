import { hostname } from "node:os";
import { isInForce, readHolds } from "../../retention/prune/holds.ts";
import { describeRun } from "../../retention/prune/runs.ts";
import { type FoundRun, planUnlock, runUnlock } from "../../retention/prune/unlock.ts";
import { isHere } from "../../store/stale-run.ts";
import { example, type Register } from "../command.ts";
import { counted, humanTime } from "../humanise.ts";

interface Options {
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

export const registerUnlock: Register = (program, act) => {
  const command = program
    .command("unlock")
    .description("list the commands that are at work in a repository, and remove what dead ones have left")
    .option("--force", "stop those, too, that seem to be alive: what they have stored is reused")
    .option("-n, --dry-run", "only list them")
    .addHelpText("after", example("cyrvault unlock --repo /backup/cyrus"));
  act<Options>(command, async (session, _args, { force = false, dryRun = false }) => {
    const { output, clock, json } = session;
    await session.withRepository(dryRun ? "read" : "write", async (repository) => {
      const plan = await planUnlock(repository, clock, isHere(hostname()), force);
      if (!dryRun) await runUnlock(repository, clock, plan);
      const holds = (await readHolds(repository)).filter((hold) => isInForce(hold, clock.nowMs()));
      if (json) {
        await output.object({
          dryRun,
          removed: plan.going.map(shown),
          left: plan.staying.map(shown),
          holds: holds.map(({ id, reason, untilMs }) => ({ hold: id, reason, until: iso(untilMs) })),
        });
        return;
      }
      const table = output.table([{ title: "RUN" }, { title: "SINCE" }, { title: "WHAT" }, { title: "" }]);
      const row = async (found: FoundRun, state: string): Promise<void> => {
        const { run, record, stale } = found;
        const what = record === undefined ? "cannot be read" : describeRun(record);
        const since = record === undefined ? "?" : humanTime(record.startedMs);
        await table.row(run, since, what, stale === undefined ? state : `${state}: ${stale}`);
      };
      for (const found of plan.going) await row(found, dryRun ? "would be removed" : "removed");
      for (const found of plan.staying)
        await row(found, found.record === undefined ? "stays: --force" : "stays");
      await table.end();
      for (const { id, reason, untilMs } of holds)
        output.note(`Pruning is held off until ${humanTime(untilMs)} (${reason}): hold ${id}.`);
      const verb = dryRun ? "would be removed" : "removed";
      output.note(`${counted(plan.going.length, "run")} ${verb}, ${plan.staying.length} at work.`);
    });
    return undefined;
  });
};

function shown({ run, record, stale }: FoundRun): object {
  if (record === undefined) return { run, reason: "its file cannot be read" };
  const { kind, server, host, pid, startedMs, heartbeatMs } = record;
  return {
    run,
    kind,
    server,
    host,
    pid,
    started: iso(startedMs),
    heartbeat: iso(heartbeatMs),
    reason: stale ?? null,
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
