/** What --text-dumps writes is given back to a real Cyrus, by its own tools, with the commands of docs/operating.md. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { textDumpReadme } from "../../src/backup/text-dumps-readme.ts";
import { runCli, runJson, runJsonLines } from "../support/cli.ts";
import { CyrusServer, type Layout } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { blocksOf, pageText } from "../support/document.ts";
import { ImapClient, textOf } from "../support/imap-client.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { countMessages, type ServerView, viewServer } from "../support/server-view.ts";
import { makeWorkspace } from "../support/workspace.ts";

const [COMMANDS = ""] = blocksOf(pageText("docs/operating.md"))
  .filter(({ language }) => language === "shell")
  .map(({ text }) => text);
const BINARIES = "/usr/lib/cyrus/bin";
const USERS = ["anna", "bruno"];

async function fill(server: CyrusServer): Promise<void> {
  const sep = server.separator;
  const admin = await ImapClient.connect(server.ports.imap);
  for (const user of USERS) await admin.command(`CREATE user${sep}${user}`);
  await admin.command(`SETQUOTA user${sep}anna (STORAGE 100000 MESSAGE 5000 X-NUM-FOLDERS 77)`);
  await admin.command(`SETQUOTA user${sep}bruno (STORAGE 20000)`);
  await admin.command(`SETMETADATA "" (/shared/comment "of the server")`);
  await admin.command(`SETMETADATA user${sep}bruno (/shared/comment "set by the admin")`);
  const anna = await ImapClient.connect(server.ports.imap, "anna");
  await anna.command(`CREATE "INBOX${sep}Her own $5 &- more"`);
  await anna.command(`CREATE INBOX${sep}Spam (USE (\\Junk))`);
  await anna.command(
    `SETMETADATA INBOX (/private/comment "a tab \t, \\"quotes\\", café" /shared/comment "to all")`,
  );
  await anna.command(`SUBSCRIBE "INBOX${sep}Her own $5 &- more"`);
  await anna.command("SUBSCRIBE INBOX");
  for (let i = 1; i <= 5; i++)
    await anna.append("INBOX", Buffer.from(`From: a@example.org\r\nSubject: ${i}\r\n\r\ntext\r\n`));
  await anna.command("SETACL INBOX bruno lrsp");
  await anna.logout();
  // A quota root below another, with a name that a shell would spoil.
  await admin.command(`SETQUOTA "user${sep}anna${sep}Her own $5 &- more" (STORAGE 10)`);
  await admin.logout();
  const bruno = await ImapClient.connect(server.ports.imap, "bruno");
  const hers = `user${sep}anna`;
  await bruno.command(`SUBSCRIBE ${hers}`);
  await bruno.select(hers);
  await bruno.command("STORE 2,4:5 +FLAGS (\\Seen)");
  await bruno.command("UNSELECT");
  await bruno.logout();
}

/** Without what the dumps are of, as if the databases had been lost. */
function loseDatabases(conf: string): void {
  for (const name of readdirSync(conf, { recursive: true, encoding: "utf8" }))
    if (/(^|[./])(seen|sub)(\.db)?$/.test(name) && !name.startsWith("cyrvault"))
      rmSync(join(conf, name), { force: true });
  for (const name of ["annotations.db", "quota", "domain/e/example.org/quota"])
    rmSync(join(conf, name), { recursive: true, force: true });
}

/** Programs as an administrator has them: with this server's configuration. */
function programs(server: CyrusServer, directory: string): string {
  mkdirSync(directory, { recursive: true });
  const scripts: Readonly<Record<string, string>> = {
    cvt_cyrusdb: `exec ${BINARIES}/cvt_cyrusdb -C ${server.configPath} "$@"`,
  };
  for (const [name, text] of Object.entries(scripts)) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(directory, name), 0o755);
  }
  return directory;
}

function run(server: CyrusServer, commands: string): void {
  const bin = programs(server, server.path("run/bin"));
  const { status, stdout, stderr, error } = spawnSync(
    "/usr/sbin/runuser",
    ["-u", "cyrus", "--", "bash", "-euo", "pipefail", "-c", commands],
    {
      cwd: server.path("conf"),
      encoding: "utf8",
      env: { PATH: `${bin}:/usr/bin:/bin:/usr/sbin:/sbin`, HOME: "/tmp" },
    },
  );
  if (status !== 0) throw new Error(`exit code ${status ?? error}:\n${commands}\n${stderr}\n${stdout}`);
}

