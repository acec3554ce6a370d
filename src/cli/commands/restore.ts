import { resolve } from "node:path";
import { fromText, toText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { keepMemorySmall } from "../../base/posix-memory.ts";
import { chooseBackup } from "../../inspect/backups.ts";
import type { RestoreFinding, RestoreOptions, RestorePlan, RestoreResult } from "../../restore/options.ts";
import { planRestore } from "../../restore/plan.ts";
import { runRestore } from "../../restore/run.ts";
import { runbookFor } from "../../restore/runbook-for.ts";
import { example, type Register } from "../command.ts";
import { addExcludedOptions } from "../excluded-options.ts";
import { EXIT } from "../exit-codes.ts";
import { noteRestoreFindings } from "../findings-text.ts";
import { counted, humanBytes, humanCount, humanDuration } from "../humanise.ts";
import type { Output } from "../output.ts";
import { addSelectionOptions, type SelectionGiven, selectionOptions } from "../selection-options.ts";
import { workerThreads } from "../threads.ts";

interface Options extends SelectionGiven {
  readonly target: string;
  readonly overwrite?: string;
  readonly dryRun?: boolean;
}

/** Parts after which nothing is left to be done. */
const COMPLETE: ReadonlySet<string> = new Set(["sieve", "config", "text-dumps"]);
const IN_THE_WAY_SHOWN = 20;
/** Beside the command's own. Two already come to about 256 MB, and may go beyond (docs/decisions/0012-restore-in-workers.md). */
const THREADS_MAX = 2;

export const registerRestore: Register = (program, act) => {
  const command = program
    .command("restore <backup>")
    .description("put files back as they were, below a directory")
    .requiredOption("-t, --target <dir>", "paths of the server are made again below it");
  addSelectionOptions(command)
    .option("--overwrite <rule>", "never: what is there stays; if-different: what differs is written anew")
    .option("-n, --dry-run", "say what would be done")
    .addHelpText(
      "after",
      example(
        "cyrvault restore --repo /backup/cyrus latest --target /restored",
        "cyrvault restore --repo /backup/cyrus @2d --target /restored --mailbox user.anna.Work --uid 42",
      ),
    );
  addExcludedOptions(command);
  act<Options>(command, async (session, [selector = ""], given) => {
    keepMemorySmall();
    const options = restoreOptions(given);
    const { output, json, clock, progress, signal } = session;
    return await session.withRepository("read", async (repository) => {
      const choose = { server: given.server, nowMs: clock.nowMs() };
      const root = await chooseBackup(repository, selector, choose, session.onUnreadable);
      const prepared = await planRestore(options, root, repository.objects);
      if (given.dryRun === true) {
        if (json) await output.object({ ...prepared.plan, findings: [], seconds: 0, dryRun: true });
        else await output.text(planText(prepared.plan, options.overwrite));
        return undefined;
      }
      if (!json) output.note(planText(prepared.plan, options.overwrite));
      const { objects, backend, seal } = repository;
      const workers = { objects, backend, seal, threads: Math.min(THREADS_MAX, workerThreads()) };
      const hasSteps = options.only.length === 0 || options.only.some(({ part }) => !COMPLETE.has(part));
      const result = await session.withProgress(() =>
        runRestore(prepared, {
          source: objects,
          clock,
          progress,
          signal,
          workers,
          ...(hasSteps ? { runbook: runbookFor(options, root) } : {}),
        }),
      );
      if (json) await output.object(restoreObject(result));
      else await printResult(output, result);
      return result.incomplete ? EXIT.incomplete : undefined;
    });
  });
};

/** @throws {CyrvaultError} `USAGE`. */
export function restoreOptions(given: Options): RestoreOptions {
  return {
    ...selectionOptions(given),
    target: fromText(resolve(given.target)),
    overwrite: parseOverwrite(given.overwrite),
  };
}

function parseOverwrite(text: string | undefined): RestoreOptions["overwrite"] {
  if (text === undefined || text === "never" || text === "if-different") return text;
  throw new CyrvaultError("USAGE", `--overwrite ${text}: it is never or if-different`);
}

function findingObject({ code, severity, path, message }: RestoreFinding): object {
  return { code, severity, path: toText(path), message };
}

function restoreObject(result: RestoreResult): object {
  const { backup, mailboxes, messages, files, bytes, findings, findingsTotal, seconds, runbook, blocks } =
    result;
  return {
    backup,
    mailboxes,
    messages,
    files,
    bytes,
    outcomes: result.outcomes,
    findings: findings.map(findingObject),
    findingsTotal,
    seconds,
    blockBytesOpened: blocks?.opened ?? 0,
    blockBytesNeeded: blocks?.needed ?? 0,
    runbook: runbook?.path ?? null,
  };
}

function planText(plan: RestorePlan, overwrite: RestoreOptions["overwrite"]): string {
  const { backup, mailboxes, messages, files, bytes, spaceNeeded, spaceFree, roots, resumes } = plan;
  const lines = [
    `Restore of ${backup}: ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")}, ${counted(files, "other file")}, ${humanBytes(bytes)}.`,
    `  space needed ${humanBytes(spaceNeeded)}, free ${humanBytes(spaceFree)}`,
    ...roots.map(({ from, to }) => `  ${from} → ${to}`),
  ];
  if (resumes) lines.push("  goes on with a restore that was interrupted");
  lines.push(...standingLines(plan, overwrite));
  return lines.join("\n");
}

function standingLines(
  { standing, wouldOverwrite }: RestorePlan,
  overwrite: RestoreOptions["overwrite"],
): string[] {
  if (standing === 0) return [];
  if (overwrite === "if-different")
    return [
      `  ${counted(standing, "file")} there already: compared, and written anew where the backup has something else`,
    ];
  if (overwrite === "never") return [`  ${counted(standing, "file")} there already, left as they are`];
  const shown = wouldOverwrite.slice(0, IN_THE_WAY_SHOWN);
  const lines = shown.map((path) => `  is there already: ${path}`);
  const more = wouldOverwrite.length - shown.length;
  return more > 0 ? [...lines, `  … and ${humanCount(more)} more`] : lines;
}

/** Nothing, where nothing was there. */
function outcomesText({ written, replaced, same, kept }: RestoreResult["outcomes"]): string | undefined {
  if (replaced + same + kept === 0) return undefined;
  const parts = [
    `${humanCount(written)} were missing and came back`,
    `${humanCount(replaced)} differed and were replaced`,
    `${humanCount(same)} were the same already`,
    ...(kept > 0 ? [`${humanCount(kept)} were there and stay as they are`] : []),
  ];
  return `  of ${counted(written + replaced + same + kept, "message and other file", "messages and other files")} ${parts.join(", ")}`;
}

async function printResult(output: Output, result: RestoreResult): Promise<void> {
  const { backup, mailboxes, messages, files, bytes, findings, findingsTotal, seconds, runbook, blocks } =
    result;
  noteRestoreFindings(output, findings, findingsTotal);
  await output.text(
    `Restored ${backup}: ${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message")}, ${counted(files, "other file")}, ${humanBytes(bytes)} in ${humanDuration(seconds * 1000)}; every byte compared with what was stored.`,
  );
  if (result.incomplete)
    output.note("Not everything came back: the errors above name what did not (exit code 3).");
  const outcomes = outcomesText(result.outcomes);
  if (outcomes !== undefined) await output.text(outcomes);
  if (blocks !== undefined && blocks.needed > 0)
    await output.text(
      `  ${humanBytes(blocks.opened)} of blocks opened for ${humanBytes(blocks.needed)} of objects (${(blocks.opened / blocks.needed).toFixed(2)})`,
    );
  if (runbook !== undefined) await output.text(`\n${runbook.text}\nThis is also in ${runbook.path}`);
}
