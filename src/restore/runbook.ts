/**
 * What to do with a restored tree, step by step: text for an administrator, for this site's paths, this Cyrus version
 * and this kind of loss. Pure: it looks at nothing but its input.
 *
 * Lines that begin with eight blanks are commands, to be typed as they stand; a line after one that begins with
 * `Must print nothing` says so of it.
 */
import { toText } from "../base/byte-string.ts";
import { escapeForTerminal, escapeLinesForTerminal } from "../base/escape.ts";
import { moment, type RunbookCase, type RunbookInput } from "./runbook-input.ts";
import { listLostRunbook } from "./runbook-list.ts";
import { messagesOnlyRunbook, someMailboxesRunbook } from "./runbook-parts.ts";
import { RunbookSite } from "./runbook-site.ts";
import { hereStep, type Step } from "./runbook-steps.ts";
import { traitsOf } from "./runbook-version.ts";
import { WHOLE_SERVER_STEPS } from "./runbook-whole.ts";

export type { RunbookCase, RunbookInput } from "./runbook-input.ts";

export function makeRunbook(input: RunbookInput): string {
  return render(head(input), stepsFor(input));
}

function stepsFor(input: RunbookInput): Step[] {
  const site = new RunbookSite(input);
  const version = traitsOf(input.family);
  switch (input.case) {
    case "some-mailboxes":
      return someMailboxesRunbook(input, site, version);
    case "list-lost":
      return listLostRunbook(input, site, version);
    case "messages-only":
      return messagesOnlyRunbook(input, site, version);
    default: {
      const steps = WHOLE_SERVER_STEPS[input.case](input, site, version);
      return site.inPlace ? steps : [hereStep(site), ...steps];
    }
  }
}

const CASES: Readonly<Record<RunbookCase, string>> = {
  "everything-lost": "everything was lost",
  "spool-lost": "the spool was lost, the configuration directory is whole",
  "configuration-lost": "the configuration directory was lost, the spool is whole",
  "list-lost": "the mailbox list was lost, everything else is whole",
  "some-mailboxes": "some mailboxes are to come back",
  "messages-only": "some messages are to come back",
};

const FINDINGS_SHOWN = 20;

function head(input: RunbookInput): string[] {
  const { root, family, findings } = input;
  const serious = findings.filter(({ severity }) => severity !== "note");
  const lines = [
    "What to do now",
    "==============",
    `${input.anyBackup ? "Any backup" : `Backup ${root.backup}`} of ${root.server}${input.anyBackup ? "" : `, ${moment(root)}`}; Cyrus ${traitsOf(family).label}.`,
    `The case: ${CASES[input.case]}.`,
    "Do the steps in this order. Lines that begin with eight blanks are commands for bash, as root, to be typed as they",
    "stand. Tools are taken from the directory where Debian has them; on other systems look in /usr/cyrus/bin,",
    "/usr/lib/cyrus-imapd, /usr/libexec or /usr/sbin.",
  ];
  if (serious.length === 0) return lines;
  lines.push(`The restore had ${serious.length} findings. Understand them before you go on:`);
  for (const { code, path, message } of serious.slice(0, FINDINGS_SHOWN))
    lines.push(`  ${code}  ${toText(path)}: ${message}`);
  if (serious.length > FINDINGS_SHOWN) lines.push(`  … and ${serious.length - FINDINGS_SHOWN} more`);
  return lines;
}

function render(introduction: readonly string[], steps: readonly Step[]): string {
  const out = [...introduction.map((line) => escapeForTerminal(line)), ""];
  steps.forEach(({ title, lines }, position) => {
    out.push(`${position + 1}. ${escapeForTerminal(title)}`);
    for (const line of lines) {
      if (typeof line === "string") out.push(`   ${escapeLinesForTerminal(line)}`);
      else out.push("", `        ${line.run}`, "");
    }
    out.push("");
  });
  return `${out
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trimEnd()}\n`;
}
