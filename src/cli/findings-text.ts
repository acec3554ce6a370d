/** Findings as JSON and as text: the same for the commands that show them. */
import { toText } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";
import type { RestoreFinding } from "../restore/options.ts";
import type { Output } from "./output.ts";

const SHOWN = 20;

/** The interface of `--json`. */
export function findingObject(finding: Finding): object {
  const { code, severity, path, mailbox, uid, message, sinceMs, accepted } = finding;
  return {
    code,
    severity,
    path: toText(path),
    ...(mailbox === undefined ? {} : { mailbox: toText(mailbox) }),
    ...(uid === undefined ? {} : { uid }),
    message,
    since: new Date(sinceMs).toISOString(),
    accepted,
  };
}

/** `error message-missing /var/spool/…/4. (user.anna): …`: from 3.6 on a path does not tell whose it is. */
export function findingText({
  code,
  severity,
  path,
  mailbox,
  message,
  accepted,
}: Pick<Finding, "code" | "severity" | "path" | "mailbox" | "message" | "accepted">): string {
  const whose = mailbox === undefined ? "" : ` (${toText(mailbox)})`;
  return `${severity} ${code}${accepted ? " (accepted)" : ""} ${toText(path)}${whose}: ${message}`;
}

/** Of a restore or an export; the first ones. */
export function noteRestoreFindings(
  output: Output,
  findings: readonly RestoreFinding[],
  total: number,
): void {
  for (const { severity, code, path, message } of findings.slice(0, SHOWN))
    output.note(`  ${severity} ${code} ${toText(path)}: ${message}`);
  if (total > SHOWN) output.note(`  and ${total - SHOWN} more`);
}
