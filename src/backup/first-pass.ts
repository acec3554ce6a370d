/**
 * A pass over a server that goes on meanwhile: it fills the store, so that the backup that follows, of the server at rest,
 * finds nearly everything there. It is no backup and never becomes one: it ends as a checkpoint. What the next run takes
 * over from that are mailboxes that are as they were then, and that proved to be of one moment; of the others it takes
 * messages whose record is the same, by their GUID, which was compared with the file when it was read.
 */
import { EMPTY_TREE } from "../manifest/page-tree.ts";
import { encodeRoot } from "../manifest/root.ts";
import type { BackupOptions } from "./options.ts";
import { makeBackup } from "./run.ts";
import type { BackupContext } from "./run-context.ts";
import { startBackup } from "./start-backup.ts";

export interface FirstPassResult {
  readonly mailboxes: number;
  readonly messages: { readonly total: number; readonly new: number; readonly read: number };
  readonly bytes: { readonly read: number; readonly stored: number };
  readonly seconds: number;
}

/** What it finds is not kept: it may be no more than the traces of a server at work. */
const NO_FINDINGS = { note: 0, warning: 0, error: 0, accepted: 0 };

/** @throws {CyrvaultError} as a backup does. */
export async function runFirstPass(
  options: BackupOptions,
  context: Omit<BackupContext, "cut" | "live" | "onCommitted">,
): Promise<FirstPassResult> {
  const { clock } = context;
  const began = clock.monotonicMs();
  const started = await startBackup(options, context);
  const { run } = started;
  try {
    // Who has accepted a finding wants no alarm; the mailbox is looked at again all the same.
    const { root } = await makeBackup(options, { ...context, acceptRules: [], mustProve: true }, started);
    await run.writer.flush();
    const counts = { ...root.counts, findings: NO_FINDINGS };
    await run.checkpoint(encodeRoot({ ...root, findings: EMPTY_TREE, counts }));
    return {
      mailboxes: counts.mailboxes,
      messages: { total: counts.messages, new: counts.messagesNew, read: counts.messagesRead },
      bytes: { read: root.bytes.read, stored: run.writer.stats.storedBytes },
      seconds: (clock.monotonicMs() - began) / 1000,
    };
  } finally {
    await run.abort();
  }
}
