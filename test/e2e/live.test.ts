/**
 * Backups of a real Cyrus that goes on: under continuous deliveries, flag changes, expunges, moves (mostly from folders
 * that are read late to folders that are read early), renames, folders that come and go.
 */
import { chownSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type BackupResult, expectCode, runCli, runJson } from "../support/cli.ts";
import { type CyrusOptions, CyrusServer } from "../support/cyrus-server.ts";
import { type Backup, delaysByLocks, delaysByWork, type Hold } from "../support/delay-judge.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { MachinePulse } from "../support/machine-pulse.ts";
import { MailTraffic, type TrafficStep } from "../support/mail-traffic.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { inconsistencies, restoredMessages } from "../support/traffic-judge.ts";
import { makeWorkspace } from "../support/workspace.ts";

const USERS = ["anna", "bruno", "carla"];
/** What a client may have to wait because of us. */
const PATIENCE_MS = 1000;
/** And for anything at all: on a machine that does nothing else. */
const SLOWEST_MS = process.env["CYRVAULT_HEAVY"] === undefined ? Number.POSITIVE_INFINITY : PATIENCE_MS;

interface LiveResult extends BackupResult {
  readonly live: {
    readonly rounds: number;
    readonly consistency: string;
    readonly locks: {
      readonly taken: number;
      readonly busy: number;
      readonly givenUp: number;
      readonly longestMs: number;
      readonly longestOf: string;
      readonly longestWaitMs: number;
    };
  };
}

/** Of one site: what was done to it, and when. */
interface Diary {
  readonly backups: Backup[];
  readonly quiet: { readonly fromMs: number; readonly toMs: number }[];
}

interface Site {
  readonly server: CyrusServer;
  readonly env: Readonly<Record<string, string>>;
  readonly workspace: string;
}

async function siteWithMail(options: CyrusOptions = {}): Promise<Site> {
  const workspace = makeWorkspace();
  const server = await CyrusServer.create(join(workspace, "server"), options);
  await server.start();
  onTestFinished(() => server.stop());
  const admin = await ImapClient.connect(server.ports.imap);
  for (const user of USERS) await admin.command(`CREATE user${server.separator}${user}`);
  await admin.logout();
  const env = sealedRepository(workspace);
  await runJson(["init"], { env });
  return { server, env, workspace };
}

const liveArgs = ({ server }: Pick<Site, "server">) => [
  "backup",
  "--config",
  server.configPath,
  "--mode",
  "live",
];

/** With the locks that it held, each with its time. */
async function backUp(site: Site): Promise<Backup & { readonly result: LiveResult }> {
  const fromMs = Date.now();
  const args = [...liveArgs(site), "--json", "--verbose"];
  const run = await runCli(args, { env: site.env });
  const toMs = Date.now();
  expectCode(args, run);
  const result = JSON.parse(run.stdout.toString().trimEnd().split("\n").at(-1) ?? "") as LiveResult;
  const holds = run.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { readonly message?: string; readonly context?: Hold })
    .flatMap(({ message, context }) =>
      message === "locks were held" && context !== undefined ? [context] : [],
    );
  return { fromMs, toMs, holds, result };
}

/** Backs up while mail flows, and proves what is in it. */
async function proveLive(site: Site, traffic: MailTraffic, diary: Diary, name: string): Promise<LiveResult> {
  const quietMs = Date.now();
  await traffic.waitFor(150);
  const { result, fromMs, toMs, holds } = await backUp(site);
  await traffic.waitFor(50);
  diary.backups.push({ fromMs, toMs, holds });
  diary.quiet.push({ fromMs: quietMs, toMs: fromMs }, { fromMs: toMs, toMs: Date.now() });
  const { locks, rounds } = result.live;
  console.log(
    `${name}: ${rounds} rounds in ${toMs - fromMs} ms, ${locks.taken} locks, ${locks.busy} times busy, the longest held ${locks.longestMs.toFixed(1)} ms (${locks.longestOf}), waited for ${locks.longestWaitMs.toFixed(1)} ms; slowest answer to a client: ${traffic.slowest.what}, ${traffic.slowest.ms} ms`,
  );
  expect(inconsistencies(result)).toEqual([]);
  expect(locks.givenUp).toBe(0);
  expect(holds.length).toBeGreaterThan(USERS.length);
  expect(Math.max(...holds.map(({ ms }) => ms))).toBeCloseTo(locks.longestMs, 3);
  expect(locks.longestMs, locks.longestOf).toBeLessThan(PATIENCE_MS);
  expect(result.live.consistency).toMatch(/^live: /);
  const target = join(site.workspace, name);
  const seen = await restoredMessages(site.server, site.env, result.backup, target, USERS);
  expect(traffic.throughout(fromMs, toMs).length).toBeGreaterThan(10);
  expect(traffic.missing(seen, fromMs, toMs)).toEqual([]);
  return result;
}

