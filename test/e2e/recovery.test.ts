/** A stranger with a copy of the repository, a key and recovery/README.txt: every command is typed as it stands there. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import { type BackupResult, CLI, runCli, runJson } from "../support/cli.ts";
import { describeWithPython, PYTHON } from "../support/describe-with-python.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

const SERVER = "mail.example.org";

describeWithPython("recovery/README.txt of a repository", () => {
  test.each([
    ["encrypted", "pässword"],
    ["unencrypted", undefined],
  ])("%s, followed word for word elsewhere, gives back all that was there", async (_, password) => {
    const { workspace, backup } = await backedUp(password);
    const [mine, theirs] = [join(workspace, "mine"), join(workspace, "theirs")];
    for (const place of [mine, theirs]) copyRepository(workspace, place);
    const readme = readFileSync(join(mine, "copy", "recovery", "README.txt"), "utf8");
    const typed = commandsOf(readme);
    const key = typed.filter((line) => line.startsWith("export "));
    expect(key.length).toBe(password === undefined ? 0 : 2);
    const passwordFile = join(workspace, "password");
    writeFileSync(passwordFile, `${password}\n`);
    const [givePassword = ""] = key.map((line) => line.replace("/path/to/that/file", passwordFile));

    const reader = typed.filter((line) => line.startsWith("python3 "));
    expect(reader.map((line) => line.split(" ")[3])).toEqual(["list", "restore", "check"]);
    const said = type([givePassword, ...reader], join(mine, "copy"));
    expect(said).toContain(SERVER);
    expect(said).toContain(`${backup.messages.total} messages`);

    const own = typed.filter((line) => line.startsWith("cyrvault "));
    expect(own.map((line) => line.split(" ")[1])).toEqual(["list", "restore"]);
    type([givePassword, ...own], join(theirs, "copy"));

    const restored = readTree(join(theirs, "restored"));
    const mails = [...restored.keys()].filter((path) => /\/\d+\.$/.test(path));
    expect(mails).toHaveLength(backup.messages.total);
    // What lies above a root is no part of a backup.
    const above = join(workspace, "server", "etc").slice(1);
    const between = [".", "etc", "etc/default", "etc/pam.d"];
    const differences = compareTrees(restored, readTree(join(mine, "restored")), {
      ignore: (path) => path.startsWith("cyrvault-runbook-"),
      presenceOnly: (path) =>
        between.includes(path) ||
        `${above}/`.startsWith(`${path}/`) ||
        path.startsWith("cyrvault-mailbox-list-"),
    });
    expect(differences).toEqual([]);
  });

  test("is there from the first moment, with a page of each server later", async () => {
    const workspace = makeWorkspace();
    const env = { CYRVAULT_REPO: join(workspace, "repository") };
    await runJson(["init", "--no-encryption"], { env });
    const folder = join(env.CYRVAULT_REPO, "recovery");
    expect(readdirSync(folder).sort()).toEqual(["README.txt", "reader.py"]);
    const { configPath } = generateServer(join(workspace, "server"), { messages: 20, users: 1 });
    await runJson(["backup", "--config", configPath, "--server", SERVER], { env });
    await runJson(["backup", "--config", configPath, "--server", "second"], { env });
    expect(readdirSync(folder).sort()).toEqual([
      "README.txt",
      "reader.py",
      `server-${SERVER}.txt`,
      "server-second.txt",
    ]);
    expect(await runJson(["check"], { env })).toMatchObject({ errorsTotal: 0, recoveryReader: "same" });
    writeFileSync(join(folder, "reader.py"), "print('harm')\n");
    expect((await runCli(["check"], { env })).stderr).toContain("recovery/reader.py is not the one");
  });

  test("that cannot be written is a warning, and the backup is made", async () => {
    const { workspace, env, configPath } = await backedUp(undefined);
    const folder = join(workspace, "repository", "recovery");
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "in the way");
    const { code, stderr } = await runCli(["backup", "--config", configPath, "--server", SERVER], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("recovery/") });
    expect(await runJson(["check"], { env })).toMatchObject({
      errorsTotal: 0,
      backups: 2,
      recoveryReader: "unreadable",
    });
  });
});

async function backedUp(password: string | undefined) {
  const workspace = makeWorkspace();
  const { configPath } = generateServer(join(workspace, "server"), {
    messages: 150,
    users: 2,
    linkedShare: 0.3,
  });
  const env = {
    CYRVAULT_REPO: join(workspace, "repository"),
    ...(password === undefined ? {} : { CYRVAULT_PASSWORD: password }),
  };
  await runJson(["init", ...(password === undefined ? ["--no-encryption"] : [])], { env });
  const backup = await runJson<BackupResult>(["backup", "--config", configPath, "--server", SERVER], { env });
  return { workspace, env, configPath, backup };
}

function copyRepository(workspace: string, place: string): void {
  mkdirSync(place);
  cpSync(join(workspace, "repository"), join(place, "copy"), { recursive: true });
}

function commandsOf(text: string): string[] {
  return text.split("\n").flatMap((line) => (/^ {8}\S/.test(line) ? [line.trim()] : []));
}

/** In one shell, from nothing but a path; `cyrvault` is the one under test, python3 the one with the packages. */
function type(lines: readonly string[], directory: string): string {
  const programs = [
    `cyrvault() { '${process.execPath}' '${CLI}' "$@"; }`,
    `python3() { '${PYTHON}' "$@"; }`,
    "set -e",
  ];
  const { status, stdout, stderr } = spawnSync("sh", ["-c", [...programs, ...lines].join("\n")], {
    cwd: directory,
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", CYRVAULT_CACHE_DIR: "" },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${lines.join("; ")}: ${stderr}`);
  return stdout;
}
