/** Whether a backup of a server that was at work is worth anything: restored, looked at by Cyrus, started, and read by its users. */
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { type BackupResult, type RestoreResult, runJson } from "./cli.ts";
import { CyrusServer } from "./cyrus-server.ts";
import { messagesOf, type SeenMessage } from "./seen-messages.ts";

/** @returns what its users see. Cyrus has found nothing wrong with any mailbox. */
export async function restoredMessages(
  server: CyrusServer,
  env: Readonly<Record<string, string>>,
  backup: string,
  target: string,
  users: readonly string[],
): Promise<SeenMessage[]> {
  const { findings } = await runJson<RestoreResult>(["restore", backup, "--target", target], { env });
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  const restored = await CyrusServer.adopt(join(target, server.directory), server.options);
  onTestFinished(() => restored.stop());
  expect(await restored.damage()).toEqual([]);
  await restored.start();
  const seen = await messagesOf(restored, users);
  await restored.stop();
  return seen;
}

/** Findings that tell of mailboxes of several moments, or worse. */
export function inconsistencies({ findings }: Pick<BackupResult, "findings">): string[] {
  return findings
    .filter(({ severity, code }) => severity !== "note" && !code.startsWith("cut-"))
    .map(({ code, path, message }) => `${code} ${path}: ${message}`);
}
