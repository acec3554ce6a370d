import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  type BackupResult,
  type CheckResult,
  expectCode,
  type RestoreResult,
  type RunningCli,
  runCli,
  runJson,
  runJsonLines,
  startCli,
} from "../support/cli.ts";
import { CyrusServer } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { COMPARISON } from "../support/left-out.ts";
import { OpenWatch } from "../support/open-watch.ts";
import { fillServer } from "../support/scenario.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

/** What a run on an unchanged server may write: a manifest root and little else. */
const STORED_UNCHANGED_MAX = 64 * 1024;

const MESSAGE = /\/\d+\.$/;

interface MailboxLine {
  readonly mailbox: string;
  readonly messages: number;
}

interface MessageLine {
  readonly uid: number;
  readonly size: number;
  readonly expunged: boolean;
}

interface Backed {
  readonly workspace: string;
  readonly server: CyrusServer;
  readonly env: Readonly<Record<string, string>>;
  readonly repository: string;
  readonly backup: BackupResult;
}

/** A server that each test has a copy of. */
let filled: TempDir;

describeWithCyrus("the daily run", () => {
  beforeAll(async () => {
    filled = tempDir();
    // A server below it reads its own files as another user.
    chmodSync(filled.path, 0o755);
    const server = await CyrusServer.create(filled.in("server"));
    try {
      await server.start();
      await fillServer(server);
    } finally {
      await server.stop();
    }
  });
  afterAll(() => filled.remove());

  test("opens no message file, lists no directory and stores next to nothing where nothing changed", async () => {
    const { server, env, backup } = await backedUp({ settled: true });
    const watch = new OpenWatch([server.path("spool"), server.path("spool2")]);
    onTestFinished(() => watch.close());
    const args = ["backup", "--config", server.configPath];
    const again = await runJson<BackupResult>(args, { env });
    const opened = watch.take();
    expect(again.parent).toBe(backup.backup);
    expect(again.messages).toMatchObject({ total: backup.messages.total, new: 0, read: 0 });
    expect(again.mailboxes).toMatchObject({ total: backup.mailboxes.total, changed: 0, new: 0, gone: 0 });
    expect(again.mailboxes.unchanged).toBe(backup.mailboxes.total);
    expect(again.bytes.stored).toBeLessThanOrEqual(STORED_UNCHANGED_MAX);
    expect(opened.filter(isMessageOrDirectory)).toEqual([]);
  });

  test("the watch that the test above relies on sees every message that a first backup reads", async () => {
    const { server, env } = await backedUp();
    const watch = new OpenWatch([server.path("spool"), server.path("spool2")]);
    onTestFinished(() => watch.close());
    const args = ["backup", "--config", server.configPath, "--server", "another"];
    const first = await runJson<BackupResult>(args, { env });
    const opened = watch.take();
    expect(opened.filter((path) => MESSAGE.test(path)).length).toBeGreaterThanOrEqual(first.messages.read);
    expect(first.messages.read).toBeGreaterThan(80);
    expect(opened.filter((path) => path.endsWith("/")).length).toBeGreaterThan(first.mailboxes.total);
  });

  test("one new message reads one message", async () => {
    const { server, env } = await backedUp();
    await server.start();
    const client = await ImapClient.connect(server.ports.imap, "anna");
    await client.append("INBOX/Empty", Buffer.from("Subject: one more\r\n\r\nA new one.\r\n"));
    await client.logout();
    await server.stop();
    const again = await runJson<BackupResult>(["backup", "--config", server.configPath], { env });
    expect(again.messages).toMatchObject({ new: 1, read: 1 });
    expect(again.bytes.stored).toBeLessThanOrEqual(300 * 1024);
  });

  test("others list, print, restore and back up while a backup is under way", async () => {
    const { workspace, server, env, repository, backup } = await backedUp();
    const mailbox = "user.anna.Work";
    const args = ["backup", "--config", server.configPath, "--server", "another"];
    const running = await stoppedMidway(startCli(args, { env }), repository);

    const mailboxes = await runJsonLines<MailboxLine>(["ls", backup.backup], { env });
    expect(mailboxes.map((line) => line.mailbox)).toContain(mailbox);
    await expectReadable({ server, env, backup }, mailbox);
    const target = join(workspace, "restored");
    await runJson<RestoreResult>(["restore", backup.backup, "--target", target], { env });
    expect(
      compareTrees(readTree(server.directory), readTree(join(target, server.directory)), COMPARISON),
    ).toEqual([]);
    const third = ["backup", "--config", server.configPath, "--server", "a third"];
    expect((await runJson<BackupResult>(third, { env })).messages.total).toBe(backup.messages.total);

    process.kill(running.pid, "SIGCONT");
    expectCode(args, await running.result);
    const { errors } = await runJson<CheckResult>(["check", "--read-data"], {
      env,
    });
    expect(errors).toEqual([]);
    expect(await runJsonLines(["list"], { env })).toHaveLength(3);
  });

  test("everything goes on with index/ deleted", async () => {
    const { workspace, server, env, repository, backup } = await backedUp();
    expect(existsSync(join(repository, "index"))).toBe(true);
    rmSync(join(repository, "index"), { recursive: true });
    await expectReadable({ server, env, backup }, "user.anna.Work");
    const again = await runJson<BackupResult>(
      ["backup", "--config", server.configPath, "--server", "another"],
      { env },
    );
    expect(again.messages.total).toBe(backup.messages.total);
    expect(again.bytes.added, "what is there is found without the index").toBeLessThan(
      backup.bytes.added / 20,
    );
    rmSync(join(repository, "index"), { recursive: true, force: true });
    const target = join(workspace, "restored");
    await runJson<RestoreResult>(["restore", backup.backup, "--target", target], { env });
    expect(
      compareTrees(readTree(server.directory), readTree(join(target, server.directory)), COMPARISON),
    ).toEqual([]);
    const { errors } = await runJson<CheckResult>(["check"], { env });
    expect(errors).toEqual([]);
  });

  test("a repository mounted read-only can be listed, read, checked and restored, and takes no backup", async () => {
    const { workspace, server, env, repository, backup } = await backedUp();
    const through = withReadOnly(repository);
    const before = readTree(repository);
    expect(await runJsonLines(["list"], { env, through })).toHaveLength(1);
    await expectReadable({ server, env, backup }, "user.anna.Work", through);
    const check = await runJson<CheckResult>(["check", "--read-data"], {
      env,
      through,
    });
    expect(check.errors).toEqual([]);
    const target = join(workspace, "restored");
    await runJson<RestoreResult>(["restore", "latest", "--target", target], { env, through });
    expect(
      compareTrees(readTree(server.directory), readTree(join(target, server.directory)), COMPARISON),
    ).toEqual([]);
    const refused = await runCli(["backup", "--config", server.configPath], { env, through });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/read-only/i);
    expect(compareTrees(before, readTree(repository))).toEqual([]);
  });
});

