import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import {
  type BackupResult,
  expectCode,
  type RestoreResult,
  runCli,
  runJson,
  runJsonLines,
  startCli,
} from "../support/cli.ts";
import { CyrusServer, cyrusMissing } from "../support/cyrus-server.ts";
import { describeWith } from "../support/describe-with.ts";
import { ImapClient } from "../support/imap-client.ts";
import { COMPARISON } from "../support/left-out.ts";
import { LmtpClient } from "../support/lmtp-client.ts";
import { loopMountMissing, mountImage } from "../support/loop-mount.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { makeWorkspace } from "../support/workspace.ts";

interface ViewedBackup extends BackupResult {
  readonly view: {
    readonly snapshot: string;
    readonly quiesce: string;
    readonly consistency: string;
    readonly heldMs: number;
  };
}

interface Repository {
  readonly workspace: string;
  readonly env: Readonly<Record<string, string>>;
}

async function makeRepository(): Promise<Repository> {
  const workspace = makeWorkspace();
  const env = { CYRVAULT_REPO: join(workspace, "repository"), CYRVAULT_STATE_DIR: join(workspace, "state") };
  await runJson(["init", "--no-encryption"], { env });
  return { workspace, env };
}

/** What is written down as held, of all servers. */
function held({ env }: Repository): string {
  const directory = env["CYRVAULT_STATE_DIR"] as string;
  if (!existsSync(directory)) return "";
  return readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), "utf8"))
    .join("");
}

function subvolumes(at: string): string[] {
  const listed = execFileSync("btrfs", ["subvolume", "list", at], { encoding: "utf8" });
  return [...listed.matchAll(/ path (.+)$/gm)].map(([, path = ""]) => path);
}

/** Mail keeps coming until it is stopped. @returns which messages the server has taken. */
function deliver(server: CyrusServer, user: string) {
  const taken: string[] = [];
  let isStopped = false;
  const work = (async () => {
    const client = await LmtpClient.connect(server.ports.lmtp);
    for (let at = 1; !isStopped; at++) {
      const id = `flow-${at}`;
      await client.deliver(
        [user],
        Buffer.from(`Message-ID: <${id}@example.org>\r\nSubject: ${id}\r\n\r\n${"mail ".repeat(200)}\r\n`),
      );
      taken.push(id);
    }
    await client.quit();
  })();
  return {
    taken,
    stop: async () => {
      isStopped = true;
      await work;
    },
  };
}

async function startServer(directory: string): Promise<CyrusServer> {
  const server = await CyrusServer.create(directory);
  await server.start();
  onTestFinished(() => server.stop());
  const admin = await ImapClient.connect(server.ports.imap);
  for (const user of ["anna", "bruno"]) await admin.command(`CREATE user/${user}`);
  await admin.logout();
  return server;
}

/** As after a power cut: the mailbox to which a message was just coming in needs `reconstruct`, and nothing else does. */
async function expectAsAfterPowerCut(server: CyrusServer, user: string): Promise<void> {
  // A mailbox in need of repair is not counted as looked at.
  const damage = (await server.damage()).filter((line) => !line.startsWith("reconstruct looked at"));
  expect(damage.filter((line) => !line.startsWith(`user.${user}`))).toEqual([]);
  await server.tool("reconstruct", `user/${user}`);
  expect(await server.damage()).toEqual([]);
}

const missing = cyrusMissing() ?? loopMountMissing();

