import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateServer } from "../../../src/sample/generate.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";
import { type Ran, run } from "./fake-terminal.ts";

if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";

let dir: TempDir;
let repo: string;
let config: string;

const cyrvault = (...argv: string[]): Promise<Ran> =>
  run([...argv, "--repo", repo], { env: { CYRVAULT_STATE_DIR: dir.in("state"), HOME: dir.in("home") } });
const backUp = (...argv: string[]) => cyrvault("backup", "--quiet", "--config", config, ...argv);

beforeAll(async () => {
  dir = tempDir();
  repo = dir.in("repository");
  config = join(dir.in("server"), "etc/imapd.conf");
  generateServer(dir.in("server"), { users: 1, foldersPerUser: 2, messages: 9, days: 3 });
  await cyrvault("init", "--no-encryption");
});

afterAll(() => dir.remove());

test("a backup of the mailbox list alone does not speak of no mailboxes and no messages", async () => {
  const { code, stdout } = await backUp("--only", "mailbox-list", "--server", "mail");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Backup \S+ of mail \(mailbox list\), the first one, in .*\n {2}the list alone: /);
  expect(stdout).not.toMatch(/mailboxes:|messages:/);
});

test("what was left out is said by the backup, also where a pattern means nothing, and by ls", async () => {
  expect((await backUp()).stdout).not.toContain("left out");
  const mistyped = await backUp("--exclude-mailbox", "user.nobody.*");
  expect(mistyped.stdout).toContain("  left out: 0 mailboxes; of others 0 messages, 0 B\n");
  const { stdout } = await backUp("--exclude-mailbox", "*", "--json");
  const { leftOut, mailboxes } = JSON.parse(stdout);
  expect(leftOut).toEqual({ mailboxes: mailboxes.total, messages: 0, bytes: 0 });

  const lines = await cyrvault("ls", "latest", "--json");
  const listed = lines.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(listed.map(({ excluded }) => excluded)).toEqual(listed.map(() => true));
  expect((await cyrvault("ls", "latest")).stderr).toContain("excluded from the backup");
  const [{ mailbox }] = listed;
  expect((await cyrvault("ls", "latest", mailbox)).stderr).toContain(
    `${mailbox} was excluded from this backup`,
  );
});
