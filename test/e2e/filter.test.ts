import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readDatabase } from "../../src/cyrus/database.ts";
import { type BackupResult, type RestoreResult, runJson } from "../support/cli.ts";
import { CyrusServer } from "../support/cyrus-server.ts";
import { describeWithCyrus } from "../support/describe-with-cyrus.ts";
import { ImapClient, textOf } from "../support/imap-client.ts";
import { sealedRepository } from "../support/sealed-repository.ts";
import { makeWorkspace } from "../support/workspace.ts";

/** Those that 3.6.1 can give a mailbox. */
const VERSIONS = [12, 13, 14, 15, 16, 17];

const small = (n: number) => mail(`small ${n}`, 100);
const large = (n: number) => mail(`large ${n}`, 20_000);

function mail(subject: string, bytes: number): Buffer {
  const body = "A line of text that says little.\r\n".repeat(Math.ceil(bytes / 34));
  return Buffer.from(
    `From: a@example.com\r\nTo: anna@example.com\r\nDate: Fri, 2 Jan 2026 10:00:00 +0000\r\nMessage-ID: <${subject.replace(" ", ".")}@example.com>\r\nSubject: ${subject}\r\n\r\n${body}`,
  );
}

/** Every second message is large; some have flags, annotations, or are expunged. */
async function fill(server: CyrusServer): Promise<void> {
  const sep = server.separator;
  const admin = await ImapClient.connect(server.ports.imap);
  await admin.command(`CREATE user${sep}anna`);
  await admin.command(`SETQUOTA user${sep}anna (STORAGE 100000)`);
  await admin.logout();
  const anna = await ImapClient.connect(server.ports.imap, "anna");
  await anna.command(`CREATE INBOX${sep}Spam (USE (\\Junk))`);
  await anna.append(`INBOX${sep}Spam`, small(0));
  for (const version of VERSIONS) {
    const folder = `INBOX${sep}v${version}`;
    await anna.command(`CREATE ${folder}`);
    for (let i = 1; i <= 4; i++) {
      await anna.append(folder, small(version * 10 + i), i === 1 ? { flags: ["\\Seen"] } : {});
      const flags = [["\\Answered", "\\Flagged", "Mine"], ["\\Seen", "\\Draft"], ["\\Deleted"], []][i - 1];
      await anna.append(folder, large(version * 10 + i), flags?.length ? { flags } : {});
    }
    await anna.append(folder, small(version), { date: "05-Mar-1999 10:00:00 +0100" });
    await anna.select(folder);
    await anna.command('UID STORE 2 ANNOTATION (/comment (value.priv "mine" value.shared "all"))');
    await anna.command("EXPUNGE");
    await anna.command("UNSELECT");
  }
  await anna.logout();
}

/** Version 12 has no room for what annotations add up to: 3.6.1 finds that wrong whatever lies there. */
async function damageOf(server: CyrusServer): Promise<string[]> {
  const lines = await server.damage();
  return lines.filter((line) => !/v12:? updating (quota_annot_used|sync_crc_annot)/.test(line));
}

async function look(server: CyrusServer): Promise<Record<string, number[]>> {
  const sep = server.separator;
  const anna = await ImapClient.connect(server.ports.imap, "anna");
  const found: Record<string, number[]> = {};
  for (const name of ["Spam", ...VERSIONS.map((version) => `v${version}`)]) {
    await anna.examine(`INBOX${sep}${name}`);
    found[name] = await anna.uids();
    await anna.command("UNSELECT");
  }
  await anna.logout();
  return found;
}

