import { cpSync, existsSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateServer } from "../../../src/sample/generate.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { run } from "./fake-terminal.ts";

// Each restore syncs its filesystem: one in memory has nothing to sync.
if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

let dir: TempDir;
let server: string;
let repo: string;

beforeAll(async () => {
  dir = tempDir();
  server = dir.in("server");
  repo = dir.in("repository");
  generateServer(server, { users: 1, foldersPerUser: 1, messages: 6, days: 3 });
  await run(["init", "--no-encryption", "--repo", repo]);
  await run(["backup", "--quiet", "--repo", repo, "--config", join(server, "etc/imapd.conf")]);
});

afterAll(() => dir.remove());

test("a restore onto what is there already says how much was the same, replaced and missing", async () => {
  const target = dir.in("target");
  const restore = (...more: string[]) =>
    run(["restore", "--quiet", "--repo", repo, "latest", "--target", target, ...more]);
  const first = await restore("--json");
  expect(first.code).toBe(0);
  const { messages, files, outcomes } = JSON.parse(first.stdout);
  const total = messages + files;
  expect(outcomes).toEqual({ written: total, replaced: 0, same: 0, kept: 0 });

  const again = await restore("--overwrite", "if-different");
  expect(again.stderr).not.toContain("is there already");
  expect(again.stderr).toMatch(/\d+ files there already: compared, and written anew where/);
  expect(again.stdout).toContain(
    `of ${total} messages and other files 0 were missing and came back, 0 differed and were replaced, ${total} were the same already`,
  );

  const conf = join(target, server, "conf");
  const [gone = "", changed = ""] = readdirSync(conf).filter((name) => name.endsWith(".db"));
  rmSync(join(conf, gone));
  writeFileSync(join(conf, changed), "something else");
  const planned = await restore("--overwrite", "if-different", "--dry-run", "--json");
  expect(JSON.parse(planned.stdout).standing).toBeGreaterThanOrEqual(messages);
  const never = await restore("--overwrite", "never");
  expect(never.stderr).toMatch(/\d+ files there already, left as they are/);
  expect(never.stdout).toContain(
    `1 were missing and came back, 0 differed and were replaced, ${total - 2} were the same already, 1 were there and stay as they are`,
  );
  const last = await restore("--overwrite", "if-different", "--json");
  expect(JSON.parse(last.stdout).outcomes).toEqual({ written: 0, replaced: 1, same: total - 1, kept: 0 });
});

test("--overwrite never names what differs and stays, and a symbolic link only if it leads elsewhere", async () => {
  const target = dir.in("links");
  const restore = (...more: string[]) =>
    run(["restore", "--quiet", "--json", "--repo", repo, "latest", "--target", target, ...more]);
  await restore();
  const links = readdirSync(target, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isSymbolicLink(),
  );
  expect(links.length).toBeGreaterThan(0);
  expect(JSON.parse((await restore("--overwrite", "never")).stdout).findings).toEqual([]);

  const [{ parentPath = "", name = "" } = {}] = links;
  const path = join(parentPath, name);
  rmSync(path);
  symlinkSync("elsewhere", path);
  const { findings } = JSON.parse((await restore("--overwrite", "never")).stdout);
  expect(findings).toMatchObject([{ code: "differs-kept", path: path.slice(target.length) }]);
});

test("the plan is the result of --dry-run: it goes to standard output, that of a restore does not", async () => {
  const args = ["restore", "--quiet", "--repo", repo, "latest", "-t", dir.in("planned")];
  const planned = await run([...args, "-n"]);
  expect(planned).toMatchObject({ code: 0, stderr: "" });
  const config = join(server, "etc/imapd.conf");
  const wouldBackUp = await run(["backup", "-n", "--repo", repo, "--config", config]);
  expect(wouldBackUp.stdout).toContain("Nothing is stored now.");
  expect(planned.stdout).toMatch(/^Restore of \S+: /);
  const done = await run(args);
  expect(done.stderr).toMatch(/^Restore of \S+: /);
  expect(done.stdout).toMatch(/^Restored \S+: /);
});

test("commands that have nothing to show say so", async () => {
  expect(await run(["ls", "--repo", repo, "latest", "no.such.*"])).toEqual({
    code: 0,
    stdout: "",
    stderr: "No mailbox matches no.such.*.\n",
  });
  expect(await run(["undelete", "--repo", repo])).toEqual({
    code: 0,
    stdout: "",
    stderr: "No forgotten backup can be brought back.\n",
  });
  expect((await run(["undelete", "--repo", repo, "--json"])).stderr).toBe("");
});

test("check names a pack that is gone, so that it can be put back", async () => {
  const copy = dir.in("copy");
  cpSync(repo, copy, { recursive: true });
  const packs = readdirSync(join(copy, "packs"), { recursive: true, withFileTypes: true });
  const pack = packs.find((entry) => entry.isFile());
  if (pack === undefined) throw new Error("no pack");
  const path = join(pack.parentPath, pack.name);
  rmSync(path);
  const { code, stderr } = await run(["check", "--repo", copy]);
  expect(code).toBe(1);
  expect(stderr).toContain(`${path.slice(copy.length + 1)} is not there. If the file is anywhere else`);
  cpSync(path.replace(copy, repo), path);
  expect((await run(["check", "--repo", copy])).code).toBe(0);
});
