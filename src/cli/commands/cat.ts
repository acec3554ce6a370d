import { chooseBackup } from "../../inspect/backups.ts";
import { findMessage, messageBytes, parseUid } from "../../inspect/cat.ts";
import { findMailbox } from "../../inspect/mailbox-selector.ts";
import { example, type Register } from "../command.ts";

interface Options {
  readonly server?: string;
}

export const registerCat: Register = (program, act) => {
  const command = program
    .command("cat <backup> <mailbox> <uid>")
    .description("one message, byte for byte, on standard output")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .addHelpText("after", example("cyrvault cat --repo /backup/cyrus latest user.anna.Work 42 > 42.eml"));
  act<Options>(command, async (session, [selector = "", name = "", uid = ""], { server }) => {
    const wanted = parseUid(uid);
    await session.withRepository("read", async (repository) => {
      const { objects } = repository;
      const options = { server, nowMs: session.clock.nowMs() };
      const root = await chooseBackup(repository, selector, options, session.onUnreadable);
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
