import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Files, PASSWORD, Vault } from "../repair/repair-fixture.ts";
import { run } from "./fake-terminal.ts";

interface OnDisk {
  readonly vault: Vault;
  readonly repo: string;
  readonly env: Readonly<Record<string, string>>;
}

async function onDisk(): Promise<OnDisk> {
  const vault = await Vault.make(true);
  onTestFinished(() => vault[Symbol.dispose]());
  const repo = writeOut(vault.files);
  return { vault, repo, env: { CYRVAULT_REPO: repo, CYRVAULT_PASSWORD: PASSWORD } };
}

function writeOut(files: Files): string {
  const repo = mkdtempSync(join(tmpdir(), "cyrvault-repair-"));
  onTestFinished(() => rmSync(repo, { recursive: true, force: true }));
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(repo, name)), { recursive: true });
    writeFileSync(join(repo, name), bytes);
  }
  return repo;
}

const listed = (repo: string) =>
  readdirSync(repo, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(repo.length + 1))
    .filter((name) => !name.startsWith("index/"))
    .sort();

/** The largest pack: mail and attachments. */
function damage(repo: string): string {
  const packs = listed(repo).filter((name) => name.startsWith("packs/"));
  const sizes = packs.map((name) => ({ name, bytes: readFileSync(join(repo, name)) }));
  const [largest] = sizes.sort((a, b) => b.bytes.length - a.bytes.length);
  if (largest === undefined) throw new Error("no pack");
  const at = largest.bytes.length >> 1;
  largest.bytes[at] = (largest.bytes[at] as number) ^ 8;
  writeFileSync(join(repo, largest.name), largest.bytes);
  return largest.name;
}

describe("repair", () => {
  test("of a sound repository says that there is nothing to do", async () => {
    const { env } = await onDisk();
    const { code, stdout } = await run(["repair"], { env });
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "Nothing is damaged: there is nothing to repair.\n",
    });
    const json = await run(["repair", "--json"], { env });
    expect(JSON.parse(json.stdout)).toEqual({ healthy: true, dryRun: false });
  });

  test("says first what would be lost, then takes it from the server, and nothing is", async () => {
    const { vault, repo, env } = await onDisk();
    const pack = damage(repo);
    const checked = await run(["check", "--read-data"], { env });
    expect(checked.code).toBe(1);
    expect(checked.stderr).toContain("Who suffers from it, in ");
    expect(checked.stderr).toMatch(/user\.(anna|bob): UIDs \d/);
    const before = listed(repo);
    const plan = await run(["repair", "--dry-run"], { env });
    expect(plan.code).toBe(3);
    expect(plan.stdout).toContain("nothing is changed now");
    expect(plan.stdout).toContain("Lost for good");
    expect(listed(repo)).toEqual(before);
    const done = await run(["repair", "--root", vault.server.root], { env });
    expect(done.stdout).toContain("Nothing is lost.");
    expect(done.code).toBe(0);
    expect(listed(repo)).toContain(`damaged/${pack}`);
    expect((await run(["check", "--read-data"], { env })).code).toBe(0);
  });

  test("takes it from another repository, under a password of its own", async () => {
    const { vault, repo, env } = await onDisk();
    const other = writeOut(vault.files);
    damage(repo);
    const passwordFile = join(other, "password");
    writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
    const { code, stdout } = await run(
      ["repair", "--from", other, "--from-password-file", passwordFile, "--json"],
      { env },
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as { lostTotal: number; taken: { fromRepository: number } };
    expect(result.lostTotal).toBe(0);
    expect(result.taken.fromRepository).toBeGreaterThan(0);
    expect((await run(["check", "--read-data"], { env })).code).toBe(0);
  });

  test("names what is lost, in the findings of the backup that stands for the old one", async () => {
    const { repo, env } = await onDisk();
    damage(repo);
    const { code, stdout } = await run(["repair", "--json"], { env });
    expect(code).toBe(3);
    const result = JSON.parse(stdout) as { backups: { backup: string; became: string }[] };
    const became = result.backups[0]?.became ?? "";
    const findings = await run(["findings", became], { env });
    expect(findings.stdout).toContain("lost-in-repository");
    expect((await run(["check", "--read-data"], { env })).code).toBe(0);
    const undeleted = await run(["undelete", result.backups[0]?.backup ?? ""], { env });
    expect(undeleted.code).toBe(0);
  });
});

