import { chooseBackup } from "../../inspect/backups.ts";
import { backupStats, repositoryStats, type Stats } from "../../inspect/stats.ts";
import { example, type Register } from "../command.ts";
import { counted, humanBytes, humanCount } from "../humanise.ts";
import type { Output } from "../output.ts";

interface Options {
  readonly server?: string;
}

export const registerStats: Register = (program, act) => {
  const command = program
    .command("stats [backup]")
    .description("sizes, deduplication and compression, of the repository or of what one backup needs")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .addHelpText(
      "after",
      example("cyrvault stats --repo /backup/cyrus", "cyrvault stats --repo /backup/cyrus latest"),
    );
  act<Options>(command, async (session, [selector], { server }) => {
    const { output, clock, progress, signal, onUnreadable } = session;
    await session.withRepository("read", async (repository) => {
      const onProgress = (items: number) => progress.add({ items }, clock.monotonicMs());
      const context = { signal, onUnreadable, onProgress };
      const stats = await session.withProgress(async () => {
        progress.beginPhase("counting", clock.monotonicMs(), undefined, "objects");
        if (selector === undefined) return await repositoryStats(repository, context);
        const root = await chooseBackup(repository, selector, { server, nowMs: clock.nowMs() }, onUnreadable);
        return await backupStats(repository, root, context);
      });
      if (session.json) await output.object(stats);
      else await printStats(output, stats);
    });
    return undefined;
  });
};

async function printStats(output: Output, stats: Stats): Promise<void> {
  const { backups, mailboxes, messages, bytes, kinds, dedupRatio, compressionRatio } = stats;
  await output.text(
    [
      `${counted(backups, "backup")}, ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")} in all`,
      `at the source ${humanBytes(bytes.source)}, different ${humanBytes(bytes.unique)}, stored ${humanBytes(bytes.stored)}`,
      `deduplication ${dedupRatio.toFixed(2)}, compression ${compressionRatio.toFixed(2)}`,
      "",
    ].join("\n"),
  );
  const table = output.table([
    { title: "KIND" },
    { title: "OBJECTS", align: "right" },
    { title: "SIZE", align: "right" },
    { title: "STORED", align: "right" },
  ]);
  for (const [kind, totals] of Object.entries(kinds))
    await table.row(kind, humanCount(totals.objects), humanBytes(totals.bytes), humanBytes(totals.stored));
  await table.end();
}
