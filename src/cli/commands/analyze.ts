import { resolve } from "node:path";
import type { AnalyzeResult, Step, StepName } from "../../analyze/options.ts";
import { runAnalyze } from "../../analyze/run.ts";
import { fromText } from "../../base/byte-string.ts";
import { CyrvaultError } from "../../base/errors.ts";
import { parseMapping } from "../../source/view.ts";
import { collect, example, type Register } from "../command.ts";
import { counted, humanBytes, humanCount, humanDuration } from "../humanise.ts";
import type { Output } from "../output.ts";
import type { Session } from "../session.ts";
import { parseCompression, parseShare } from "./backup.ts";

interface Options {
  readonly config?: string;
  readonly root: string;
  readonly map?: readonly string[];
  readonly compression: string;
  readonly sample: string;
  readonly largest: string;
}

export const registerAnalyze: Register = (program, act) => {
  const command = program
    .command("analyze")
    .description("how a spool would deduplicate and compress; needs no repository and writes nothing")
    .option("--config <imapd.conf>", "the server's configuration (default: /etc/imapd.conf)")
    .option("--root <dir>", "where the frozen snapshot is mounted: every path is looked up below it", "/")
    .option("--map <from=to>", "one path prefix lies elsewhere; may be given several times", collect)
    .option("--sample <share>", "read a share of the messages, as 1/20, and estimate the rest", "all")
    .option("--compression <level>", "fast, auto or max", "auto")
    .option("--largest <count>", "how many repeated attachments are named", "20")
    .addHelpText(
      "after",
      example(
        "cyrvault analyze --root /mnt/snapshot",
        "cyrvault analyze --config /etc/imapd.conf --sample 1/20 --json",
      ),
    );
  act<Options>(command, async (session, _args, given) => {
    const result = await session.withProgress(() => analyze(session, given));
    if (session.json) await session.output.object(result);
    else await print(session.output, result);
    return undefined;
  });
};

async function analyze(session: Session, given: Options): Promise<AnalyzeResult> {
  const { clock, progress, signal, log } = session;
  return await runAnalyze(
    {
      config: given.config === undefined ? undefined : fromText(resolve(given.config)),
      root: fromText(resolve(given.root)),
      mappings: (given.map ?? []).map(parseMapping),
      compression: parseCompression(given.compression),
      share: parseShare(given.sample, "--sample"),
      largest: parseCount(given.largest),
    },
    {
      clock,
      progress,
      signal,
      onUnreadable: (path, error) => log.warning(`${path} does not count: ${error.message}`),
    },
  );
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,6}$/.test(text)) return count;
  throw new CyrvaultError("USAGE", `--largest ${text}: not a number of attachments`);
}

const STEP_TEXTS: Readonly<Record<StepName, string>> = {
  source: "message files",
  "hard-links": "a file under several names once",
  "whole-files": "copies of a message once",
  "mime-parts": "equal parts once, as they are encoded",
  base64: "base64 decoded, whatever its wrapping",
  "large-parts": "large parts cut by content",
  compression: "blocks compressed",
};

async function print(output: Output, result: AnalyzeResult): Promise<void> {
  await output.text(summary(result).join("\n"));
  await printSteps(output, result);
  await printLargest(output, result);
  await output.text(repositoryLines(result).join("\n"));
}

function summary(result: AnalyzeResult): string[] {
  const { mailboxes, messages, bytes, sample, hardLinks, copies, attachments } = result;
  const { all, different, bytesMin } = attachments;
  const about = sample === null ? "" : "about ";
  const lines = [
    `${counted(mailboxes, "mailbox", "mailboxes")}, ${counted(messages, "message file")}, ${humanBytes(bytes)}`,
    `  ${about}${counted(result.differentMessages.count, "different message")}, ${humanBytes(result.differentMessages.bytes)}; besides, ${counted(hardLinks.count, "hard link")} (${humanBytes(hardLinks.bytes)}) and ${counted(copies.count, "copy", "copies")} (${humanBytes(copies.bytes)})`,
    `  ${about}${counted(all.count, "attachment")} of ${humanBytes(bytesMin)} or more in them, ${humanBytes(all.bytes)} decoded; ${humanCount(different.count)} different, ${humanBytes(different.bytes)}`,
  ];
  if (sample !== null)
    lines.push(
      `  a sample: ${counted(sample.messages, "message")} read, ${humanBytes(sample.bytes)}; ± is how far it may be off, or more where few large attachments decide`,
    );
  return [...lines, ""];
}

async function printSteps(output: Output, { steps, bytes }: AnalyzeResult): Promise<void> {
  const table = output.table([
    { title: "STEP" },
    { title: "SAVES", align: "right" },
    { title: "LEFT", align: "right" },
    { title: "OF ALL", align: "right" },
    { title: "" },
  ]);
  for (const step of steps)
    await table.row(
      STEP_TEXTS[step.step],
      step.step === "source" ? "" : signedBytes(step.saved),
      humanBytes(step.bytes),
      bytes === 0 ? "" : `${((100 * step.bytes) / bytes).toFixed(1)} %`,
      margin(step),
    );
  await table.end();
}

function signedBytes(bytes: number): string {
  return bytes < 0 ? `-${humanBytes(-bytes)}` : humanBytes(bytes);
}

function margin({ bytes, interval }: Pick<Step, "bytes" | "interval">): string {
  if (interval === null || interval.high <= bytes) return "";
  return `± ${humanBytes(interval.high - bytes)}`;
}

async function printLargest(output: Output, { largest }: AnalyzeResult): Promise<void> {
  if (largest.attachments.length === 0) return;
  await output.text(`\nAttachments that take most by repetition (${humanBytes(largest.bytesMin)} or more):`);
  const table = output.table([
    { title: "SIZE", align: "right" },
    { title: "TIMES", align: "right" },
    { title: "MAILBOXES", align: "right" },
    { title: "NAME" },
  ]);
  for (const { bytes, times, mailboxes, name, type } of largest.attachments)
    await table.row(humanBytes(bytes), humanCount(times), humanCount(mailboxes), name ?? `(${type})`);
  await table.end();
}

function repositoryLines({ repository, otherFiles, bytes, problems, seconds }: AnalyzeResult): string[] {
  const { messages, records, bookkeeping, total, interval } = repository;
  const lines = [
    "",
    `A first backup would take about ${humanBytes(total)}${interval === null ? "" : ` (${humanBytes(interval.low)} to ${humanBytes(interval.high)})`}:`,
    `  messages ${humanBytes(messages)}; ${counted(otherFiles.count, "other file")} (${humanBytes(otherFiles.bytes)}) and the manifest ${humanBytes(records)}; directories ${humanBytes(bookkeeping)}`,
  ];
  if (total > 0)
    lines.push(`  ${((bytes + otherFiles.bytes) / total).toFixed(1)} times smaller than what is there`);
  const { missing, withoutGuid, guidMismatch, unreadable } = problems;
  const oddities = [
    missing > 0 ? `${humanCount(missing)} without a file` : "",
    withoutGuid > 0 ? `${humanCount(withoutGuid)} without a GUID` : "",
    guidMismatch > 0 ? `${humanCount(guidMismatch)} other than their index says` : "",
    unreadable > 0 ? `${humanCount(unreadable)} unreadable` : "",
  ].filter((text) => text !== "");
  if (oddities.length > 0) lines.push(`  messages that are odd: ${oddities.join(", ")}`);
  return [...lines, `  (${humanDuration(seconds * 1000)})`];
}
