import { toText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { planExport } from "../../export/plan.ts";
import { type ExportResult, runExport } from "../../export/run.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import { example, type Register } from "../command.ts";
import { addExcludedOptions } from "../excluded-options.ts";
import { EXIT } from "../exit-codes.ts";
import { noteRestoreFindings } from "../findings-text.ts";
import { counted, humanBytes, humanDuration } from "../humanise.ts";
import type { Output } from "../output.ts";
import { addSelectionOptions, type SelectionGiven, selectionOptions } from "../selection-options.ts";
import { isBrokenPipe } from "../terminal.ts";

export const registerExport: Register = (program, act) => {
  const command = program
    .command("export <backup>")
    .description("what a restore would write, as an archive on standard output")
    .requiredOption("--tar", "a tar archive in the pax format of POSIX")
    .addHelpText(
      "after",
      example(
        "cyrvault export --repo /backup/cyrus latest --tar | dd obs=10240 of=/dev/nst0",
        "cyrvault export --repo /backup/cyrus latest --tar --user anna | ssh mail tar -xp -C /restored",
      ),
    );
  addExcludedOptions(addSelectionOptions(command));
  act<SelectionGiven>(command, async (session, [selector = ""], given) => {
    const options = selectionOptions(given);
    const { output, json, clock, progress, signal, terminal } = session;
    if (terminal.outIsTerminal)
      throw new CyrvaultError("USAGE", "an archive is not written to a terminal", {
        hint: "send it into a file (> FILE), to a tape, or through a pipe (| ssh HOST tar -xp -C DIR)",
      });
    keepMemorySmall();
    return await session.withRepository("read", async (repository) => {
      const choose = { server: given.server, nowMs: clock.nowMs() };
      const root = await chooseBackup(repository, selector, choose, session.onUnreadable);
      const { objects } = repository;
      const prepared = await planExport(options, root, objects);
      const result = await session.withProgress(() =>
        runExport(prepared, {
          source: objects,
          sink: (bytes) => write(output, bytes),
          clock,
          progress,
          signal,
        }),
      );
      report(output, result, json);
      return result.incomplete ? EXIT.incomplete : undefined;
    });
  });
};

/** Elsewhere it is in order that nobody reads to the end; an archive is then not what was asked for. */
async function write(output: Output, bytes: Uint8Array): Promise<void> {
  try {
    await output.bytes(bytes);
  } catch (error) {
    if (!isBrokenPipe(error)) throw error;
    throw new CyrvaultError("IO", "whoever read the archive has gone: it is not whole", {
      hint: "look at what the program at the other end of the pipe said",
    });
  }
}

/** Standard output has the archive. */
function report(output: Output, result: ExportResult, json: boolean): void {
  const { backup, mailboxes, messages, files, bytes, archiveBytes, findings, findingsTotal, seconds } =
    result;
  if (json) {
    const shown = findings.map(({ path, ...rest }) => ({ ...rest, path: toText(path) }));
    output.event({ type: "result", ...result, findings: shown });
    return;
  }
  noteRestoreFindings(output, findings, findingsTotal);
  output.note(
    `Exported ${backup}: ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")}, ${counted(files, "other file")}, ${humanBytes(bytes)} in an archive of ${humanBytes(archiveBytes)}, in ${humanDuration(seconds * 1000)}.`,
  );
}