const MOVES: readonly TrafficStep[] = ["move", "move", "move", "append"];
const IMMEDIATE = ["expunge_mode: immediate"];

const SITES: readonly (readonly [string, CyrusOptions, readonly TrafficStep[] | undefined])[] = [
  ["of everything, expunges take effect later", { layout: "uuid" }, undefined],
  ["of everything, expunges take effect at once", { layout: "legacy", extraConfig: IMMEDIATE }, undefined],
  ["of moves, expunges take effect at once", { layout: "uuid", extraConfig: IMMEDIATE }, MOVES],
];

describeWithCyrus("a server that goes on while it is backed up", () => {
  test.each(SITES)("%s: nothing is lost, and nobody waits", async (_, options, steps) => {
    const site = await siteWithMail(options);
    const traffic = await MailTraffic.start(site.server, {
      users: USERS,
      pauseMs: 20,
      folderMessages: 1000,
      ...(steps === undefined ? {} : { steps }),
    });
    const pulse = new MachinePulse();
    onTestFinished(() => pulse.stop());
    const diary: Diary = { backups: [], quiet: [] };
    await proveLive(site, traffic, diary, "first");
    const second = await proveLive(site, traffic, diary, "second");
    expect(second.parent).not.toBeNull();
    await traffic.stop();
    expect(traffic.refusals).toEqual([]);
    expect(traffic.outages).toEqual([]);
    const { operations } = traffic;
    const { stalls } = pulse;
    const input = { ...diary, operations, stalls, users: USERS, patienceMs: PATIENCE_MS };
    expect(delaysByLocks(input)).toEqual([]);
    expect(delaysByWork(input)).toEqual([]);
    expect(traffic.slowest.ms).toBeLessThan(SLOWEST_MS);
  });

  test("locks that are made for it belong to Cyrus, which goes on with them", async () => {
    const { server, env } = await siteWithMail();
    await server.stop();
    rmSync(server.path("run/lock"), { recursive: true });
    mkdirSync(server.path("run/lock"));
    const { uid, gid } = statSync(server.path("conf"));
    chownSync(server.path("run/lock"), uid, gid);
    const dry = await runJson<{ readonly dryRun: boolean }>([...liveArgs({ server }), "--dry-run"], { env });
    expect(dry.dryRun).toBe(true);
    expect(readdirSync(server.path("run/lock"))).toEqual([]);
    const result = await runJson<LiveResult>(liveArgs({ server }), { env });
    expect(result.live.rounds).toBeGreaterThan(0);
    const locks = readdirSync(server.path("run/lock"), { recursive: true, encoding: "utf8" });
    expect(locks.filter((name) => name.endsWith(".lock")).length).toBeGreaterThanOrEqual(USERS.length);
    for (const name of locks)
      expect(statSync(server.path(`run/lock/${name}`)), name).toMatchObject({ uid, gid });
    await server.start();
    const client = await ImapClient.connect(server.ports.imap, "anna");
    await client.append("INBOX", Buffer.from("Subject: after\r\n\r\nstill there\r\n"));
    await client.select("INBOX");
    expect(await client.uids()).toHaveLength(1);
    await client.logout();
  });

  test("what only a snapshot can have is refused", async () => {
    const site = await siteWithMail();
    const result = await runCli([...liveArgs(site), "--root", site.workspace], { env: site.env });
    expectCode(["backup"], result, [2]);
    expect(result.stderr).toContain("reads the running server itself");
  });
});