describeWithCyrus("a backup that leaves messages and mailboxes out", () => {
  test("is restored as a server in which Cyrus finds nothing wrong, in every version of the index", async () => {
    const workspace = makeWorkspace();
    const server = await CyrusServer.create(join(workspace, "server"), {
      extraConfig: ["annotation_allow_undefined: yes", "expunge_mode: delayed"],
    });
    onTestFinished(() => server.stop());
    await server.start();
    await fill(server);
    await server.stop();
    for (const version of VERSIONS)
      await server.tool("reconstruct", "-V", String(version), `user/anna/v${version}`);
    expect(await damageOf(server)).toEqual([]);

    const env = sealedRepository(workspace);
    await runJson(["init"], { env });
    const filter = [
      "--text-dumps",
      "--exclude-larger",
      "10K",
      "--exclude-older",
      "10y",
      "--exclude-special-use",
      "Junk",
    ];
    const backup = await runJson<BackupResult>(["backup", "--config", server.configPath, ...filter], { env });
    expect(backup.findings.map(({ code }) => code)).toEqual(VERSIONS.map(() => "messages-left-out"));
    expect(backup.messages.total).toBe(VERSIONS.length * 4);

    const target = join(workspace, "restored");
    const restored = await runJson<RestoreResult>(["restore", "latest", "--target", target], { env });
    expect(restored.findings.filter(({ severity }) => severity !== "note")).toEqual([]);
    const adopted = await CyrusServer.adopt(join(target, server.directory), server.options);
    onTestFinished(() => adopted.stop());
    expect(await damageOf(adopted)).toEqual([]);

    // Our own reading agrees: all checksums that Cyrus keeps over a mailbox are right.
    await runJson(["init"], { env: { ...env, CYRVAULT_REPO: join(workspace, "second") } });
    const again = await runJson<BackupResult>(["backup", "--config", adopted.configPath], {
      env: { ...env, CYRVAULT_REPO: join(workspace, "second") },
    });
    expect(again.findings).toEqual([]);
    expect(again.messages.total).toBe(VERSIONS.length * 4);

    await adopted.start();
    const kept = Object.fromEntries(VERSIONS.map((version) => [`v${version}`, [1, 3, 5, 7]]));
    expect(await look(adopted)).toEqual({ ...kept, Spam: [] });
    await adopted.stop();
    expect(await damageOf(adopted)).toEqual([]);

    // The text dumps become databases again by Cyrus's own tool.
    const dumps = join(workspace, "dumps");
    await runJson(["restore", "latest", "--target", dumps, "--only", "text-dumps"], { env });
    const flat = join(dumps, server.path("conf/cyrvault-text-dumps/annotations.flat"));
    const converted = server.path("annotations.made");
    await server.tool("cvt_cyrusdb", flat, "flat", converted, "twoskip");
    const records = (path: string) => {
      const reading = readDatabase(readFileSync(path));
      return reading.readable ? [...reading.records].map(({ key, value }) => [`${key}`, `${value}`]) : [];
    };
    expect(records(converted)).toEqual(records(server.path("conf/annotations.db")));
    expect(records(converted).length).toBeGreaterThan(0);

    const absent = join(workspace, "absent");
    await runJson(["restore", "latest", "--target", absent, "--excluded", "absent", "--raw-index"], { env });
    const raw = await CyrusServer.adopt(join(absent, server.directory), server.options);
    const names = (await server.mailboxNames()).sort();
    expect(names).toContain("user.anna.Spam");
    // The list has lost the name, by uniqueid too: Cyrus neither shows nor misses it, and can make it again.
    expect((await raw.mailboxNames()).sort()).toEqual(names.filter((name) => name !== "user.anna.Spam"));
    expect(readFileSync(raw.path("conf/mailboxes.db")).includes("Spam")).toBe(false);
    const damage = (await raw.damage()).join("\n");
    expect(damage).toMatch(/uid 2 not found/);
    expect(damage).not.toMatch(/Spam/);
    onTestFinished(() => raw.stop());
    await raw.start();
    const anna = await ImapClient.connect(raw.ports.imap, "anna");
    const folders = async () => (await anna.command('LIST "" "*"')).map((row) => textOf(row.at(-1)));
    expect(await folders()).not.toContain(`INBOX${raw.separator}Spam`);
    expect(await folders()).toContain(`INBOX${raw.separator}v17`);
    await anna.command(`CREATE INBOX${raw.separator}Spam`);
    expect(await folders()).toContain(`INBOX${raw.separator}Spam`);
    await anna.logout();
    await raw.stop();
  });
});