/** What is of the databases, and nothing that needs a quota root. */
async function glimpse(server: CyrusServer): Promise<object> {
  const hers = `user${server.separator}anna`;
  const bruno = await ImapClient.connect(server.ports.imap, "bruno");
  const subscriptions = await bruno.command('LSUB "" "*"');
  await bruno.examine(hers);
  const unseen = (await bruno.fetch("1:*", "FLAGS")).filter(
    ({ items }) => !JSON.stringify(items.get("FLAGS")).includes("Seen"),
  ).length;
  await bruno.logout();
  const anna = await ImapClient.connect(server.ports.imap, "anna");
  const answers = await anna.command("GETMETADATA INBOX /shared/comment");
  const comments = answers.filter((answer) => textOf(answer.at(-1)).includes("to all"));
  await anna.logout();
  return { subscriptions, unseen, comments };
}

/** What is new at each look: when a mailbox was last opened. */
function lasting(view: ServerView): unknown {
  return JSON.parse(
    JSON.stringify(view, (_, value: unknown) =>
      typeof value === "string" && value.includes("lastupdate") ? undefined : value,
    ),
  );
}

describeWithCyrus("text dumps", () => {
  test.each<Layout>(["uuid", "legacy"])(
    "of a server with layout %s bring back what its users see, by Cyrus's own tools",
    async (layout) => {
      const workspace = makeWorkspace();
      const server = await CyrusServer.create(join(workspace, "server"), { layout });
      onTestFinished(() => server.stop());
      await server.start();
      await fill(server);
      const wanted = await viewServer(server, USERS);
      expect(await glimpse(server)).toMatchObject({
        subscriptions: [expect.anything()],
        unseen: 2,
        comments: [expect.anything()],
      });
      expect(countMessages(wanted)).toBeGreaterThan(5);
      await server.stop();
      const env = sealedRepository(workspace);
      await runJson(["init"], { env });
      await runJson(["backup", "--config", server.configPath, "--text-dumps"], { env });
      const target = join(workspace, "restored");
      await runJson(["restore", "latest", "--target", target], { env });

      const restored = await CyrusServer.adopt(join(target, server.directory), server.options);
      onTestFinished(() => restored.stop());
      loseDatabases(restored.path("conf"));
      await restored.start();
      await expect(viewServer(restored, USERS)).rejects.toThrow("Quota root does not exist");
      expect(await glimpse(restored)).toEqual({ subscriptions: [], unseen: 5, comments: [] });
      await restored.stop();

      run(restored, COMMANDS);
      await restored.start();
      expect(lasting(await viewServer(restored, USERS))).toEqual(lasting(wanted));
      await restored.stop();
      expect(await restored.damage()).toEqual([]);
      const left = readdirSync(restored.path("conf"), { recursive: true, encoding: "utf8" });
      expect(left.filter((name) => name.endsWith(".flat")).sort()).toEqual([
        "cyrvault-text-dumps/annotations.flat",
        "cyrvault-text-dumps/quotas.flat",
      ]);

      const text = (name: string) =>
        readFileSync(join(target, server.path(`conf/cyrvault-text-dumps/${name}`)), "latin1");
      expect(text("seen.txt")).toMatch(/ 2,4:5\tbruno\t.*user\.anna\n/);
      const listed = await runJsonLines<{ readonly textDump: string; readonly bytes: number }>(
        ["ls", "latest", "--text-dumps"],
        { env },
      );
      expect(listed.map(({ textDump }) => textDump)).toEqual(
        readdirSync(restored.path("conf/cyrvault-text-dumps")).sort(),
      );
      const { stdout } = await runCli(["cat", "latest", "--text-dump", "seen.txt"], { env });
      expect(stdout.toString("latin1")).toBe(text("seen.txt"));
      expect(text("subscriptions.txt")).toMatch(/\tbruno\t.*user\.anna\n/);
      expect(text("annotations.txt")).toMatch(/\tset by the admin\t.*user\.bruno\n/);
      expect(existsSync(restored.path("conf/annotations.db"))).toBe(true);
    },
  );

  test("README.txt beside them says the same as docs/operating.md", () => {
    expect(COMMANDS).toContain("cvt_cyrusdb");
    expect(textDumpReadme()).toContain(COMMANDS);
  });
});
