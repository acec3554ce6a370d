/** Findings as JSON and as text: the same for the commands that show them. */
import { toText } from "../base/byte-string.ts";
import type { Finding } from "../manifest/finding.ts";

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

/** `error message-missing /var/spool/…/4.: …`. */
export function findingText({ code, severity, path, message, accepted }: Finding): string {
  return `${severity} ${code}${accepted ? " (accepted)" : ""} ${toText(path)}: ${message}`;
}
