import { addAcceptRules, readAcceptRules } from "../../inspect/accepted.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { listFindings } from "../../inspect/findings.ts";
import { parseAcceptRule } from "../../manifest/accept-rules.ts";
import { collect, example, type Register } from "../command.ts";
import { findingObject, findingText } from "../findings-text.ts";
import { counted } from "../humanise.ts";

interface Options {
  readonly server?: string;
  readonly accept?: readonly string[];
}

export const registerFindings: Register = (program, act) => {
  const command = program
    .command("findings [backup]")
    .description("what was wrong or unusual at the source, worst first (of the latest backup by default)")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .option(
      "--accept <code[:path]>",
      "no longer an alarm, in this and later backups; may be given several times",
      collect,
    )
    .addHelpText(
      "after",
      example(
        "cyrvault findings --repo /backup/cyrus",
        "cyrvault findings --repo /backup/cyrus --accept guid-absent:user.anna.Old",
      ),
    );
  act<Options>(command, async (session, [selector = "latest"], { server, accept = [] }) => {
    accept.forEach(parseAcceptRule);
    const { output, json, signal } = session;
    await session.withRepository(accept.length > 0 ? "write" : "read", async (repository) => {
      const options = { server, nowMs: session.clock.nowMs() };
      const root = await chooseBackup(repository, selector, options, session.onUnreadable);
      const rules =
        accept.length > 0
          ? await addAcceptRules(repository, root.server, accept)
          : await readAcceptRules(repository, root.server);
      let total = 0;
      let accepted = 0;
      for await (const finding of listFindings(root, repository.objects, rules)) {
        signal.throwIfAborted();
        total++;
        if (finding.accepted) accepted++;
        if (json) await output.object(findingObject(finding));
        else await output.text(findingText(finding));
      }
      if (!json) output.note(`${counted(total, "finding")} in ${root.backup}, ${accepted} accepted.`);
    });
    return undefined;
  });
};
