/**
 * Backups of a real Cyrus that is at work, and is stopped for them: under continuous deliveries, flag changes, expunges,
 * moves, renames, folders that come and go.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type BackupResult, runJson } from "../support/cli.ts";
import { type CyrusScripts, cyrusScripts } from "../support/cyrus-scripts.ts";
import { type CyrusOptions, CyrusServer } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient } from "../support/imap-client.ts";
import { MailTraffic } from "../support/mail-traffic.ts";
import { inconsistencies, restoredMessages } from "../support/traffic-judge.ts";
import { makeWorkspace } from "../support/workspace.ts";

const USERS = ["anna", "bruno", "carla"];

interface CutResult extends BackupResult {
  readonly view: {
    readonly quiesce: string;
    readonly consistency: string;
    readonly heldMs: number;
    readonly downtimeSeconds?: number;
  };
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
    CYRVAULT_REPO: join(workspace, "repository"),
    CYRVAULT_PASSWORD: "correct horse",
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
  console.log(
    `${name}: Cyrus stood still for ${result.view.heldMs} ms, its users waited for ${to - from} ms`,
  );
  return result;
}

const SITES: readonly (readonly [name: string, options: CyrusOptions])[] = [
  ["expunges take effect later", { layout: "uuid" }],
  ["expunges take effect at once", { layout: "legacy", extraConfig: ["expunge_mode: immediate"] }],
];

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
});
