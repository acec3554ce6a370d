import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { type BackupResult, type CheckResult, type RestoreResult, runJson } from "./cli.ts";
import { type CyrusOptions, CyrusServer } from "./cyrus-server.ts";
import { COMPARISON } from "./left-out.ts";
import { fillServer, moreMail, type Scenario } from "./scenario.ts";
import { sealedRepository } from "./sealed-repository.ts";
import { countMessages, type ServerView, viewServer } from "./server-view.ts";
import { compareTrees, readTree, type Tree } from "./tree-compare.ts";

/** One day of a server: what clients saw, what lay on the disk after it was stopped, the backup made of it. */
interface Day {
  readonly scenario: Scenario;
  readonly view: ServerView;
  readonly tree: Tree;
  readonly backup: BackupResult;
}

/**
 * The main promise, from end to end: a server is filled, stopped and backed up; gets more mail, is stopped and backed
 * up again; both backups are restored; each restored tree equals the tree of its day, byte for byte; Cyrus finds
 * nothing wrong with it, and, started on it, shows clients what they saw that day.
 */
export async function proveTwoDays(workspace: string, options: CyrusOptions): Promise<void> {
  const server = await CyrusServer.create(join(workspace, "server"), options);
  onTestFinished(() => server.stop());
  // Of the two layouts one is opened with a password.
  const env =
    server.layout === "legacy"
      ? { CYRVAULT_REPO: join(workspace, "repository"), CYRVAULT_PASSWORD: "correct horse" }
      : sealedRepository(workspace);
  await runJson(["init"], { env });

  const first = await liveDay(server, env, async () => await fillServer(server));
  expect(first.backup.parent).toBeNull();
  expect(first.backup.findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(first.backup.messages.read).toBeGreaterThan(0);

  const second = await liveDay(server, env, async () => await moreMail(server, first.scenario));
  expect(second.backup.parent).toBe(first.backup.backup);
  expect(second.backup.findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(second.backup.messages.read, "known messages are not read again").toBeLessThan(
    first.backup.messages.read / 2,
  );
  expect(second.view).not.toEqual(first.view);

  const check = await runJson<CheckResult>(["check", "--read-data"], { env });
  expect(check.errors).toEqual([]);
  await proveRestore(server, env, first, join(workspace, "first"));
  await proveRestore(server, env, second, join(workspace, "second"));
  expect(compareTrees(second.tree, readTree(server.directory)), "the source was written to").toEqual([]);
}

async function liveDay(
  server: CyrusServer,
  env: Readonly<Record<string, string>>,
  live: () => Promise<Scenario>,
): Promise<Day> {
  await server.start();
  const scenario = await live();
  const view = await viewServer(server, scenario.users);
  expect(countMessages(view)).toBeGreaterThan(80);
  await server.stop();
  const tree = readTree(server.directory);
  const backup = await runJson<BackupResult>(["backup", "--config", server.configPath], { env });
  return { scenario, view, tree, backup };
}

async function proveRestore(
  server: CyrusServer,
  env: Readonly<Record<string, string>>,
  day: Day,
  target: string,
): Promise<void> {
  const result = await runJson<RestoreResult>(["restore", day.backup.backup, "--target", target], { env });
  expect(result.findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(result.messages).toBe(day.backup.messages.total);
  // The same absolute paths, below the target.
  const directory = join(target, server.directory);
  expect(compareTrees(day.tree, readTree(directory), COMPARISON)).toEqual([]);

  const restored = await CyrusServer.adopt(directory, server.options);
  onTestFinished(() => restored.stop());
  expect(await restored.damage()).toEqual([]);
  await restored.start();
  expect(await viewServer(restored, day.scenario.users)).toEqual(day.view);
  await restored.stop();
}
