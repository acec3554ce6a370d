/** What a runbook is made from. */
import type { ManifestRoot } from "../manifest/model.ts";
import type { RestoreFinding } from "./options.ts";
import type { SiteOptions } from "./runbook-site.ts";
import type { VersionFamily } from "./runbook-version.ts";

export type RunbookCase =
  | "everything-lost"
  | "spool-lost"
  | "configuration-lost"
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
  /** Where the restore put the text mailbox list. */
  readonly textListPath?: string;
}

/** When the backup is of, for people. */
export function moment(root: ManifestRoot): string {
  return `${new Date(root.cutMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
