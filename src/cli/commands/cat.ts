import { CyrvaultError } from "../../base/errors.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { findMessage, messageBytes, parseUid } from "../../inspect/cat.ts";
import { findMailbox } from "../../inspect/mailbox-selector.ts";
import { textDumpBytes } from "../../inspect/text-dumps.ts";
import { example, type Register } from "../command.ts";

interface Options {
  readonly server?: string;
  readonly textDump?: string;
}

export const registerCat: Register = (program, act) => {
  const command = program
    .command("cat <backup> [mailbox] [uid]")
    .description("one message, byte for byte, or one text dump, on standard output")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .option(
      "--text-dump <name>",
      "what `backup --text-dumps` has added: seen.txt (`ls --text-dumps` names them)",
    )
    .addHelpText(
      "after",
      example(
        "cyrvault cat --repo /backup/cyrus latest user.anna.Work 42 > 42.eml",
        "cyrvault cat --repo /backup/cyrus latest --text-dump subscriptions.txt",
      ),
    );
  act<Options>(command, async (session, [selector = "", name = "", uid = ""], { server, textDump }) => {
    const isWhole = textDump === undefined ? uid !== "" : name === "";
    if (!isWhole)
      throw new CyrvaultError("USAGE", "cat wants a mailbox and a UID, or --text-dump and neither");
    const wanted = textDump === undefined ? parseUid(uid) : 0;
    await session.withRepository("read", async (repository) => {
      const { objects } = repository;
      const options = { server, nowMs: session.clock.nowMs() };
      const root = await chooseBackup(repository, selector, options, session.onUnreadable);
      if (textDump !== undefined) {
        for await (const bytes of await textDumpBytes(root, textDump, objects)) {
          session.signal.throwIfAborted();
          await session.output.bytes(bytes);
        }
        return;
      }
      const mailbox = await findMailbox(root, objects, name);
      const entry = await findMessage(mailbox, wanted, objects);
      if (entry.good !== undefined)
        session.log.warning(
          "the file was damaged when it was backed up: this is the good copy of an earlier backup",
        );
      for await (const bytes of messageBytes(entry, objects)) {
        session.signal.throwIfAborted();
        await session.output.bytes(bytes);
      }
    });
    return undefined;
  });
};
