import { CyrvaultError } from "../../base/errors.ts";
import { chooseBackup, readBackups } from "../../inspect/backups.ts";
import type { ManifestRoot } from "../../manifest/model.ts";
import { readAllTags } from "../../retention/backup-tags.ts";
import {
  goingOf,
  hasRules,
  planByName,
  planByPolicy,
  requireRules,
  runForget,
} from "../../retention/forget.ts";
import { parseDuration, parseKeepCount } from "../../retention/parse-rules.ts";
import type { RetentionCandidate, RetentionRules } from "../../retention/policy.ts";
import type { Repository } from "../../store/repository.ts";
import { collect, example, type Register } from "../command.ts";
import { counted, humanTime } from "../humanise.ts";
import type { Session } from "../session.ts";

interface Options {
  readonly server?: string;
  readonly keepLast?: string;
  readonly keepHourly?: string;
  readonly keepDaily?: string;
  readonly keepWeekly?: string;
  readonly keepMonthly?: string;
  readonly keepYearly?: string;
  readonly keepWithin?: string;
  readonly keepTag?: readonly string[];
  readonly dryRun?: boolean;
}

export const registerForget: Register = (program, act) => {
  const command = program
    .command("forget [backup...]")
    .description("drop backups: by policy, each server on its own, or those that are named")
    .option("--server <name>", "only backups of this server")
    .option("--keep-last <n>", "the n newest stay (all: every one)")
    .option("--keep-hourly <n>", "the newest of each of the last n hours that have one; likewise:")
    .option("--keep-daily <n>", "… days")
    .option("--keep-weekly <n>", "… weeks (from Monday)")
    .option("--keep-monthly <n>", "… months")
    .option("--keep-yearly <n>", "… years")
    .option("--keep-within <time>", "whatever is younger stays: 48h, 30d, 2w, 1y")
    .option("--keep-tag <tag>", "whatever has this tag stays; may be given several times", collect)
    .option("-n, --dry-run", "only say what would go and what would stay, and why")
    .addHelpText(
      "after",
      `
By policy, the newest backup of a server stays in any case, so does its newest one without errors, and so does one with
a date that cannot be right. One with a hold (cyrvault tag --hold) stays even if it is named. What goes can be brought back by \`cyrvault undelete\` until
\`cyrvault prune\` has removed it. Space is freed by prune alone.
${example(
  "cyrvault forget --repo /backup/cyrus --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --dry-run",
  "cyrvault forget --repo /backup/cyrus 20261120T030000Z-1a2b3c4d",
)}`,
    );
  act<Options>(command, async (session, selectors, options) => {
    const rules = rulesOf(options);
    if (selectors.length === 0) requireRules(rules);
    else if (hasRules(rules))
      throw new CyrvaultError("USAGE", "backups by name and --keep options at once: which of them?");
    const { output, json, clock, signal, onUnreadable } = session;
    const { server, dryRun = false } = options;
    await session.withRepository(dryRun ? "read" : "write", async (repository) => {
      const nowMs = clock.nowMs();
      const tags = await readAllTags(repository, (backup, reason) => {
        session.log.warning("the tags of a backup cannot be read: it stays", { backup, reason });
      });
      const named: ManifestRoot[] = [];
      for (const selector of selectors)
        named.push(await chooseBackup(repository, selector, { server, nowMs }, onUnreadable));
      const plan =
        named.length > 0
          ? planByName(named, tags)
          : await planByPolicy(ofServer(readBackups(repository, onUnreadable), server), tags, rules, nowMs);
      const going = goingOf(plan);
      const staying = plan.verdicts.filter(({ reasons }) => reasons.length > 0);
      const bereft = named.length === 0 ? [] : await serversWithout(repository, going, onUnreadable);
      const count = dryRun ? going.length : await runForget(plan, repository, nowMs, signal);
      for (const server of bereft)
        session.log.warning(`no backup of ${server} ${dryRun ? "would be" : "is"} left`, {
          hint: "`cyrvault undelete` brings forgotten ones back as long as prune has not removed them",
        });
      if (json) {
        const kept = staying.map(({ candidate, reasons }) => ({ ...shown(candidate), reasons }));
        await output.object({ dryRun, forgotten: going.map(shown), kept });
        return;
      }
      const table = output.table([
        { title: "BACKUP" },
        { title: "TIME" },
        { title: "SERVER" },
        { title: "STAYS BECAUSE" },
      ]);
      for (const { candidate, reasons } of plan.verdicts) {
        const { backup, timeMs, server } = candidate;
        await table.row(
          backup,
          humanTime(timeMs),
          server,
          reasons.length > 0 ? reasons.join(", ") : "– goes",
        );
      }
      await table.end();
      const verb = dryRun ? "would go" : "forgotten";
      const others = named.length === 0 ? "" : " of those named";
      const rest = named.length > 0 && staying.length === 0 ? "" : `, ${staying.length}${others} stay`;
      output.note(`${counted(count, "backup")} ${verb}${rest}.`);
    });
    return undefined;
  });
};

function rulesOf(options: Options): RetentionRules {
  return {
    last: parseKeepCount("--keep-last", options.keepLast),
    hourly: parseKeepCount("--keep-hourly", options.keepHourly),
    daily: parseKeepCount("--keep-daily", options.keepDaily),
    weekly: parseKeepCount("--keep-weekly", options.keepWeekly),
    monthly: parseKeepCount("--keep-monthly", options.keepMonthly),
    yearly: parseKeepCount("--keep-yearly", options.keepYearly),
    withinMs: parseDuration("--keep-within", options.keepWithin),
    tags: options.keepTag ?? [],
  };
}

/** Servers of which nothing stays. */
async function serversWithout(
  repository: Repository,
  going: readonly RetentionCandidate[],
  onUnreadable: Session["onUnreadable"],
): Promise<string[]> {
  const gone = new Set(going.map(({ backup }) => backup));
  const servers = new Set(going.map(({ server }) => server));
  for await (const { backup, server } of readBackups(repository, onUnreadable))
    if (!gone.has(backup)) servers.delete(server);
  return [...servers];
}

async function* ofServer(
  roots: AsyncIterable<ManifestRoot>,
  server: string | undefined,
): AsyncGenerator<ManifestRoot> {
  for await (const root of roots) if (server === undefined || root.server === server) yield root;
}

function shown({ backup, timeMs, server }: RetentionCandidate) {
  return { backup, time: new Date(timeMs).toISOString(), server };
}
