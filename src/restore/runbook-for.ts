/** The runbook of a restore that has been asked for: what the backup and the request say, put together. */
import { toText } from "../base/byte-string.ts";
import type { MailboxListStyle } from "../cyrus/mailbox-list-entry.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { RestoreFinding, RestoreOptions } from "./options.ts";
import { makeRunbook } from "./runbook.ts";
import { caseOf, type RunbookInput } from "./runbook-input.ts";
import { versionFamily } from "./runbook-version.ts";

export interface Restored {
  /** Internal names, as many as are to be shown. */
  readonly mailboxes: readonly string[];
  readonly findings: readonly RestoreFinding[];
  readonly listIsWithout?: boolean;
  /** Where the text mailbox list was put, if it was. */
  readonly textListPath?: string;
}

const STYLES: ReadonlySet<string> = new Set<MailboxListStyle>(["text", "dlist", "dlist-by-id"]);

export function runbookFor(options: RestoreOptions, root: ManifestRoot): (restored: Restored) => string {
  const ofBackup = aboutBackup(root);
  return (restored) =>
    makeRunbook({
      ...ofBackup,
      case: caseOf(options, root.server),
      target: toText(options.target),
      excluded: options.excluded,
      ...restored,
    });
}

/** After a whole loss, with everything restored in place, from whichever backup of this server. Names no mailbox. */
export function runbookForAnyBackup(root: ManifestRoot): string {
  return makeRunbook({
    ...aboutBackup(root),
    case: "everything-lost",
    target: "/",
    anyBackup: true,
    mailboxes: [],
    findings: [],
  });
}

function aboutBackup(root: ManifestRoot): Pick<RunbookInput, "root" | "family" | "remoteEntries"> {
  const { mailboxListStyle: style, maxIndexVersion, remoteMailboxes } = root.cyrus.layout;
  const family = versionFamily({
    ...(style !== undefined && STYLES.has(style) ? { listStyle: style as MailboxListStyle } : {}),
    maxIndexVersion: Number(maxIndexVersion ?? 0),
  });
  return { root, family, remoteEntries: Number(remoteMailboxes ?? 0) > 0 };
}
