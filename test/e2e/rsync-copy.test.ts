/** Backups of copies of a server that rsync made: one brought up to date, and one made anew, where every inode and ctime is another. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type BackupResult, type RestoreResult, runJson } from "../support/cli.ts";
import { CyrusServer, cyrusMissing } from "../support/cyrus-server.ts";
import { describeWith } from "../support/describe-with.ts";
import { ImapClient } from "../support/imap-client.ts";
import { COMPARISON } from "../support/left-out.ts";
import { fillServer } from "../support/scenario.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

function rsyncMissing(): string | undefined {
  try {
    execFileSync("rsync", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "rsync is missing: apt-get install rsync";
  }
}

describeWith(cyrusMissing() ?? rsyncMissing(), "Cyrus and rsync are there", "a copy made by rsync", () => {
  test("is backed up byte for byte, again after the next rsync, and again as another copy; no message is read twice", async () => {
    const workspace = makeWorkspace();
    const server = await CyrusServer.create(join(workspace, "server"));
    onTestFinished(() => server.stop());
    await server.start();
    await fillServer(server);
    await server.stop();
    const env = sealedRepository(workspace);
    await runJson(["init"], { env });
    const rsync = (copy: string): string => {
      const root = join(workspace, copy);
      mkdirSync(root, { recursive: true });
      execFileSync("rsync", ["-aHR", "--delete", `${server.directory}/`, `${root}/`]);
      return root;
    };
    const backUp = async (root: string): Promise<BackupResult> => {
      const args = ["backup", "--config", server.configPath, "--root", root];
      const result = await runJson<BackupResult>(args, { env });
      const target = join(workspace, `restored-${result.backup}`);
      await runJson<RestoreResult>(["restore", result.backup, "--target", target], { env });
      const [copied, restored] = [join(root, server.directory), join(target, server.directory)];
      expect(compareTrees(readTree(copied), readTree(restored), COMPARISON)).toEqual([]);
      return result;
    };

    const first = await backUp(rsync("copy"));
    expect(first.messages.read).toBeGreaterThan(80);

    await server.start();
    const client = await ImapClient.connect(server.ports.imap, "anna");
    await client.append("INBOX/Empty", Buffer.from("Subject: one more\r\n\r\nA new one.\r\n"));
    await client.logout();
    await server.stop();
    const second = await backUp(rsync("copy"));
    expect(second.messages).toMatchObject({ total: first.messages.total + 1, new: 1, read: 1 });

    const third = await backUp(rsync("another copy"));
    expect(third.mailboxes).toMatchObject({ total: second.mailboxes.total, unchanged: 0 });
    expect(third.messages, "what the index names is known").toMatchObject({ new: 0 });
    expect(third.messages.read, "of no sound mailbox a message is read again").toBeLessThan(5);
  });
});
