/** The built command line on a sample server: each command, its JSON, its exit codes. */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { advanceServer } from "../../src/sample/advance.ts";
import { generateServer } from "../../src/sample/generate.ts";
import type { SampleServer } from "../../src/sample/sample-server.ts";
import {
  type BackupResult,
  type CheckResult,
  expectCode,
  type FindingResult,
  type RestoreResult,
  runCli,
  runJson,
  runJsonLines,
  startCli,
} from "../support/cli.ts";
import { readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

const ID = /^\d{8}T\d{6}Z-[0-9a-f]{8}$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

interface MailboxLine {
  readonly mailbox: string;
  readonly messages: number;
}

interface MessageLine {
  readonly uid: number;
  readonly guid: string;
  readonly size: number;
}

describe("two days of a server", () => {
  const place = mkdtempSync(join(tmpdir(), "cyrvault-cli-"));
  const env = { CYRVAULT_REPO: join(place, "repository") };
  let server: SampleServer;
  let first: BackupResult;
  let second: BackupResult;
  let mailbox: MailboxLine;

  beforeAll(async () => {
    server = generateServer(join(place, "server"), { messages: 200, users: 4 });
    const init = await runJson<{ repository: string; encrypted: boolean }>(["init", "--no-encryption"], {
      env,
    });
    expect(init).toEqual({ repository: expect.stringMatching(/^[0-9a-f]{32}$/), encrypted: false });
    const backup = ["backup", "--config", server.configPath];
    first = await runJson<BackupResult>(backup, { env });
    advanceServer(server, { day: 1, share: 0.5 });
    second = await runJson<BackupResult>(backup, { env });
    const lines = await runJsonLines<MailboxLine>(["ls", second.backup], { env });
    mailbox = lines.reduce((most, line) => (line.messages > most.messages ? line : most));
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  test("backup says what it did", () => {
    expect(first).toEqual(
      expect.objectContaining({
        backup: expect.stringMatching(ID),
        parent: null,
        time: expect.stringMatching(ISO),
        findings: expect.any(Array),
        findingsTotal: expect.any(Number),
        seconds: expect.any(Number),
      }),
    );
    expect(first.mailboxes).toMatchObject({ unchanged: 0, gone: 0, new: first.mailboxes.total });
    expect(first.messages.read).toBeGreaterThanOrEqual(server.counts.messages / 2);
    expect(first.bytes.source).toBeGreaterThan(first.bytes.stored);
    expect(second.parent).toBe(first.backup);
    expect(second.messages.read).toBeLessThan(second.messages.total);
    expect(second.bytes.stored).toBeLessThan(first.bytes.stored);
  });

  test("a dry run stores nothing and says what would be read", async () => {
    const before = readTree(env.CYRVAULT_REPO);
    const plan = await runJson<{ dryRun: boolean; parent: string; mailboxes: { total: number } }>(
      ["backup", "--config", server.configPath, "--dry-run"],
      { env },
    );
    expect(plan).toMatchObject({ dryRun: true, parent: second.backup });
    expect(plan.mailboxes.total).toBe(second.mailboxes.total);
    expect([...readTree(env.CYRVAULT_REPO)]).toEqual([...before]);
  });

  test("list has a line for each backup, oldest first", async () => {
    const lines = await runJsonLines(["list"], { env });
    expect(lines).toEqual(
      [first, second].map(({ backup, parent, mailboxes, messages, bytes }) => ({
        backup,
        time: expect.stringMatching(ISO),
        server: expect.any(String),
        host: expect.any(String),
        parent,
        mailboxes: mailboxes.total,
        messages: messages.total,
        bytes: bytes.source,
        stored: expect.any(Number),
        findings: expect.any(Number),
      })),
    );
    const { stdout } = await runCli(["list"], { env });
    expect(stdout.toString()).toMatch(/^BACKUP .*\n.*\n.*\n$/);
  });

  test("ls of a backup has its mailboxes, by name", async () => {
    const lines = await runJsonLines<MailboxLine>(["ls", "latest"], { env });
    expect(lines).toHaveLength(second.mailboxes.total);
    for (const line of lines)
      expect(line).toEqual({
        mailbox: expect.any(String),
        uniqueid: expect.any(String),
        partition: expect.stringMatching(/^\w+$/),
        messages: expect.any(Number),
        bytes: expect.any(Number),
        uidvalidity: expect.any(Number),
        lastUid: expect.any(Number),
      });
    expect(lines.reduce((sum, line) => sum + line.messages, 0)).toBe(second.messages.total);
    const some = await runJsonLines<MailboxLine>(["ls", "latest", "user.%"], { env });
    expect(some.length).toBeGreaterThan(1);
    expect(some.length).toBeLessThan(lines.length);
  });

  test("ls of a mailbox has its messages, and cat gives each of them byte for byte", async () => {
    const lines = await runJsonLines<MessageLine>(["ls", second.backup, mailbox.mailbox], { env });
    expect(lines).toHaveLength(mailbox.messages);
    for (const line of lines)
      expect(line).toMatchObject({
        uid: expect.any(Number),
        guid: expect.stringMatching(/^[0-9a-f]{40}$/),
        size: expect.any(Number),
        internalDate: expect.stringMatching(ISO),
        flags: expect.any(Array),
        expunged: expect.any(Boolean),
        messageId: expect.stringMatching(/^<.*>$/),
        from: expect.any(String),
        subject: expect.any(String),
      });
    const message = lines.at(-1) as MessageLine;
    const args = ["cat", second.backup, mailbox.mailbox, String(message.uid)];
    const printed = await runCli(args, { env });
    expectCode(args, printed);
    expect(printed.stdout).toHaveLength(message.size);
    expect(createHash("sha1").update(printed.stdout).digest("hex")).toBe(message.guid);
    const table = await runCli(["ls", second.backup, mailbox.mailbox], { env });
    expect(table.stdout.toString().split("\n")[0]).toMatch(/UID +DATE +SIZE +FLAGS +GUID +FROM +SUBJECT/);
  });

  test("diff names what the day brought", async () => {
    interface Change {
      readonly change: string;
      readonly mailbox: string;
      readonly messages: { readonly added: number };
    }
    const changes = await runJsonLines<Change>(["diff", first.backup, second.backup], { env });
    expect(changes.length).toBeGreaterThan(2);
    expect(changes.reduce((sum, { messages }) => sum + messages.added, 0)).toBeGreaterThanOrEqual(
      second.messages.total - first.messages.total,
    );
    const grown = changes.find(({ change, messages }) => change === "changed" && messages.added > 0);
    const args = ["diff", first.backup, second.backup, grown?.mailbox ?? "none has grown"];
    const messages = await runJsonLines<{ change: string }>(args, { env });
    expect(messages.filter(({ change }) => change === "added")).toHaveLength(grown?.messages.added ?? -1);
    expect(await runJsonLines(["diff", "latest", "latest"], { env })).toEqual([]);
  });

  test("stats have their kinds and ratios", async () => {
    const stats = await runJson<{ bytes: { source: number; unique: number; stored: number } }>(["stats"], {
      env,
    });
    const totals = { objects: expect.any(Number), bytes: expect.any(Number), stored: expect.any(Number) };
    expect(stats).toEqual({
      backups: 2,
      mailboxes: first.mailboxes.total + second.mailboxes.total,
      messages: first.messages.total + second.messages.total,
      bytes: {
        source: first.bytes.source + second.bytes.source,
        unique: expect.any(Number),
        stored: expect.any(Number),
      },
      kinds: { data: totals, message: totals, meta: totals, manifest: totals },
      dedupRatio: expect.closeTo(stats.bytes.source / stats.bytes.unique, 2),
      compressionRatio: expect.closeTo(stats.bytes.unique / stats.bytes.stored, 2),
    });
    expect(await runJson(["stats", first.backup], { env })).toMatchObject({
      backups: 1,
      messages: first.messages.total,
    });
  });

  test("check finds nothing, reading structure or everything", async () => {
    const check = await runJson<CheckResult & { bytesRead: number }>(["check"], { env });
    expect(check).toEqual({
      errors: [],
      errorsTotal: 0,
      packs: expect.any(Number),
      objects: expect.any(Number),
      backups: 2,
      bytesRead: 0,
      packsRead: 0,
      damagedFiles: [],
      missingPacks: [],
      recoveryReader: "same",
      remnants: 0,
      seconds: expect.any(Number),
    });
    const all = await runJson<CheckResult & { bytesRead: number }>(["check", "--read-data"], { env });
    expect(all).toMatchObject({ errors: [], packs: check.packs, objects: check.objects });
    expect(all.bytesRead).toBeGreaterThan(0);
    const some = await runJson<CheckResult & { bytesRead: number }>(["check", "--read-data=1%"], { env });
    expect(some.bytesRead).toBeLessThan(all.bytesRead);
  });

  test.each(["packs", "segments"])("the index is made anew from %s", async (from) => {
    const rebuilt = await runJson<{ packs: number; unreadable: string[] }>(
      ["rebuild-index", "--from", from],
      {
        env,
      },
    );
    expect(rebuilt.packs).toBeGreaterThan(0);
    expect(rebuilt.unreadable).toEqual([]);
    expect((await runJson<CheckResult>(["check"], { env })).errors).toEqual([]);
    expect(await runJsonLines(["ls", "latest"], { env })).toHaveLength(second.mailboxes.total);
  });

  test("restore says what it did, and a dry run does nothing", async () => {
    const target = join(place, "restored");
    const args = ["restore", second.backup, "--target", target];
    await runJson<RestoreResult>([...args, "--dry-run"], { env });
    expect(existsSync(target)).toBe(false);
    const restored = await runJson<RestoreResult>(args, { env });
    expect(restored).toMatchObject({
      backup: second.backup,
      mailboxes: second.mailboxes.total,
      messages: second.messages.total,
      findings: [],
    });
    expect((await runCli(args, { env })).code, "what is there is not written over").toBe(1);
  });

  test("wrong usage and missing things have their exit codes", async () => {
    const code = async (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
      (await runCli(args, { env: { ...env, ...more } })).code;
    expect(await code(["list", "--repo", join(place, "none")])).toBe(10);
    expect(await code(["lst"])).toBe(2);
    expect(await code(["list", "--frobnicate"])).toBe(2);
    expect(await code(["forget"]), "not there yet").toBe(2);
    expect(await code(["ls", "nonsense!"])).toBe(2);
    expect(await code(["ls", "19991231"])).toBe(1);
    expect(await code(["ls", "latest", "user.nobody"])).toBe(1);
    expect(await code(["cat", "latest", mailbox.mailbox, "4294967295"])).toBe(1);
    expect(await code(["init", "--no-encryption"]), "there is one already").toBe(1);
    expect(await code(["backup", "--config", join(place, "no.conf")])).toBe(1);
  });
});

test("a wrong password is exit code 12, none at all 2", async () => {
  const env = { CYRVAULT_REPO: join(makeWorkspace(), "repository") };
  const init = await runJson(["init"], { env: { ...env, CYRVAULT_PASSWORD: "right" } });
  expect(init).toMatchObject({ encrypted: true });
  expect((await runCli(["list"], { env: { ...env, CYRVAULT_PASSWORD: "right" } })).code).toBe(0);
  expect((await runCli(["list"], { env: { ...env, CYRVAULT_PASSWORD: "wrong" } })).code).toBe(12);
  expect((await runCli(["list"], { env })).code).toBe(2);
});

test("a password for a repository that is not encrypted is an error", async () => {
  const env = { CYRVAULT_REPO: join(makeWorkspace(), "repository") };
  await runJson(["init", "--no-encryption"], { env });
  expectCode(["list"], await runCli(["list"], { env }));
  const { code, stderr } = await runCli(["list"], { env: { ...env, CYRVAULT_PASSWORD: "x" } });
  expect(code).toBe(2);
  expect(stderr).toContain("not encrypted");
});

test("latest of several servers is an error, unless one is named", async () => {
  const workspace = makeWorkspace();
  const env = { CYRVAULT_REPO: join(workspace, "repository") };
  const { configPath } = generateServer(join(workspace, "server"), { messages: 20, users: 1 });
  await runJson(["init", "--no-encryption"], { env });
  const backup = ["backup", "--config", configPath];
  const one = await runJson<BackupResult>([...backup, "--server", "one"], { env });
  const two = await runJson<BackupResult>([...backup, "--server", "two"], { env });
  expect(two.parent, "another server is no parent").toBe(null);
  expect(two.bytes.added).toBeLessThan(one.bytes.added);
  const refused = await runCli(["ls", "latest"], { env });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("--server");
  expect((await runJsonLines(["ls", "latest", "--server", "one"], { env })).length).toBe(one.mailboxes.total);
  expectCode(["ls"], await runCli(["ls", two.backup], { env }));
});

test("a finding of severity error is exit code 3 until it is accepted", async () => {
  const workspace = makeWorkspace();
  const env = { CYRVAULT_REPO: join(workspace, "repository"), CYRVAULT_PASSWORD: "x" };
  const server = generateServer(join(workspace, "server"), { messages: 40, users: 1 });
  unlinkSync(someMessage(join(workspace, "server/spool")));
  await runJson(["init"], { env });
  const args = ["backup", "--config", server.configPath];
  const backup = await runJson<BackupResult>(args, { env, codes: [3] });
  const error = backup.findings.find(({ severity }) => severity === "error");
  expect(error).toMatchObject({
    code: "message-missing",
    accepted: false,
    since: expect.stringMatching(ISO),
  });
  const listed = await runJsonLines<FindingResult>(["findings"], { env });
  expect(listed).toHaveLength(backup.findingsTotal);
  const [accepted] = await runJsonLines(["findings", "--accept", `message-missing:${error?.path}`], { env });
  expect(accepted).toMatchObject({ code: "message-missing", accepted: true });
  const again = await runJson<BackupResult>(args, { env });
  expect(again.findings[0]).toMatchObject({ code: "message-missing", accepted: true });
});

test("one flipped byte in the data is found by check --read-data, and it is exit code 1", async () => {
  const workspace = makeWorkspace();
  const env = { CYRVAULT_REPO: join(workspace, "repository") };
  const { configPath } = generateServer(join(workspace, "server"), { messages: 20, users: 1 });
  await runJson(["init", "--no-encryption"], { env });
  await runJson(["backup", "--config", configPath], { env });
  const packs = join(env.CYRVAULT_REPO, "packs");
  const [pack = ""] = readdirSync(packs, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\w{64}$/.test(name),
  );
  const bytes = readFileSync(join(packs, pack));
  const at = Math.floor(bytes.length / 3);
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(join(packs, pack), bytes);
  const { errors } = await runJson<CheckResult>(["check", "--read-data"], { env, codes: [1] });
  expect(errors).toContainEqual(
    expect.objectContaining({ code: "REPOSITORY_DAMAGED", path: expect.stringContaining("packs/") }),
  );
});

test("an interrupted backup is exit code 130, and the next one goes on", async () => {
  const workspace = makeWorkspace();
  const env = { CYRVAULT_REPO: join(workspace, "repository") };
  const { configPath } = generateServer(join(workspace, "server"), { messages: 1500, users: 4 });
  await runJson(["init", "--no-encryption"], { env });
  const running = startCli(["backup", "--config", configPath, "--json"], { env });
  const runs = join(env.CYRVAULT_REPO, "runs");
  while (!(existsSync(runs) && readdirSync(runs).length > 0))
    await new Promise((resolve) => setTimeout(resolve, 5));
  running.process.kill("SIGINT");
  const { code, stderr, stdout } = await running.result;
  expect(code).toBe(130);
  expect(stderr).toContain("interrupted");
  expect(stdout.toString()).toBe("");
  expect(await runJsonLines(["list"], { env })).toEqual([]);
  const backup = await runJson<BackupResult>(["backup", "--config", configPath], { env });
  expect(backup.messages.total).toBeGreaterThanOrEqual(1500);
  expect((await runJson<CheckResult>(["check"], { env })).errors).toEqual([]);
});

test("the demo shows that all comes back, and leaves nothing behind", async () => {
  const workspace = makeWorkspace();
  const temporary = join(workspace, "tmp");
  mkdirSync(temporary);
  const result = await runJson<{
    backups: string[];
    compared: number;
    differences: number;
    checkErrors: number;
  }>(["demo"], { env: { TMPDIR: temporary } });
  expect(result).toMatchObject({ differences: 0, checkErrors: 0 });
  expect(result.backups).toHaveLength(4);
  expect(result.compared).toBeGreaterThan(1000);
  expect(readdirSync(temporary)).toEqual([]);
});

/** A message file of the server, the first that is found. */
function someMessage(spool: string): string {
  const names = readdirSync(spool, { recursive: true, encoding: "utf8" });
  const message = names.find((name) => /\/1\.$/.test(name) && /user|uuid/.test(name));
  if (message === undefined) throw new Error("the sample server has no message");
  return join(spool, message);
}
