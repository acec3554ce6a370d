import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Level } from "level";
import { expect, onTestFinished, test } from "vitest";
import { liveSnapshotHost } from "../../../src/snapshot/live-snapshot-host.ts";
import { startLockChild } from "../../../src/snapshot/quiesce-withlock.ts";
import { tempDir } from "../../support/temp-dir.ts";

/** Of a child that lives on: what it has open, besides its standard files. */
const LIST = 'ls -l /proc/$$/fd > "$1"; mv "$1" "$2"; exec sleep 30';

async function withOpenIndex(start: (argv: readonly string[]) => Promise<unknown>): Promise<string> {
  const dir = tempDir();
  onTestFinished(() => dir.remove());
  const level = new Level(dir.in("index"));
  await level.open();
  onTestFinished(() => level.close());
  const path = dir.in("open-files");
  await start(["/bin/sh", "-c", LIST, "sh", `${path}.part`, path]);
  for (let tries = 0; !existsSync(path) && tries < 500; tries++) await sleep(10);
  return readFileSync(path, "utf8");
}

test("no command inherits a file of ours: a daemon that it starts would keep it open", async () => {
  const host = liveSnapshotHost("mark");
  const enough = new AbortController();
  const files = await withOpenIndex(async (argv) => {
    const work = host.run(argv, { signal: enough.signal });
    onTestFinished(async () => {
      enough.abort();
      await work;
    });
  });
  expect(files).toMatch(/ 2 -> /);
  expect(files).not.toContain("LOCK");
});

test("nor does whoever holds Cyrus's lock for us", async () => {
  const files = await withOpenIndex(async (argv) => {
    const child = startLockChild(argv);
    onTestFinished(() => child.release());
  });
  expect(files).toMatch(/ 2 -> /);
  expect(files).not.toContain("LOCK");
});

test("a command is ended by a signal of ours, with all that it has started", async () => {
  const dir = tempDir();
  onTestFinished(() => dir.remove());
  const host = liveSnapshotHost("mark");
  const interrupted = new AbortController();
  const work = host.run(["/bin/sh", "-c", 'echo $$ > "$1"; sleep 60; true', "sh", dir.in("pid")], {
    signal: interrupted.signal,
  });
  for (let tries = 0; !existsSync(dir.in("pid")) && tries < 500; tries++) await sleep(10);
  interrupted.abort();
  expect(await work).toMatchObject({ exitCode: undefined, reason: "it was ended by SIGTERM" });
  await expect(host.run(["true"], { signal: interrupted.signal })).resolves.toBeDefined();
});

test("a command that has done what it was to do may go on, and is not ended", async () => {
  const dir = tempDir();
  onTestFinished(() => dir.remove());
  // Under its name it is whole.
  const script = 'echo $$ > "$1.part"; mv "$1.part" "$1"; exec sleep 60';
  const argv = ["/bin/sh", "-c", script, "sh", dir.in("pid")];
  const mayGoOn = { isEnough: () => existsSync(dir.in("pid")), everyMs: 100 };
  expect(await liveSnapshotHost("mark").run(argv, { mayGoOn })).toMatchObject({ isLeft: true });
  const pid = Number(readFileSync(dir.in("pid"), "utf8"));
  process.kill(pid, 0);
  process.kill(pid, "SIGKILL");
});

test("whoever should hold Cyrus's lock and heeds nothing is ended, with all that it has started", async () => {
  const dir = tempDir();
  onTestFinished(() => dir.remove());
  const script = 'trap "" TERM; echo $$ > "$1"; sleep 60; sleep 60';
  const child = startLockChild(["/bin/sh", "-c", script, "sh", dir.in("pid")]);
  for (let tries = 0; !existsSync(dir.in("pid")) && tries < 500; tries++) await sleep(10);
  await child.release();
  expect(child.hasEnded).toBe(true);
  expect(child.complaint).toBe("ended by SIGKILL");
});
