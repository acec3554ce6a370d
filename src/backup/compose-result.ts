/** What a run answers, from the manifest root that it has made. */
import { isCyrvaultError } from "../base/errors.ts";
import { excludedNames } from "../manifest/excluded-mailboxes.ts";
import type { Finding } from "../manifest/finding.ts";
import { findingPages } from "../manifest/finding-page.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import type { BackupResult } from "./options.ts";
import { LEFT_OUT_REASON } from "./restrict-messages.ts";

const FINDINGS_SHOWN = 1000;

export async function composeResult(
  root: ManifestRoot,
  source: PageSource,
  measured: {
    readonly directories: BackupResult["directories"];
    readonly renamed: number;
    readonly storedBytes: number;
    readonly seconds: number;
  },
): Promise<BackupResult> {
  const { counts } = root;
  const { note, warning, error, accepted } = counts.findings;
  return {
    backup: root.backup,
    parent: root.parent,
    server: root.server,
    timeMs: root.startedMs,
    mailboxes: {
      total: counts.mailboxes,
      changed: counts.changed,
      unchanged: counts.unchanged,
      new: counts.new,
      gone: counts.gone,
      renamed: measured.renamed,
    },
    messages: { total: counts.messages, new: counts.messagesNew, read: counts.messagesRead },
    bytes: { ...root.bytes, stored: measured.storedBytes },
    leftOut: leftOutOf(root),
    findings: await firstFindings(root, source),
    findingsTotal: note + warning + error + accepted,
    incomplete: error > 0,
    directories: measured.directories,
    seconds: measured.seconds,
  };
}

function leftOutOf(root: ManifestRoot): BackupResult["leftOut"] {
  const { files = 0, bytes = 0 } = root.leftOut.find(({ reason }) => reason === LEFT_OUT_REASON) ?? {};
  return { mailboxes: excludedNames(root, true).length, messages: files, bytes };
}

async function firstFindings(root: ManifestRoot, source: PageSource): Promise<Finding[]> {
  const shown: Finding[] = [];
  try {
    for await (const finding of readPageTree(root.findings, source, findingPages)) {
      if (shown.length >= FINDINGS_SHOWN) break;
      shown.push(finding);
    }
  } catch (error) {
    // Pages that an earlier run stored, which a key that may only write cannot open: the backup stands all the same.
    if (!isCyrvaultError(error, "KEY_WRITE_ONLY")) throw error;
  }
  return shown;
}
