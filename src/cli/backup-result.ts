/** What a backup answers: as text, and as JSON. */
import type { BackupOptions, BackupResult } from "../backup/options.ts";
import type { BackupPlan } from "../backup/plan.ts";
import { isListSeries } from "../manifest/list-series.ts";
import { findingObject, findingText } from "./findings-text.ts";
import { counted, humanBytes, humanCount, humanDuration } from "./humanise.ts";
import type { Output } from "./output.ts";

/** Shown to a person; all of them: `cyrvault findings`. */
const FINDINGS_SHOWN = 20;

export function planText(plan: BackupPlan): string {
  const { server, parent, roots, mailboxes, messagesToReadAtMost, files, leftOut, excluded } = plan;
  const since = parent === undefined ? "it would be the first one" : `after ${parent}`;
  const lines = [
    `A backup of ${server}, ${since}. Nothing is stored now.`,
    ...roots.map(
      ({ kind, path, readFrom }) => `  ${kind} ${path}${readFrom === path ? "" : `, read from ${readFrom}`}`,
    ),
    mailboxesLine(mailboxes),
    `  at most ${counted(messagesToReadAtMost, "message")} to read`,
    `  ${counted(files.total, "other file")}: ${humanCount(files.toRead)} to read, ${humanBytes(files.bytesToRead)}`,
    ...leftOut.map(({ path, reason }) => `  left out: ${path} (${reason})`),
    ...excluded.map((mailbox) => `  excluded: ${mailbox}`),
  ];
  return lines.join("\n");
}

function mailboxesLine({ total, gone, renamed, ...states }: BackupResult["mailboxes"]): string {
  const line = `  ${counted(total, "mailbox", "mailboxes")}: ${humanCount(states.new)} new, ${humanCount(states.changed)} changed, ${humanCount(states.unchanged)} unchanged, ${humanCount(gone)} gone`;
  return renamed === 0 ? line : `${line}; ${humanCount(renamed)} of them renamed`;
}

export function isRestricted({ excludeMailboxes, filter = {}, only }: BackupOptions): boolean {
  return only === undefined && (excludeMailboxes.length > 0 || Object.keys(filter).length > 0);
}

export function backupObject(result: BackupResult): object {
  const { backup, parent, timeMs, mailboxes, messages, bytes, findings, findingsTotal, seconds } = result;
  return {
    backup,
    parent: parent ?? null,
    time: new Date(timeMs).toISOString(),
    server: result.server,
    mailboxes,
    messages,
    bytes,
    leftOut: result.leftOut,
    findings: findings.map(findingObject),
    findingsTotal,
    incomplete: result.incomplete,
    directories: result.directories,
    seconds,
  };
}

/** Said also where it is nothing: a pattern may be mistyped. */
function leftOutLine({ mailboxes, messages, bytes }: BackupResult["leftOut"]): string {
  return `  left out: ${counted(mailboxes, "mailbox", "mailboxes")}; of others ${counted(messages, "message")}, ${humanBytes(bytes)}`;
}

export async function printResult(
  output: Output,
  result: BackupResult,
  isRestricted: boolean,
  howTaken: readonly string[],
): Promise<void> {
  const { backup, parent, server, mailboxes, messages, bytes, leftOut, findings, findingsTotal, seconds } =
    result;
  const since = parent === undefined ? "the first one" : `after ${parent}`;
  await output.text(
    [
      `Backup ${backup} of ${server}, ${since}, in ${humanDuration(seconds * 1000)}.`,
      ...(isListSeries(server)
        ? []
        : [
            mailboxesLine(mailboxes),
            `  ${counted(messages.total, "message")}: ${humanCount(messages.new)} new, ${humanCount(messages.read)} read`,
          ]),
      `  ${isListSeries(server) ? "the list alone: " : ""}${humanBytes(bytes.source)} at the source, ${humanBytes(bytes.read)} read, ${humanBytes(bytes.added)} new, ${humanBytes(bytes.stored)} stored`,
      ...(isRestricted ? [leftOutLine(leftOut)] : []),
      ...howTaken,
    ].join("\n"),
  );
  const unaccepted = findings.filter(({ accepted }) => !accepted);
  for (const finding of unaccepted.slice(0, FINDINGS_SHOWN)) output.note(`  ${findingText(finding)}`);
  if (findingsTotal > 0) {
    const more = `\`cyrvault findings ${backup}\` shows all`;
    output.note(
      `${counted(findingsTotal, "finding")}, ${counted(findings.length - unaccepted.length, "accepted", "accepted")}; ${more}.`,
    );
  }
  if (result.incomplete)
    output.note("The backup is complete but for what the errors above name: exit code 3.");
}
