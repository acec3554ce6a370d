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
  const files = await withOpenIndex((argv) => host.run(argv, { timeoutMs: 1000 }));
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
