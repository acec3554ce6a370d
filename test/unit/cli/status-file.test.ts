import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { generateServer } from "../../../src/sample/generate.ts";
import { run } from "./fake-terminal.ts";

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), "cyrvault-status-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function read(file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
}

test("each backup says how it ended, a failed one too; `status` says how old the newest is", async () => {
  const directory = place();
  const [repo, server, file] = ["r", "server", "status.json"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  const backup = [
    ...["backup", "--quiet", "--repo", repo, "--cache-dir", join(directory, "cache")],
    ...["--config", join(server, "etc/imapd.conf"), "--status-file", file],
  ];
  expect((await run(backup)).code).toBe(10);
  expect(read(file)).toMatchObject({ exitCode: 10, backup: null, error: "REPOSITORY_NOT_FOUND" });

  await run(["init", "--no-encryption", "--repo", repo]);
  const none = await run(["status", "--repo", repo]);
  expect(none).toMatchObject({ code: 1, stdout: "There is no backup in this repository.\n" });
  expect((await run(backup)).code).not.toBe(0);
  expect(read(file)).toMatchObject({ backup: null, error: expect.stringMatching(/^[A-Z_]+$/) });

  generateServer(server, { users: 1, foldersPerUser: 1, messages: 3, days: 3 });
  const before = Date.now();
  const { code, stdout } = await run([...backup, "--server", "mail", "--json"]);
  const { backup: id } = JSON.parse(stdout) as { backup: string };
  const status = read(file);
  expect(status).toMatchObject({ exitCode: code, server: "mail", backup: id, error: null, message: null });
  expect(Date.parse(status["time"] as string)).toBeGreaterThanOrEqual(before);
  expect(readdirSync(directory).filter((name) => name.endsWith(".new"))).toEqual([]);

  const well = await run(["status", "--repo", repo, "--max-age", "26h"]);
  expect(well.stdout).toMatch(new RegExp(`^ok {2}mail: ${id} `));
  expect(well.code).toBe(0);
  const old = await run(["status", "--repo", repo, "--max-age", "0", "--json"]);
  expect(old.code).toBe(1);
  expect(JSON.parse(old.stdout)).toMatchObject({
    ok: false,
    servers: [{ server: "mail", ok: false, problem: "too-old", backup: id }],
  });
  const other = await run(["status", "--repo", repo, "--server", "other"]);
  expect(other).toMatchObject({ code: 1, stdout: "NOT OK  other: there is no backup\n" });

  const exported = await run(["export", "--quiet", "--repo", repo, "latest", "--tar", "--json"]);
  expect(exported.stdout.length % 10_240).toBe(0);
  expect(JSON.parse(exported.stderr.trim().split("\n").at(-1) as string)).toMatchObject({
    type: "result",
    backup: id,
    archiveBytes: exported.stdout.length,
  });
});

test("a status file that cannot be written changes nothing about the run", async () => {
  const directory = place();
  const { code, stderr } = await run([
    ...["backup", "--repo", join(directory, "r")],
    ...["--status-file", join(directory, "none/status.json")],
  ]);
  expect(code).toBe(10);
  expect(stderr).toContain("status.json cannot be written");
});

test("when --max-duration is over the backup stands, names what it lacks, and ends with 3", async () => {
  const directory = place();
  const [repo, server] = [join(directory, "r"), join(directory, "server")];
  await run(["init", "--no-encryption", "--repo", repo]);
  generateServer(server, { users: 2, foldersPerUser: 1, messages: 6, days: 3 });
  const late = await run([
    ...["backup", "--quiet", "--repo", repo, "--cache-dir", join(directory, "cache"), "--json"],
    ...["--config", join(server, "etc/imapd.conf"), "--max-duration", "0"],
  ]);
  expect(late.code).toBe(3);
  const { messages, mailboxes, findings } = JSON.parse(late.stdout) as {
    readonly messages: { readonly total: number };
    readonly mailboxes: { readonly total: number };
    readonly findings: readonly { readonly code: string }[];
  };
  expect(messages.total).toBe(0);
  expect(mailboxes.total).toBeGreaterThan(1);
  expect(findings.filter(({ code }) => code === "not-reached").length).toBeGreaterThan(1);
  const listed = await run(["ls", "--repo", repo, "latest", "--json"]);
  expect(listed.stdout.trim().split("\n")).toHaveLength(mailboxes.total);
});
