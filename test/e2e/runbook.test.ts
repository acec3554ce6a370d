/** The runbooks that a restore prints, followed word for word on a real server. */
import { execFile } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type BackupResult, expectCode, runCli, runJson } from "../support/cli.ts";
import { CyrusServer, type Layout } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { fillServer, type Scenario } from "../support/scenario.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { countMessages, type ServerView, viewServer } from "../support/server-view.ts";
import { makeWorkspace } from "../support/workspace.ts";

interface Lost {
  readonly server: CyrusServer;
  readonly scenario: Scenario;
  readonly view: ServerView;
  readonly env: Readonly<Record<string, string>>;
}

interface Command {
  readonly line: string;
  readonly mustPrintNothing: boolean;
}

const HARMFUL = '  delprune cmd="/usr/sbin/cyrus expire -E 3 -D 0 -X 0" at=0401\n';
const LAYOUTS: readonly Layout[] = ["uuid", "legacy"];

describeWithCyrus("the runbook, followed word for word", () => {
  test.each(LAYOUTS)("everything lost: a %s server comes back as it was", async (layout) => {
    const { server, scenario, view, env } = await backedUp(layout);
    rmSync(server.directory, { recursive: true });
    const runbook = await restore(["latest", "--target", "/"], env);
    expect(runbook).toContain("everything was lost");

    const { before, after } = commandsOf(runbook);
    await follow(before);
    expect(harmfulLines(server), "commented out for the first start").toEqual([]);
    expect(await server.damage()).toEqual([]);
    await server.start();
    expect(await viewServer(server, scenario.users)).toEqual(view);
    await server.stop();
    await follow(after);
    expect(harmfulLines(server), "put back").toHaveLength(1);
  });

  test("the spool lost, the configuration directory whole: the mail comes back under the list that is there", async () => {
    const { server, scenario, view, env } = await backedUp("uuid");
    for (const partition of ["spool", "spool2"]) rmSync(server.path(partition), { recursive: true });
    const only = ["--only", "partition=default", "--only", "partition=second"];
    const runbook = await restore(["latest", "--target", "/", ...only], env);
    expect(runbook).toContain("the spool was lost, the configuration directory is whole");
    expect(existsSync(server.path("conf/deliver.db"))).toBe(true);

    const { before, after } = commandsOf(runbook);
    await follow(before);
    expect(existsSync(server.path("conf/deliver.db")), "mail sent again must not be refused").toBe(false);
    expect(await server.damage()).toEqual([]);
    await server.start();
    expect(await viewServer(server, scenario.users)).toEqual(view);
    await server.stop();
    await follow(after);
    expect(harmfulLines(server)).toHaveLength(1);
  });
});

/** A filled server, stopped and backed up, with an entry in its cyrus.conf that would empty folders. */
async function backedUp(layout: Layout): Promise<Lost> {
  const workspace = makeWorkspace();
  const server = await CyrusServer.create(join(workspace, "server"), { layout });
  onTestFinished(() => server.stop());
  await server.start();
  const scenario = await fillServer(server);
  const view = await viewServer(server, scenario.users);
  expect(countMessages(view)).toBeGreaterThan(80);
  await server.stop();
  const conf = server.path("etc/cyrus.conf");
  appendFileSync(conf, `# kept apart\nEVENTS {\n${HARMFUL}}\n`);
  expect(harmfulLines(server)).toHaveLength(1);
  const env = sealedRepository(workspace);
  await runJson(["init"], { env });
  await runJson<BackupResult>(["backup", "--config", server.configPath], { env });
  return { server, scenario, view, env };
}

/** What it prints, runbook and all. Its files at the root of the target are removed at the end. */
async function restore(args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  const result = await runCli(["restore", ...args], { env });
  expectCode(args, result);
  const text = result.stdout.toString();
  const path = /^This is also in (\/.*\.txt)/m.exec(text)?.[1];
  if (path === undefined) throw new Error(`the restore names no runbook:\n${text}`);
  onTestFinished(() => {
    rmSync(path, { force: true });
    rmSync(path.replace("cyrvault-runbook-", "cyrvault-mailbox-list-"), { force: true });
  });
  expect(text).toContain(readFileSync(path, "utf8").trim());
  return readFileSync(path, "utf8");
}

/** Lines that begin with eight blanks, before and after the step that starts Cyrus. */
function commandsOf(runbook: string): { before: Command[]; after: Command[] } {
  const lines = runbook.split("\n");
  const start = lines.findIndex((line) => /^\d+\. Start Cyrus/.test(line));
  const commands = lines.flatMap((line, position) => {
    if (!/^ {8}\S/.test(line)) return [];
    const next = lines.slice(position + 1).find((other) => other.trim() !== "") ?? "";
    return [{ line: line.trim(), mustPrintNothing: next.trim().startsWith("Must print nothing"), position }];
  });
  expect(start).toBeGreaterThan(0);
  expect(commands.length).toBeGreaterThan(8);
  return {
    before: commands.filter(({ position }) => position < start),
    after: commands.filter(({ position }) => position > start),
  };
}

async function follow(commands: readonly Command[]): Promise<void> {
  expect(commands).not.toEqual([]);
  for (const { line, mustPrintNothing } of commands) {
    const { code, output } = await bash(line);
    if (mustPrintNothing) expect(output, line).toBe("");
    else expect(code, `${line}\n${output}`).toBe(0);
  }
}

function bash(line: string): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile("bash", ["-c", line], { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: stdout + stderr });
    });
  });
}

/** Entries of the server's cyrus.conf that call expire and are no comment. */
function harmfulLines(server: CyrusServer): string[] {
  const lines = readFileSync(server.path("etc/cyrus.conf"), "utf8").split("\n");
  return lines.filter((line) => line.includes("expire") && !line.trimStart().startsWith("#"));
}