describeWith(missing, "Cyrus and loop devices are there", "a view of a running Cyrus", () => {
  test("by btrfs, while mail flows: what was taken before is in it, and it is worth what a power cut leaves", async () => {
    const repository = await makeRepository();
    const { workspace, env } = repository;
    const { at } = mountImage(workspace, "btrfs", 400);
    execFileSync("btrfs", ["-q", "subvolume", "create", join(at, "mail")]);
    const server = await startServer(join(at, "mail/server"));
    const flow = deliver(server, "anna");
    while (flow.taken.length < 30) await sleep(10);
    const args = ["backup", "--config", server.configPath];

    const refused = await runCli(args, { env });
    expectCode(args, refused, [2]);
    expect(refused.stderr).toMatch(/Cyrus runs on this tree.*\n.*--snapshot btrfs.*--allow-torn/);
    const torn = await runJson<ViewedBackup>([...args, "--server", "torn", "--allow-torn"], {
      env,
      codes: [0, 3],
    });
    expect(torn.view.consistency).toMatch(/^torn: Cyrus runs/);
    expect(torn.findings.map(({ code }) => code)).toContain("cut-torn");

    const before = flow.taken.length;
    const backup = await runJson<ViewedBackup>([...args, "--snapshot", "btrfs"], { env });
    const after = flow.taken.length;
    await flow.stop();
    await server.stop();
    expect(backup.view).toMatchObject({
      snapshot: "btrfs",
      quiesce: "none",
      consistency: "crash: one moment, while Cyrus ran",
      heldMs: 0,
    });
    expect(subvolumes(at)).toEqual(["mail"]);
    expect(held(repository)).toBe("");

    const target = join(workspace, "restored");
    await runJson<RestoreResult>(["restore", backup.backup, "--target", target], { env });
    const restored = await CyrusServer.adopt(join(target, server.directory));
    await expectAsAfterPowerCut(restored, "anna");
    await restored.start();
    onTestFinished(() => restored.stop());
    const client = await ImapClient.connect(restored.ports.imap, "anna");
    await client.select("INBOX");
    const count = (await client.uids()).length;
    await client.logout();
    expect(before).toBeGreaterThan(0);
    expect(count).toBeGreaterThanOrEqual(before);
    expect(count).toBeLessThanOrEqual(after + 1);
  });

  test("by a command, of XFS: what is restored is the view, to the last file", async () => {
    const repository = await makeRepository();
    const { workspace, env } = repository;
    const { at, image } = mountImage(workspace, "xfs", 400);
    const server = await startServer(join(at, "server"));
    const flow = deliver(server, "bruno");
    const [copy, view] = [join(workspace, "copy.image"), join(workspace, "view")];
    mkdirSync(view);
    // As an array or a hypervisor does it: the device's content at one moment. The loop device must be writable, or the
    // journal could not be replayed into the copy.
    const make = [
      `fsfreeze -f ${at} && cp --sparse=always ${image} ${copy}; fsfreeze -u ${at}`,
      `mount -o ro,nouuid $(losetup --find --show ${copy}) ${view} && echo ${at}=${view}`,
    ].join("; ");
    const remove = `if mountpoint -q ${view}; then umount ${view}; fi; losetup --associated ${copy} | cut -d: -f1 | xargs -r losetup --detach`;
    const args = [
      "backup",
      "--config",
      server.configPath,
      "--snapshot",
      "command",
      "--snapshot-command",
      make,
      "--snapshot-remove",
      remove,
    ];
    while (flow.taken.length < 30) await sleep(10);
    const backup = await runJson<ViewedBackup>(args, { env });
    await flow.stop();
    await server.stop();
    expect(backup.view.consistency).toMatch(/^crash: as a command/);
    expect(held(repository)).toBe("");

    const target = join(workspace, "restored");
    await runJson<RestoreResult>(["restore", backup.backup, "--target", target], { env });
    execFileSync("mount", ["-o", "loop,nouuid", copy, view]);
    onTestFinished(() => {
      execFileSync("umount", [view]);
    });
    const differences = compareTrees(
      readTree(join(view, "server")),
      readTree(join(target, server.directory)),
      COMPARISON,
    );
    expect(differences).toEqual([]);
    await expectAsAfterPowerCut(await CyrusServer.adopt(join(target, server.directory)), "bruno");
  });
});

