import { CyrvaultError } from "../../base/errors.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { readTags, writeTags } from "../../retention/backup-tags.ts";
import { collect, example, type Register } from "../command.ts";

interface Options {
  readonly server?: string;
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly hold?: string;
  readonly release?: boolean;
}

export const registerTag: Register = (program, act) => {
  const command = program
    .command("tag <backup>")
    .description("show or change the tags of a backup, or put a hold on it: then forget leaves it alone")
    .option("--server <name>", "whose backup is meant, where there are several servers")
    .option("--add <tag>", "a tag more; may be given several times", collect)
    .option("--remove <tag>", "a tag less; may be given several times", collect)
    .option("--hold <reason>", "keep it until the hold is taken off, and why")
    .option("--release", "take the hold off")
    .addHelpText(
      "after",
      example(
        "cyrvault tag --repo /backup/cyrus latest --add before-upgrade",
        'cyrvault tag --repo /backup/cyrus @2026-11-20 --hold "court case 17"',
      ),
    );
  act<Options>(command, async (session, [selector = "latest"], options) => {
    const { server, add = [], remove = [], hold, release = false } = options;
    for (const tag of add) checkText("--add", tag);
    if (hold !== undefined) checkText("--hold", hold);
    if (hold !== undefined && release)
      throw new CyrvaultError("USAGE", "--hold and --release at once: which of them?");
    const changes = add.length + remove.length > 0 || hold !== undefined || release;
    await session.withRepository(changes ? "write" : "read", async (repository) => {
      const choose = { server, nowMs: session.clock.nowMs() };
      const { backup } = await chooseBackup(repository, selector, choose, session.onUnreadable);
      const before = await readTags(repository, backup);
      const after = {
        tags: [...new Set([...before.tags, ...add])].filter((tag) => !remove.includes(tag)).sort(),
        hold: release ? undefined : (hold ?? before.hold),
      };
      if (changes) await writeTags(repository, backup, after);
      const { output, json } = session;
      if (json) await output.object({ backup, tags: after.tags, hold: after.hold ?? null });
      else {
        const held = after.hold === undefined ? "no hold" : `hold: ${after.hold}`;
        await output.text(`${backup}: ${after.tags.length > 0 ? after.tags.join(", ") : "no tags"}; ${held}`);
      }
    });
    return undefined;
  });
};

/** @throws {CyrvaultError} `USAGE`. */
function checkText(option: string, text: string): void {
  if (text.trim() !== "" && text.length <= 200) return;
  throw new CyrvaultError("USAGE", `${option}: empty, or longer than 200 characters`);
}
