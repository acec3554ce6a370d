import { CyrvaultError } from "../../base/errors.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { diffBackups, diffMessages, type MailboxChange, type MessageChange } from "../../inspect/diff.ts";
import { lookUpMailbox } from "../../inspect/mailbox-selector.ts";
import { example, type Register } from "../command.ts";
import { humanCount } from "../humanise.ts";

interface Options {
  readonly server?: string;
}

export const registerDiff: Register = (program, act) => {
  const command = program
    .command("diff <before> <after> [mailbox]")
    .description("what differs between two backups, or between two states of a mailbox")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .addHelpText(
      "after",
      example(
        "cyrvault diff --repo /backup/cyrus @2d latest",
        "cyrvault diff --repo /backup/cyrus @2d latest user.anna",
      ),
    );
  act<Options>(command, async (session, [first = "", second = "", name], { server }) => {
    const { output, json, signal } = session;
    await session.withRepository("read", async (repository) => {
      const { objects } = repository;
      const options = { server, nowMs: session.clock.nowMs() };
      const before = await chooseBackup(repository, first, options, session.onUnreadable);
      const after = await chooseBackup(repository, second, options, session.onUnreadable);
      let count = 0;
      if (name === undefined) {
        for (const change of await diffBackups(before, after, objects)) {
          count++;
          if (json) await output.object(change);
          else await output.text(mailboxLine(change));
        }
      } else {
        const then = await lookUpMailbox(before, objects, name);
        const now = await lookUpMailbox(after, objects, name);
        if (then === undefined && now === undefined)
          throw new CyrvaultError("MAILBOX_NOT_FOUND", `neither backup has a mailbox ${name}`);
        for await (const change of diffMessages(then, now, objects)) {
          signal.throwIfAborted();
          count++;
          if (json) await output.object(change);
          else await output.text(messageLine(change));
        }
      }
      if (count === 0 && !json) output.note("No difference.");
    });
    return undefined;
  });
};

const SIGNS = { added: "+", removed: "-", changed: "M", renamed: "R", flags: "F", content: "M" } as const;

function mailboxLine({ change, mailbox, from, aspects, messages }: MailboxChange): string {
  const counts = [
    messages.added > 0 ? `+${humanCount(messages.added)}` : "",
    messages.removed > 0 ? `-${humanCount(messages.removed)}` : "",
  ].filter((part) => part !== "");
  const isOne = messages.added + messages.removed === 1;
  const numbers = counts.length === 0 ? "" : `  ${counts.join(" ")} ${isOne ? "message" : "messages"}`;
  const others = aspects.filter((aspect) => aspect !== "messages");
  const what = others.length === 0 ? "" : `  (${others.join(", ")})`;
  return `${SIGNS[change]} ${from === undefined ? "" : `${from} → `}${mailbox}${numbers}${what}`;
}

function messageLine({ change, uid, flagsAdded = [], flagsRemoved = [] }: MessageChange): string {
  const flags = [...flagsAdded.map((flag) => `+${flag}`), ...flagsRemoved.map((flag) => `-${flag}`)];
  return `${SIGNS[change]} ${uid}${flags.length === 0 ? "" : `  ${flags.join(" ")}`}`;
}
