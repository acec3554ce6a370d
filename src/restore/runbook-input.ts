/** What a runbook is made from. */
import { isListSeries } from "../manifest/list-series.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { RestoreFinding, RestoreOptions } from "./options.ts";
import type { SiteOptions } from "./runbook-site.ts";
import type { VersionFamily } from "./runbook-version.ts";

export type RunbookCase =
  | "everything-lost"
  | "spool-lost"
  | "configuration-lost"
  | "list-lost"
  | "some-mailboxes"
  | "messages-only";

export interface RunbookInput extends SiteOptions {
  readonly root: ManifestRoot;
  readonly family: VersionFamily;
  readonly case: RunbookCase;
  /** Internal names of what was chosen, as many as are to be shown. */
  readonly mailboxes: readonly string[];
  readonly findings: readonly RestoreFinding[];
  /** The mailbox list has entries of other servers. */
  readonly remoteEntries: boolean;
  /** One for all backups of this server: it says nothing that is true of `root` alone. For `everything-lost`. */
  readonly anyBackup?: boolean;
  /** What becomes of mailboxes that were excluded from the backup. */
  readonly excluded?: RestoreOptions["excluded"];
  /** The mailbox list restored has none of the names that are absent. */
  readonly listIsWithout?: boolean;
  /** Where the restore put the text mailbox list. */
  readonly textListPath?: string;
}

/** When the backup is of, for people. */
export function moment(root: ManifestRoot): string {
  return `${new Date(root.cutMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** Which loss a restore is for, as far as what was asked for tells. @param server - as its backups are kept under. */
export function caseOf({ only, users, mailboxes, uids }: RestoreOptions, server: string): RunbookCase {
  if (isListSeries(server)) return "list-lost";
  if (uids !== undefined) return "messages-only";
  if (users.length > 0 || mailboxes.length > 0) return "some-mailboxes";
  const has = (...parts: readonly string[]) => only.some(({ part }) => parts.includes(part));
  if (has("mailbox-list") && !has("configdirectory", "partition", "sieve")) return "list-lost";
  const spool = has("partition");
  const configuration = has("configdirectory", "mailbox-list");
  if (spool && !configuration) return "spool-lost";
  return configuration && !spool ? "configuration-lost" : "everything-lost";
}