describeWith(
  loopMountMissing(),
  "loop devices are there",
  "a server at rest, on a disk that is copied",
  () => {
    test("is in the view to its last message, though nobody had synced it", async () => {
      const { workspace, env } = await makeRepository();
      const { at, image } = mountImage(workspace, "xfs", 320);
      const size = {
        layout: "uuid",
        users: 1,
        foldersPerUser: 1,
        messages: 20,
        documentScale: 0.01,
      } as const;
      const { configPath } = generateServer(join(at, "server"), size);
      const [copy, view] = [join(workspace, "copy.image"), join(workspace, "view")];
      mkdirSync(view);
      const make = `cp --sparse=always ${image} ${copy} && mount -o ro,nouuid $(losetup --find --show ${copy}) ${view} && echo ${at}=${view}`;
      const remove = `if mountpoint -q ${view}; then umount ${view}; fi; losetup --associated ${copy} | cut -d: -f1 | xargs -r losetup --detach`;
      const hooks = ["--snapshot", "command", "--snapshot-command", make, "--snapshot-remove", remove];
      const args = ["backup", "--config", configPath, ...hooks, "--quiesce", "stop"];
      const backup = await runJson<ViewedBackup>(args, { env });
      expect(backup.view.consistency).toBe("clean: Cyrus was stopped");
      expect(backup.messages.total).toBe(20);
      expect(backup.findings).toEqual([]);
    });
  },
);

