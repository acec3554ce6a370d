import { fsyncSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { constants, getPriority } from "node:os";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { dropFromCache, isCached } from "../../../src/base/posix-page-cache.ts";
import { hurry, lowerPriority } from "../../../src/base/posix-priority.ts";
import { tempDir } from "../../support/temp-dir.ts";

/** The 19th field of stat(5), counted after the name in brackets. */
function nicenessOfThread(thread: string): number {
  const fields = readFileSync(`/proc/self/task/${thread}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ");
  return Number(fields[16]);
}

test("every thread is served after others, and threads started later are too", async () => {
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads"); parentPort.on("message", () => {
       const { readlinkSync, readFileSync } = require("node:fs");
       const path = readlinkSync("/proc/thread-self");
       const fields = readFileSync("/proc/" + path + "/stat", "latin1").replace(/^.*\\) /s, "").split(" ");
       parentPort.postMessage(Number(fields[16]));
     });`,
    { eval: true },
  );
  const ask = (): Promise<number> =>
    new Promise((resolve) => {
      worker.once("message", resolve);
      worker.postMessage("niceness");
    });
  const before = await ask();
  const { processor } = lowerPriority();
  expect(processor).toBe(true);
  expect(await ask()).toBe(Math.max(before, constants.priority.PRIORITY_BELOW_NORMAL));
  expect(getPriority(process.pid)).toBe(constants.priority.PRIORITY_BELOW_NORMAL);
  expect(nicenessOfThread(String(process.pid))).toBe(constants.priority.PRIORITY_BELOW_NORMAL);
  await worker.terminate();
});

test("a thread in a hurry is served first, and afterwards as before; others stay as they are", () => {
  const [before, processBefore] = [getPriority(0), nicenessOfThread(String(process.pid))];
  const outer = hurry();
  expect(getPriority(0)).toBeLessThanOrEqual(Math.min(before, constants.priority.PRIORITY_NORMAL));
  if (process.getuid?.() === 0) expect(getPriority(0)).toBe(constants.priority.PRIORITY_HIGH);
  hurry()();
  expect(getPriority(0)).toBeLessThanOrEqual(Math.min(before, constants.priority.PRIORITY_NORMAL));
  outer();
  expect(getPriority(0)).toBe(before);
  expect(nicenessOfThread(String(process.pid))).toBe(processBefore);
});

test("what is in memory is known where the filesystem can tell, and dropping it loses nothing", () => {
  using dir = tempDir();
  const path = dir.in("file");
  writeFileSync(path, Buffer.alloc(100_000, 7));
  const fd = openSync(path, "r+");
  fsyncSync(fd);
  expect([true, undefined]).toContain(isCached(fd));
  dropFromCache(fd);
  expect([true, false, undefined]).toContain(isCached(fd));
  const bytes = Buffer.alloc(100_000);
  expect(readSync(fd, bytes, 0, bytes.length, 0)).toBe(100_000);
  expect(bytes.every((byte) => byte === 7)).toBe(true);
  expect([true, undefined]).toContain(isCached(fd));
});
