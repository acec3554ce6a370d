import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Check } from "../../../src/doctor/check.ts";
import type { DoctorReport } from "../../../src/doctor/run.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { run } from "./fake-terminal.ts";

const dir = tempDir();
const config = dir.in("server/etc/imapd.conf");
beforeAll(() => {
  generateServer(dir.in("server"), { users: 3, foldersPerUser: 3, messages: 60 });
});
afterAll(() => dir.remove());

async function doctor(...args: string[]): Promise<{ code: number; report: DoctorReport }> {
  const { code, stdout } = await run(["doctor", "--json", "--config", config, ...args]);
  return { code, report: JSON.parse(stdout) as DoctorReport };
}

function named(report: DoctorReport, code: Check["code"]): Check[] {
  return report.checks.filter((check) => check.code === code);
}

function times(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => `${name} ${statSync(join(directory, name)).mtimeMs}`);
}

test("a generated server is described, estimated, and left as it was", async () => {
  const before = times(dir.in("server"));
  const { report } = await doctor("--repo", dir.in("repository"));
  expect(times(dir.in("server"))).toEqual(before);
  expect(readdirSync(dir.path)).toEqual(["server"]);

  expect(report.config).toBe(config);
  expect(report.covered).toContainEqual({ kind: "partition", name: "second", path: dir.in("server/spool2") });
  expect(named(report, "duplicate-uniqueid")).toMatchObject([{ severity: "ok" }]);
  expect(named(report, "mailbox-list-unreadable")).toEqual([]);
  expect(report.estimate?.messages).toBeGreaterThanOrEqual(60);
  expect(report.estimate?.sampledMailboxes).toBe(report.estimate?.mailboxes);
  expect(report.estimate?.bytes).toBeGreaterThan(10_000);
  expect(report.command).toContain(`cyrvault backup --repo ${dir.in("repository")} --config ${config}`);
  // Nothing is there yet: the place above decides.
  expect(named(report, "repository-same-disk")).toMatchObject([{ severity: "warning" }]);
});

test("a repository on the spool's filesystem makes it 3, and people are told in words", async () => {
  const { code, stdout } = await run(["doctor", "--config", config, "--repo", dir.in("repository")]);
  expect(code).toBe(3);
  expect(stdout).toMatch(/^WARNING repository-same-disk: /m);
  expect(stdout).toContain(`  ${dir.in("server/spool")}  (partition default)`);
});

test("the clock of cyrus.conf, a link out of the spool and a key are noticed", async () => {
  const cyrusConf = dir.in("server/etc/cyrus.conf");
  const link = dir.in("server/spool/a");
  mkdirSync(dir.in("elsewhere"));
  symlinkSync(dir.in("elsewhere"), link);
  writeFileSync(cyrusConf, 'EVENTS {\n  e cmd="cyr_expire -X 3" at=0400\n}\n');
  try {
    const { code, report } = await doctor("--interval", "7d", "--password-file", "/not/read");
    expect(code).toBe(3);
    expect(named(report, "expire-window")).toMatchObject([{ severity: "warning" }]);
    expect(named(report, "hole-symlink")).toMatchObject([{ severity: "note", path: link }]);
    expect(named(report, "key-only-here")).toMatchObject([{ severity: "note", path: "/not/read" }]);
    expect(named((await doctor("--interval", "1d")).report, "expire-window")).toMatchObject([
      { severity: "ok" },
    ]);
  } finally {
    rmSync(link);
    rmSync(dir.in("elsewhere"), { recursive: true });
    rmSync(cyrusConf);
  }
});

test("a root that is missing is an error with what to do, not the end", async () => {
  appendFileSync(dir.in("server/etc/imapd.conf"), `partition-third: ${dir.in("gone")}\n`);
  const { code, report } = await doctor();
  expect(code).toBe(3);
  expect(report.checks).toMatchObject([{ code: "roots-refused", severity: "error" }]);
  expect(report.command).toBeNull();
});

test.each([["soon"], ["0"], ["-1d"]])("an interval of %s is wrong usage", async (interval) => {
  expect((await run(["doctor", "--config", config, `--interval=${interval}`])).code).toBe(2);
});