/** A copy of the filled, stopped server and one backup of it. Settled: its files are too old to count as just written. */
async function backedUp({ settled = false } = {}): Promise<Backed> {
  const workspace = makeWorkspace();
  execFileSync("cp", ["-a", filled.in("server"), workspace]);
  const server = await CyrusServer.adopt(join(workspace, "server"));
  onTestFinished(() => server.stop());
  const env = sealedRepository(workspace);
  await runJson(["init"], { env });
  if (settled) await new Promise((resolve) => setTimeout(resolve, 2_500));
  const backup = await runJson<BackupResult>(["backup", "--config", server.configPath], { env });
  return { workspace, server, env, repository: env.CYRVAULT_REPO, backup };
}

/** `ls` of a mailbox names what is in it, and `cat` prints each message as it is on the disk. */
async function expectReadable(
  { server, env, backup }: Pick<Backed, "server" | "env" | "backup">,
  mailbox: string,
  through: readonly string[] = [],
): Promise<void> {
  const messages = await runJsonLines<MessageLine>(["ls", backup.backup, mailbox], { env, through });
  expect(messages.length).toBeGreaterThan(3);
  const onDisk = new Set<string>();
  for (const [path, { sha256 }] of readTree(server.path("spool"))) onDisk.add(`${basename(path)} ${sha256}`);
  for (const { uid, size } of messages.slice(0, 3)) {
    const args = ["cat", backup.backup, mailbox, String(uid)];
    const printed = await runCli(args, { env, through });
    expectCode(args, printed);
    expect(printed.stdout.length).toBe(size);
    const sha256 = createHash("sha256").update(printed.stdout).digest("hex");
    expect(onDisk).toContain(`${uid}. ${sha256}`);
  }
}

/** Waits until the backup has announced itself and holds the object index, then stops its process. */
async function stoppedMidway(running: RunningCli, repository: string): Promise<RunningCli> {
  const deadline = Date.now() + 60_000;
  while (!(holdsIndex(running.pid, repository) && hasRun(repository))) {
    if (running.process.exitCode !== null || Date.now() > deadline) {
      throw new Error(`the backup was never seen at work: ${(await running.result).stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  process.kill(running.pid, "SIGSTOP");
  onTestFinished(() => {
    if (running.process.exitCode === null && running.process.signalCode === null)
      running.process.kill("SIGKILL");
  });
  return running;
}

function hasRun(repository: string): boolean {
  return existsSync(join(repository, "runs")) && readdirSync(join(repository, "runs")).length > 0;
}

function holdsIndex(pid: number, repository: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
        return path.startsWith(join(repository, "index")) && path.endsWith("/LOCK");
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

/** Starts a program that sees `directory` mounted read-only; nobody else does. */
function withReadOnly(directory: string): string[] {
  const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, directory];
}

function isMessageOrDirectory(path: string): boolean {
  return path.endsWith("/") || MESSAGE.test(path);
}