describeWith(loopMountMissing(), "loop devices are there", "whoever takes a view and is killed", () => {
  /** Programs of these names that run the real ones, and kill whoever has started them at the step that is due. */
  function interpose(workspace: string, ...programs: readonly string[]) {
    const directory = join(workspace, "interposed");
    mkdirSync(directory, { recursive: true });
    const state = join(directory, "state");
    const script = (real: string) => [
      "#!/bin/sh",
      `read -r step due when < ${state}; echo "$((step + 1)) $due $when" > ${state}`,
      // Whoever is killed leaves this one at work.
      'if [ "$step $when" = "$due before" ]; then kill -9 $PPID; sleep 0.3; fi',
      `${real} "$@"; code=$?`,
      'if [ "$step $when" = "$due after" ]; then kill -9 $PPID; fi',
      "exit $code",
    ];
    for (const program of programs) {
      const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
      writeFileSync(join(directory, program), `${script(real).join("\n")}\n`);
      chmodSync(join(directory, program), 0o755);
    }
    return {
      directory,
      path: `${directory}:${process.env["PATH"]}`,
      due: (step: number, when: string) => writeFileSync(state, `0 ${step} ${when}\n`),
      steps: () => Number(readFileSync(state, "utf8").split(" ")[0]),
    };
  }

  test("leaves nothing behind after the next start: btrfs, each step", async () => {
    const repository = await makeRepository();
    const { at } = mountImage(repository.workspace, "btrfs", 300);
    const { configPath } = generateServer(join(at, "server"), {
      layout: "uuid",
      users: 1,
      foldersPerUser: 1,
      messages: 5,
      documentScale: 0.01,
    });
    const shim = interpose(repository.workspace, "btrfs");
    const env = { ...repository.env, PATH: shim.path };
    const args = ["backup", "--config", configPath, "--snapshot", "btrfs"];
    shim.due(-1, "never");
    expectCode(args, await runCli(args, { env }));
    const steps = shim.steps();
    expect(steps).toBe(4);
    for (const when of ["before", "after"]) {
      // The first two ask, and change nothing.
      for (let step = when === "before" ? 2 : 0; step < steps; step++) {
        shim.due(step, when);
        expect((await runCli(args, { env })).signal, `${when} step ${step}`).toBe("SIGKILL");
        if (step === 2 && when === "after") expect(subvolumes(at).join()).toContain(".cyrvault-");
        shim.due(-1, "never");
        const next = ["backup", "--config", configPath];
        expectCode(next, await runCli(next, { env }));
        expect(subvolumes(at), `${when} step ${step}`).toEqual([]);
        expect(held(repository)).toBe("");
      }
    }
  });

  test("leaves nothing behind after the next start: a command, each step", async () => {
    const repository = await makeRepository();
    const { workspace } = repository;
    const { configPath } = generateServer(join(workspace, "server"), {
      layout: "uuid",
      users: 1,
      foldersPerUser: 1,
      messages: 5,
      documentScale: 0.01,
    });
    const shim = interpose(workspace, "cp", "rm");
    const { env } = repository;
    const view = join(workspace, "view");
    const make = `echo ${workspace}/server=${view}; exec ${shim.directory}/cp -a ${workspace}/server ${view}`;
    const remove = `exec ${shim.directory}/rm -rf ${view}`;
    const args = [
      "backup",
      "--config",
      configPath,
      "--snapshot",
      "command",
      "--snapshot-command",
      make,
      "--snapshot-remove",
      remove,
    ];
    for (const when of ["before", "after"]) {
      for (const step of [0, 1]) {
        shim.due(step, when);
        expect((await runCli(args, { env })).signal, `${when} step ${step}`).toBe("SIGKILL");
        shim.due(-1, "never");
        const next = ["backup", "--config", configPath];
        expectCode(next, await runCli(next, { env }));
        expect(existsSync(view), `${when} step ${step}`).toBe(false);
        expect(held(repository)).toBe("");
      }
    }
  });

  test("is cleaned up after by a backup of another server, too, though that takes a view of its own", async () => {
    const { workspace, env } = await makeRepository();
    const size = { layout: "uuid", users: 1, foldersPerUser: 1, messages: 5, documentScale: 0.01 } as const;
    const { configPath } = generateServer(join(workspace, "server"), size);
    const [left, view] = [join(workspace, "left"), join(workspace, "view")];
    mkdirSync(left);
    mkdirSync(env["CYRVAULT_STATE_DIR"] as string);
    const thing = { kind: "command-view", remove: ["/bin/sh", "-c", `rmdir ${left}`], environment: {} };
    const journal = join(env["CYRVAULT_STATE_DIR"] as string, "other.held");
    writeFileSync(journal, `${JSON.stringify({ hold: thing, number: 1 })}\n`);
    const make = `cp -a ${workspace}/server ${view} && echo ${workspace}/server=${view}`;
    const hooks = ["--snapshot-command", make, "--snapshot-remove", `rm -rf ${view}`];
    const args = ["backup", "--config", configPath, "--snapshot", "command", ...hooks];
    expectCode(args, await runCli(args, { env }));
    expect(existsSync(left)).toBe(false);
    expect(readFileSync(journal, "utf8")).toBe("");
  });

  test("a second start while one is at work ends with 11 and runs no command", async () => {
    const repository = await makeRepository();
    const { workspace, env } = repository;
    const { configPath } = generateServer(join(workspace, "server"), {
      layout: "uuid",
      users: 1,
      foldersPerUser: 1,
      messages: 5,
      documentScale: 0.01,
    });
    const [began, go, view] = [join(workspace, "began"), join(workspace, "go"), join(workspace, "view")];
    const make = `echo x >> ${began}; while [ ! -e ${go} ]; do sleep 0.05; done; cp -a ${workspace}/server ${view} && echo ${workspace}/server=${view}`;
    const args = [
      "backup",
      "--config",
      configPath,
      "--snapshot",
      "command",
      "--snapshot-command",
      make,
      "--snapshot-remove",
      `rm -rf ${view}`,
    ];
    const first = startCli(args, { env });
    while (!existsSync(began)) await sleep(20);
    expectCode(args, await runCli(args, { env }), [11]);
    expect(statSync(began).size).toBe(2);
    // The first signal is heard when the command has ended; nothing of it stays.
    process.kill(first.pid, "SIGTERM");
    writeFileSync(go, "");
    expectCode(args, await first.result, [130]);
    expect(existsSync(view)).toBe(false);
    expect(held(repository)).toBe("");
    expect(await runJsonLines(["list"], { env })).toEqual([]);
    rmSync(go);
  });
});
