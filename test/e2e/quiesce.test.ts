/**
 * Backups of a real Cyrus that is at work, and is stopped for them: under continuous deliveries, flag changes, expunges,
 * moves, renames, folders that come and go.
 */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { type BackupResult, expectCode, runCli, runJson, startCli } from "../support/cli.ts";
import { type CyrusScripts, cyrusScripts } from "../support/cyrus-scripts.ts";
import { type CyrusOptions, CyrusServer } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { MailTraffic } from "../support/mail-traffic.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { inconsistencies, restoredMessages } from "../support/traffic-judge.ts";
import { makeWorkspace } from "../support/workspace.ts";

const USERS = ["anna", "bruno", "carla"];

interface CutResult extends BackupResult {
  readonly view: {
    readonly quiesce: string;
    readonly consistency: string;
    readonly heldMs: number;
    readonly downtimeSeconds: number;
  };
  readonly firstPass?: { readonly messages: { readonly read: number }; readonly seconds: number };
}

interface Site {
  readonly server: CyrusServer;
  readonly scripts: CyrusScripts;
  readonly env: Readonly<Record<string, string>>;
  readonly workspace: string;
}

async function siteWithMail(options: CyrusOptions = {}): Promise<Site> {
  const workspace = makeWorkspace();
  const server = await CyrusServer.create(join(workspace, "server"), options);
  await server.start();
  const scripts = await cyrusScripts(server);
  onTestFinished(async () => {
    execFileSync(scripts.stop);
    await server.stop();
  });
  const admin = await ImapClient.connect(server.ports.imap);
  for (const user of USERS) await admin.command(`CREATE user${server.separator}${user}`);
  await admin.logout();
  const env = {
    ...sealedRepository(workspace),
    CYRVAULT_STATE_DIR: join(workspace, "state"),
  };
  await runJson(["init"], { env });
  return { server, scripts, env, workspace };
}

const backupArgs = ({ server, scripts }: Site, ...more: string[]) => [
  "backup",
  ...["--config", server.configPath, "--quiesce", "stop"],
  ...["--stop-command", scripts.stop, "--start-command", scripts.start, ...more],
];

/** Backs up while mail flows, and proves what is in it. */
async function proveCut(
  site: Site,
  traffic: MailTraffic,
  name: string,
  ...more: string[]
): Promise<CutResult> {
  await traffic.waitFor(150);
  const outages = traffic.outages.length;
  const result = await runJson<CutResult>(backupArgs(site, ...more), { env: site.env });
  await traffic.waitFor(100);
  const outage = traffic.outages[outages];
  expect(outage?.toMs, "clients were served again").toBeDefined();
  expect(inconsistencies(result)).toEqual([]);
  expect(result.view.consistency).toBe("clean: Cyrus was stopped");
  const seen = await restoredMessages(
    site.server,
    site.env,
    result.backup,
    join(site.workspace, name),
    USERS,
  );
  const [from, to] = [outage?.fromMs ?? 0, outage?.toMs ?? 0];
  expect(traffic.throughout(from, to).length).toBeGreaterThan(10);
  expect(traffic.notOfOneMoment(seen, from, to)).toEqual([]);
  expect(result.view.heldMs).toBeGreaterThan(0);
  expect(result.view.downtimeSeconds).toBe(result.view.heldMs / 1000);
  console.log(
    `${name}: Cyrus stood still for ${result.view.heldMs} ms, its users waited for ${to - from} ms`,
  );
  return result;
}

const SITES: readonly (readonly [name: string, options: CyrusOptions])[] = [
  ["expunges take effect later", { layout: "uuid" }],
  ["expunges take effect at once", { layout: "legacy", extraConfig: ["expunge_mode: immediate"] }],
];

/** Leaves a mark when it begins and when it ends, and takes a while. */
function slowly({ workspace, scripts }: Site, script: keyof CyrusScripts): string {
  const mark = (end: string) => `touch ${join(workspace, `${end}-${script}`)}`;
  return `${mark("began")}; sleep 0.5; ${scripts[script]}; ${mark("ended")}`;
}

async function fillAnna(server: CyrusServer, count: number): Promise<void> {
  const anna = await ImapClient.connect(server.ports.imap, "anna");
  for (let i = 0; i < count; i++)
    await anna.append("INBOX", Buffer.from(`Subject: ${i}\r\n\r\n${String(i % 10).repeat(500_000)}\r\n`));
  await anna.logout();
}

/**
 * Backs up with less time than it takes to read it all. Clients that go on connecting can keep Cyrus from ending as long as
 * that: then nothing is read at all, Cyrus runs again, and it is tried once more.
 */
