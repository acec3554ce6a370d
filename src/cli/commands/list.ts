import { listBackups } from "../../inspect/backups.ts";
import { example, type Register } from "../command.ts";
import { humanBytes, humanCount, humanTime } from "../humanise.ts";

interface Options {
  readonly server?: string;
}

export const registerList: Register = (program, act) => {
  const command = program
    .command("list")
    .description("the backups of a repository, oldest first")
    .option("--server <name>", "only those of this server")
    .addHelpText("after", example("cyrvault list --repo /backup/cyrus"));
  act<Options>(command, async (session, _args, { server }) => {
    await session.withRepository("read", async (repository) => {
      const all = await listBackups(repository, session.onUnreadable);
      const backups = all.filter((backup) => server === undefined || backup.server === server);
      const { output } = session;
      const table = output.table([
        { title: "BACKUP" },
        { title: "TIME" },
        { title: "SERVER" },
        { title: "MAILBOXES", align: "right" },
        { title: "MESSAGES", align: "right" },
        { title: "SIZE", align: "right" },
        { title: "STORED", align: "right" },
        { title: "FINDINGS", align: "right" },
      ]);
      for (const {
        backup,
        timeMs,
        server,
        host,
        parent,
        mailboxes,
        messages,
        bytes,
        stored,
        findings,
      } of backups) {
        if (session.json) {
          const time = new Date(timeMs).toISOString();
          const line = { backup, time, server, host, parent: parent ?? null };
          await output.object({ ...line, mailboxes, messages, bytes, stored, findings });
        } else {
          await table.row(
            backup,
            humanTime(timeMs),
            server,
            humanCount(mailboxes),
            humanCount(messages),
            humanBytes(bytes),
            humanBytes(stored),
            humanCount(findings),
          );
        }
      }
      await table.end();
      if (backups.length === 0 && !session.json) output.note("The repository holds no backup yet.");
    });
    return undefined;
  });
};