test("repair --empty-damaged deletes what was put aside, after it has said so, and nothing else", async () => {
  const { repo, env } = await onDisk();
  const pack = damage(repo);
  expect((await run(["repair"], { env })).code).toBe(3);
  const before = listed(repo);
  expect(before).toContain(`damaged/${pack}`);
  const plan = await run(["repair", "--empty-damaged", "--dry-run"], { env });
  expect(plan.stdout).toMatch(/damaged\/packs\/.*1 damaged file, .* would be deleted/s);
  expect(listed(repo)).toEqual(before);
  const done = await run(["repair", "--empty-damaged", "--json"], { env });
  expect(JSON.parse(done.stdout)).toMatchObject({ dryRun: false, files: [{ name: `damaged/${pack}` }] });
  expect(listed(repo)).toEqual(before.filter((name) => !name.startsWith("damaged/")));
  expect((await run(["repair", "--empty-damaged", "--root", "/"], { env })).code).toBe(2);
});

test("prune after a repair that cut waits for the grace time of what was cut, held or not, and says so", async () => {
  const { vault, repo, env } = await onDisk();
  for (const id of vault.backups) expect((await run(["tag", id, "--hold", "audit"], { env })).code).toBe(0);
  damage(repo);
  expect((await run(["repair"], { env })).code).toBe(3);
  const refused = await run(["prune", "--dry-run"], { env });
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/forgotten\/.*grace time/s);
  const now = await run(["prune", "--grace", "0h"], { env });
  expect(now.stderr).not.toContain("error");
  expect(now.code).toBe(0);
  expect(listed(repo).filter((name) => name.startsWith("forgotten/"))).toEqual([]);
  expect((await run(["check", "--read-data"], { env })).code).toBe(0);
});

test("repair --no-read-data looks at the structure alone", async () => {
  const { repo, env } = await onDisk();
  damage(repo);
  expect((await run(["repair", "--no-read-data", "--dry-run"], { env })).stdout).toContain("was not read");
  const pack = listed(repo).find((name) => name.startsWith("packs/")) ?? "";
  rmSync(join(repo, pack));
  expect((await run(["repair", "--no-read-data", "--dry-run"], { env })).code).toBe(3);
});

test("repair waits until nobody copies the repository any more", async () => {
  const { repo, env } = await onDisk();
  damage(repo);
  expect((await run(["prune", "--hold", "1h", "--reason", "rsync"], { env })).code).toBe(0);
  const refused = await run(["repair"], { env });
  expect(refused.code).toBe(11);
  expect(refused.stderr).toContain("held off");
  expect((await run(["prune", "--release"], { env })).code).toBe(0);
  expect((await run(["repair"], { env })).code).toBe(3);
});

test("check remembers what it has verified, and says what it did not reach", async () => {
  const { env, repo } = await onDisk();
  const some = await run(["check", "--older-than", "30d", "--max-duration", "0s", "--json"], { env });
  const result = JSON.parse(some.stdout) as { notReached: { packs: number }; packs: number };
  expect(some.code).toBe(0);
  expect(result.notReached.packs).toBe(result.packs);
  expect((await run(["check", "--older-than", "30d"], { env })).stdout).toContain("read again");
  expect(listed(repo).some((name) => name.startsWith("verified-times/"))).toBe(true);
  expect((await run(["check", "--older-than", "30d"], { env })).stdout).not.toContain("read again");
  const none = await run(["check", "--read-data", "--max-duration", "0s"], { env });
  expect(none.stdout).toContain("Not reached in that time");
});
