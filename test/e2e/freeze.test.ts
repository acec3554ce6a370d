/** A real filesystem that is frozen around a view: a writer waits, and goes on whatever happens to who froze it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { type ByteString, fromText } from "../../src/base/byte-string.ts";
import { silentLogger } from "../../src/base/log.ts";
import { Journal } from "../../src/snapshot/journal.ts";
import { liveSnapshotHost, startedBy } from "../../src/snapshot/live-snapshot-host.ts";
import { FreezeQuiesce } from "../../src/snapshot/quiesce-freeze.ts";
import { startWatchdog } from "../../src/snapshot/quiesce-watchdog.ts";
import { describeWith } from "../support/describe-with.ts";
import { loopMountMissing, mountImage } from "../support/loop-mount.ts";
import { makeWorkspace } from "../support/workspace.ts";

const SOURCE = new URL("../../src/snapshot/", import.meta.url).href;

async function openJournal(state: string): Promise<Journal> {
  const log = silentLogger;
  return await Journal.open({ directory: state, server: "s", hostFor: liveSnapshotHost, startedBy, log });
}

/** Writes a file there as soon as it may. */
function writer(at: string): { readonly done: Promise<unknown>; isWaiting(): Promise<boolean> } {
  const child = spawn("/bin/sh", ["-c", 'echo mail > "$1"', "sh", join(at, "file")], { stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return {
    done: once(child, "exit"),
    isWaiting: async () => {
      await sleep(300);
      return child.exitCode === null;
    },
  };
}

describeWith(loopMountMissing(), "a filesystem can be mounted", "a filesystem that is frozen", () => {
  test("makes writers wait until the view is taken, and is nobody's afterwards", async () => {
    const workspace = makeWorkspace();
    const { at } = mountImage(workspace, "xfs", 320);
    const state = join(workspace, "state");
    const journal = await openJournal(state);
    const host = liveSnapshotHost(join(state, "s.held"));
    const freeze = new FreezeQuiesce({ host, provider: "command", ownPaths: [], watchdog: startWatchdog });
    const places = { roots: [fromText(join(at, "spool"))], ours: [] as ByteString[] };
    mkdirSync(join(at, "spool"));
    expect(await freeze.plan(places)).toEqual([`freeze ${at}, 10 s at most`]);
    await freeze.begin(places, journal);
    const waiting = writer(at);
    expect(await waiting.isWaiting()).toBe(true);
    expect((await freeze.end(journal)).broken).toBeUndefined();
    await waiting.done;
    expect(existsSync(join(at, "file"))).toBe(true);
    expect(journal.isEmpty).toBe(true);
    journal.close();

    const again = new FreezeQuiesce({
      host,
      provider: "command",
      ownPaths: [fromText(at)],
      watchdog: startWatchdog,
    });
    await expect(again.plan(places), "our own program lies there").rejects.toMatchObject({ code: "USAGE" });
  });

  test("goes on when the time is over, and when whoever froze it is killed; the next start finds nothing to do", async () => {
    const workspace = makeWorkspace();
    const { at } = mountImage(workspace, "xfs", 320);
    const step = {
      take: ["fsfreeze", "--freeze", at],
      undo: ["fsfreeze", "--unfreeze", at],
      isDone: "invalid argument",
    };
    const dog = await startWatchdog({ steps: [step], afterMs: 1500 });
    expect(await dog.take(0)).toMatchObject({ exitCode: 0 });
    const waiting = writer(at);
    await waiting.done;
    for (let i = 0; i < 500 && !dog.hasBitten; i++) await sleep(10);
    expect(dog.hasBitten).toBe(true);

    const state = join(workspace, "state");
    const program = `
      import { Journal } from "${SOURCE}journal.ts";
      import { liveSnapshotHost, startedBy } from "${SOURCE}live-snapshot-host.ts";
      import { FreezeQuiesce } from "${SOURCE}quiesce-freeze.ts";
      import { startWatchdog } from "${SOURCE}quiesce-watchdog.ts";
      const log = { error() {}, warning() {}, info() {}, debug() {} };
      const journal = await Journal.open({ directory: ${JSON.stringify(state)}, server: "s", hostFor: liveSnapshotHost, startedBy, log });
      const host = liveSnapshotHost(${JSON.stringify(join(state, "s.held"))});
      const freeze = new FreezeQuiesce({ host, provider: "command", ownPaths: [], watchdog: startWatchdog });
      await freeze.begin({ roots: [${JSON.stringify(at)}], ours: [] }, journal);
      console.log("frozen");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program]);
    await once(child.stdout, "data");
    const other = writer(at);
    child.kill("SIGKILL");
    await other.done;
    const journal = await openJournal(state);
    expect(journal.isEmpty).toBe(true);
    journal.close();
  });
});
