import { hostname } from "node:os";
import { decodeRoot } from "../../manifest/root.ts";
import { undelete } from "../../retention/undelete.ts";
import { listForgotten, readForgotten } from "../../store/forgotten.ts";
import { example, type Register } from "../command.ts";
import { counted, humanTime } from "../humanise.ts";

export const registerUndelete: Register = (program, act) => {
  const command = program
    .command("undelete [backup...]")
    .description(
      "bring forgotten backups back, as long as prune has not removed them; without a name: list them",
    )
    .addHelpText(
      "after",
      example(
        "cyrvault undelete --repo /backup/cyrus",
        "cyrvault undelete --repo /backup/cyrus 20261120T030000Z-1a2b3c4d",
      ),
    );
  act<object>(command, async (session, ids) => {
    const { output, json } = session;
    await session.withRepository(ids.length > 0 ? "write" : "read", async (repository) => {
      if (ids.length > 0) repository.requireWritable();
      for (const id of ids) await undelete(repository, id, hostname());
      if (ids.length > 0) {
        if (json) await output.object({ undeleted: ids });
        else await output.text(`${counted(ids.length, "backup")} brought back.`);
        return;
      }
      const present = new Set((await repository.listBackups()).map(({ id }) => id));
      const table = output.table([
        { title: "BACKUP" },
        { title: "TIME" },
        { title: "SERVER" },
        { title: "FORGOTTEN" },
      ]);
      let count = 0;
      for (const id of await listForgotten(repository.backend)) {
        const forgotten = present.has(id) ? undefined : await readForgotten(repository, id);
        if (forgotten === undefined) continue;
        const { server, startedMs } = decodeRoot(forgotten.bytes);
        const { forgottenMs } = forgotten;
        count++;
        if (json) {
          const [time, gone] = [startedMs, forgottenMs].map((ms) => new Date(ms).toISOString());
          await output.object({ backup: id, time, server, forgotten: gone });
        } else await table.row(id, humanTime(startedMs), server, humanTime(forgottenMs));
      }
      await table.end();
      if (count === 0 && !json) output.note("No forgotten backup can be brought back.");
    });
    return undefined;
  });
};
