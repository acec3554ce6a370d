import { toText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { listMailboxes, listMessages } from "../../inspect/ls.ts";
import { findMailbox, isPattern } from "../../inspect/mailbox-selector.ts";
import { textDumpsOf } from "../../inspect/text-dumps.ts";
import { isExcludedEntry } from "../../manifest/excluded-mailboxes.ts";
import type { ManifestRoot } from "../../manifest/model.ts";
import type { Repository } from "../../store/repository.ts";
import { example, type Register } from "../command.ts";
import { counted, humanBytes, humanCount, humanTime } from "../humanise.ts";
import type { Session } from "../session.ts";

interface Options {
  readonly server?: string;
  readonly textDumps?: boolean;
}

export const registerLs: Register = (program, act) => {
  const command = program
    .command("ls <backup> [mailbox]")
    .description("the mailboxes of a backup, the messages of one mailbox, or its text dumps")
    .option("--server <name>", "whose latest backup is meant, where there are several servers")
    .option("--text-dumps", "what `backup --text-dumps` has added; `cat --text-dump` prints one")
    .addHelpText(
      "after",
      example(
        "cyrvault ls --repo /backup/cyrus latest",
        "cyrvault ls --repo /backup/cyrus latest 'user.anna.*'",
        "cyrvault ls --repo /backup/cyrus @2026-11-20 user.anna.Work",
        "cyrvault ls --repo /backup/cyrus latest --text-dumps",
      ),
    );
  act<Options>(command, async (session, [selector = "", mailbox], { server, textDumps = false }) => {
    if (textDumps && mailbox !== undefined)
      throw new CyrvaultError("USAGE", "--text-dumps and a mailbox: there is one text for all mailboxes");
    await session.withRepository("read", async (repository) => {
      const options = { server, nowMs: session.clock.nowMs() };
      const root = await chooseBackup(repository, selector, options, session.onUnreadable);
      if (textDumps) await printTextDumps(session, repository, root);
      else if (mailbox === undefined || isPattern(mailbox))
        await printMailboxes(session, repository, root, mailbox);
      else await printMessages(session, repository, root, mailbox);
    });
    return undefined;
  });
};

async function printMailboxes(
  { output, json, signal }: Session,
  { objects }: Repository,
  root: ManifestRoot,
  pattern: string | undefined,
): Promise<void> {
  const table = output.table([
    { title: "MAILBOX" },
    { title: "PARTITION" },
    { title: "MESSAGES", align: "right" },
    { title: "SIZE", align: "right" },
    { title: "UIDVALIDITY", align: "right" },
    { title: "LAST UID", align: "right" },
  ]);
  let count = 0;
  let emptied = 0;
  for await (const line of listMailboxes(root, objects, pattern)) {
    signal.throwIfAborted();
    count++;
    if (json) await output.object(line);
    else {
      const { mailbox, partition, messages, bytes, uidvalidity, lastUid, excluded } = line;
      if (excluded === true) emptied++;
      const sizes = [humanCount(messages), humanBytes(bytes)];
      await table.row(mailbox, partition, ...sizes, String(uidvalidity), String(lastUid));
    }
  }
  await table.end();
  if (count === 0 && !json)
    output.note(pattern === undefined ? "It holds no mailbox." : `No mailbox matches ${pattern}.`);
  if (emptied > 0)
    output.note(
      `${counted(emptied, "mailbox", "mailboxes")} of these: excluded from the backup, which has none of their mail (--json says which).`,
    );
  if (json || pattern !== undefined) return;
  const dumps = await textDumpsOf(root, objects);
  if (dumps.length > 0)
    output.note(`${counted(dumps.length, "text dump")}: \`cyrvault ls ${root.backup} --text-dumps\``);
}

async function printTextDumps(
  { output, json }: Session,
  { objects }: Repository,
  root: ManifestRoot,
): Promise<void> {
  const dumps = await textDumpsOf(root, objects);
  if (dumps.length === 0 && !json) output.note(`${root.backup} was made without --text-dumps.`);
  const table = output.table([{ title: "TEXT DUMP" }, { title: "SIZE", align: "right" }, { title: "PATH" }]);
  for (const { name, bytes, path } of dumps) {
    if (json) await output.object({ textDump: name, bytes, path });
    else await table.row(name, humanBytes(bytes), path);
  }
  await table.end();
}

async function printMessages(
  { output, json, signal }: Session,
  { objects }: Repository,
  root: ManifestRoot,
  name: string,
): Promise<void> {
  const mailbox = await findMailbox(root, objects, name);
  const table = output.table([
    { title: "UID", align: "right" },
    { title: "DATE" },
    { title: "SIZE", align: "right" },
    { title: "FLAGS" },
    { title: "GUID" },
    { title: "FROM" },
    { title: "SUBJECT" },
  ]);
  for await (const line of listMessages(mailbox, objects)) {
    signal.throwIfAborted();
    if (json) {
      await output.object(line);
      continue;
    }
    const { uid, internalDate, size, flags, expunged, guid, from, subject } = line;
    await table.row(
      String(uid),
      internalDate === null ? "-" : humanTime(Date.parse(internalDate)),
      size === null ? "-" : humanBytes(size),
      [...flags, ...(expunged ? ["(expunged)"] : [])].join(" ") || "-",
      guid?.slice(0, 12) ?? "-",
      shortened(from ?? "-", 30),
      shortened(subject ?? "-", 60),
    );
  }
  await table.end();
  if (!json && isExcludedEntry(root, mailbox.name))
    output.note(`${toText(mailbox.name)} was excluded from this backup, which has none of its mail.`);
}

function shortened(text: string, length: number): string {
  const characters = [...text];
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}