async function cutShort(site: Site): Promise<CutResult> {
  const args = backupArgs(site, "--max-downtime", "3s", "--read-limit", "700K");
  for (let tries = 3; ; tries--) {
    const run = await runCli([...args, "--json"], { env: site.env });
    const isTooLate = run.code === 1 && /cannot stop Cyrus|Cyrus does not end/.test(run.stderr);
    if (isTooLate && tries > 1) continue;
    expectCode(args, run, [3]);
    return JSON.parse(run.stdout.toString().trimEnd().split("\n").at(-1) ?? "");
  }
}

async function answers(imapPort: number): Promise<boolean> {
  try {
    await (await ImapClient.connect(imapPort)).logout();
    return true;
  } catch {
    return false;
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 120_000; !(await isSo()); await sleep(20))
    if (Date.now() > deadline) throw new Error("waited in vain");
}

describeWithCyrus("a server that is stopped for its backup", () => {
  test.each(SITES)("is backed up as it stood, and nothing is lost that was there (%s)", async (_, given) => {
    const site = await siteWithMail(given);
    const traffic = await MailTraffic.start(site.server, { users: USERS });
    await proveCut(site, traffic, "stop");
    const second = await proveCut(site, traffic, "stop-again");
    expect(second.parent).not.toBeNull();
    await traffic.stop();
    expect(traffic.refusals).toEqual([]);
  });

  test.each(SITES)("is at rest for a second pass only (%s)", async (_, given) => {
    const site = await siteWithMail(given);
    const traffic = await MailTraffic.start(site.server, { users: USERS });
    const first = await proveCut(site, traffic, "two-pass", "--mode", "two-pass");
    expect(first.firstPass?.messages.read).toBeGreaterThan(0);
    expect(first.messages.read, "what the first pass has read is not read again").toBeLessThan(
      first.firstPass?.messages.read ?? 0,
    );
    const second = await proveCut(site, traffic, "two-pass-again", "--mode", "two-pass");
    expect(second.parent).toBe(first.backup);
    await traffic.stop();
    expect(traffic.refusals).toEqual([]);
  });

  test("runs again when the longest downtime is over, and the backup says what it has not read", async () => {
    const site = await siteWithMail();
    // More than is under way at once on a machine with however many processors: what waits for its turn is not read.
    await fillAnna(site.server, 25);
    const traffic = await MailTraffic.start(site.server, { users: USERS, steps: ["append"] });
    await traffic.waitFor(20);
    const result = await cutShort(site);
    await traffic.waitFor(20);
    await traffic.stop();
    expect(result.view.consistency).toMatch(/^torn: Cyrus was started again after 3 s/);
    const codes = result.findings.map(({ code }) => code);
    expect(codes).toContain("cut-torn");
    expect(codes).toContain("not-reached");
    const complete = await runJson<CutResult>(backupArgs(site), { env: site.env });
    expect(inconsistencies(complete)).toEqual([]);
  });

  test("runs again whenever the backup is killed, and the next one is none the worse for it", async () => {
    const site = await siteWithMail();
    await fillAnna(site.server, 5);
    const { imap } = site.server.ports;
    const isThere = (mark: string) => existsSync(join(site.workspace, mark));
    const args = [
      ...["backup", "--config", site.server.configPath, "--quiesce", "stop"],
      ...["--stop-command", slowly(site, "stop"), "--start-command", slowly(site, "start")],
    ];
    const moments: readonly (readonly [mark: string, limit: string])[] = [
      ["began-stop", "100M"],
      ["ended-stop", "20K"],
      ["began-start", "100M"],
    ];
    for (const [mark, limit] of moments) {
      for (const script of ["stop", "start"])
        for (const end of ["began", "ended"])
          rmSync(join(site.workspace, `${end}-${script}`), { force: true });
      const running = startCli([...args, "--read-limit", limit], { env: site.env });
      await until(async () => isThere(mark));
      running.process.kill("SIGKILL");
      expect((await running.result).signal, mark).toBe("SIGKILL");
      await until(async () => isThere("ended-start"));
      await until(() => answers(imap));
    }
    const twice = startCli([...args, "--mode", "two-pass", "--read-limit", "20K"], { env: site.env });
    await sleep(700);
    twice.process.kill("SIGKILL");
    await twice.result;
    expect(await answers(imap), "in the first pass nothing is stopped").toBe(true);
    const result = await runJson<CutResult>(backupArgs(site), { env: site.env });
    expect(inconsistencies(result)).toEqual([]);
    expect(await answers(imap)).toBe(true);
  });
});
