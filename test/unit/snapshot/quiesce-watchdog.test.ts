import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isProcessAlive } from "../../../src/base/processes.ts";
import { startWatchdog, type WatchdogTask } from "../../../src/snapshot/quiesce-watchdog.ts";
import { type TempDir, tempDir } from "../../support/temp-dir.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

/** Each step writes a line. */
function task(names: readonly string[], afterMs = 60_000): WatchdogTask {
  const line = (text: string) => ["/bin/sh", "-c", 'echo "$1" >> "$2"', "sh", text, dir.in("log")];
  return {
    afterMs,
    steps: names.map((name) => ({ take: line(`take ${name}`), undo: line(`undo ${name}`) })),
  };
}

const log = (): string[] =>
  existsSync(dir.in("log")) ? readFileSync(dir.in("log"), "utf8").trim().split("\n") : [];

async function logged(line: string): Promise<string[]> {
  for (let i = 0; i < 1000 && !log().includes(line); i++) await sleep(10);
  return log();
}

/** Once there is a whole line: a file of which only the name is there would be read as 0, which is everybody of ours. */
async function pidIn(file: string): Promise<number> {
  const read = () => (existsSync(file) ? readFileSync(file, "utf8") : "");
  for (let i = 0; i < 1000 && !read().endsWith("\n"); i++) await sleep(10);
  expect(read()).toMatch(/^[1-9]\d*\n$/);
  return Number(read());
}

/** The shortest of these times that is long enough for this machine to begin in; whatever `begin` logged before is gone. */
async function inTime<T>(shortestMs: number, begin: (afterMs: number) => Promise<T | undefined>): Promise<T> {
  for (let afterMs = shortestMs; afterMs <= 32 * shortestMs; afterMs *= 2) {
    const begun = await begin(afterMs);
    if (begun !== undefined) return begun;
    rmSync(dir.in("log"), { force: true });
  }
  throw new Error("the time was always over too early");
}

test("it takes what it is told, and dismissed it undoes nothing", async () => {
  const dog = await startWatchdog(task(["a", "b", "c"]));
  expect(await dog.take(0)).toMatchObject({ exitCode: 0 });
  expect(await dog.take(1)).toMatchObject({ exitCode: 0 });
  await dog.dismiss();
  expect(dog.hasBitten).toBe(false);
  expect(log()).toEqual(["take a", "take b"]);
  expect(await dog.take(2)).toMatchObject({ exitCode: undefined, reason: "the watchdog has ended" });
});

test("when the time is over it undoes what was taken, the last first, and nothing else", async () => {
  const dog = await inTime(300, async (afterMs) => {
    const one = await startWatchdog(task(["a", "b", "c"], afterMs));
    await one.take(0);
    if ((await one.take(1)).exitCode === 0) return one;
    await one.bite();
    return undefined;
  });
  expect(await logged("undo a")).toEqual(["take a", "take b", "undo b", "undo a"]);
  for (let i = 0; i < 500 && !dog.hasBitten; i++) await sleep(10);
  expect(dog.hasBitten).toBe(true);
});

test("on demand it undoes at once, and says whether it could", async () => {
  const dog = await startWatchdog(task(["a"]));
  await dog.take(0);
  expect(await dog.bite()).toBe(true);
  expect(log()).toEqual(["take a", "undo a"]);
});

test("a command that fails is answered with what it complained of, and undone all the same", async () => {
  const failing = {
    take: ["/bin/sh", "-c", "echo no room >&2; exit 4"],
    undo: task(["a"]).steps[0]?.undo ?? [],
  };
  const dog = await startWatchdog({
    afterMs: 60_000,
    steps: [failing, { take: ["/nowhere/at/all"], undo: ["true"] }],
  });
  expect(await dog.take(0)).toMatchObject({ exitCode: 4, stderr: "no room\n" });
  expect(await dog.take(1)).toMatchObject({ exitCode: undefined, reason: expect.stringContaining("ENOENT") });
  expect(await dog.bite()).toBe(true);
  expect(log()).toEqual(["undo a"]);
});

test("an undoing that has nothing to do counts as done", async () => {
  const undo = ["/bin/sh", "-c", "echo 'fsfreeze: /x: unfreeze failed: Invalid argument' >&2; exit 1"];
  const dog = await startWatchdog({
    afterMs: 60_000,
    steps: [{ take: ["true"], undo, isDone: "invalid argument" }],
  });
  await dog.take(0);
  expect(await dog.bite()).toBe(true);
});

test("whoever started it is killed while a command is at work: it is undone after that has ended", async () => {
  const slow = {
    take: ["/bin/sh", "-c", 'echo begun >> "$1"; sleep 0.4; echo ended >> "$1"', "sh", dir.in("log")],
    undo: task(["a"]).steps[0]?.undo ?? [],
  };
  const program = `
    import { startWatchdog } from ${JSON.stringify(new URL("../../../src/snapshot/quiesce-watchdog.ts", import.meta.url).href)};
    const dog = await startWatchdog(${JSON.stringify({ afterMs: 60_000, steps: [slow] })});
    await dog.take(0);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    stdio: "ignore",
  });
  await logged("begun");
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await logged("undo a")).toEqual(["begun", "ended", "undo a"]);
});

test("signals that are sent to everybody do not end it", async () => {
  const pidFile = dir.in("pid");
  const undo = task(["a"]).steps[0]?.undo ?? [];
  const dog = await startWatchdog({
    afterMs: 60_000,
    steps: [{ take: ["/bin/sh", "-c", 'echo $PPID > "$1"', "sh", pidFile], undo }],
  });
  await dog.take(0);
  const pid = Number(readFileSync(pidFile, "utf8"));
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(pid, signal);
  await sleep(100);
  expect(await dog.bite()).toBe(true);
  expect(log()).toEqual(["undo a"]);
});

test("it is killed itself while a command is at work: whoever waits hears of it, and what it had begun is ended", async () => {
  const script = 'echo $$ > "$2"; sleep 0.3; kill -9 $PPID; sleep 60; echo late >> "$1"';
  const step = { take: ["/bin/sh", "-c", script, "sh", dir.in("log"), dir.in("pid")], undo: ["true"] };
  // In a process that has nothing else to wait for.
  const program = `
    import { startWatchdog } from ${JSON.stringify(new URL("../../../src/snapshot/quiesce-watchdog.ts", import.meta.url).href)};
    const dog = await startWatchdog(${JSON.stringify({ afterMs: 60_000, steps: [step] })});
    const { reason } = await dog.take(0);
    process.stdout.write(reason);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let said = "";
  child.stdout.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  const [code] = await once(child, "close");
  expect({ code, said }).toEqual({ code: 0, said: "the watchdog has ended" });
  const pid = await pidIn(dir.in("pid"));
  for (let i = 0; i < 1000 && isProcessAlive(pid); i++) await sleep(10);
  expect(isProcessAlive(pid)).toBe(false);
  expect(log()).toEqual([]);
});

test("a command that heeds no SIGTERM is ended with all that it has started, and undone", async () => {
  const script = 'trap "" TERM; echo begun >> "$1"; sleep 60; echo late >> "$1"';
  const step = {
    take: ["/bin/sh", "-c", script, "sh", dir.in("log")],
    undo: task(["a"]).steps[0]?.undo ?? [],
  };
  const taken = await inTime(200, async (afterMs) => {
    const dog = await startWatchdog({ afterMs, steps: [step] });
    const result = await dog.take(0);
    if (log().includes("begun")) return result;
    await dog.bite();
    return undefined;
  });
  expect(taken).toMatchObject({ exitCode: undefined, reason: "it was ended by SIGKILL" });
  expect(await logged("undo a")).toEqual(["begun", "undo a"]);
});

test("an undoing that may go on is left alone when it does not end", async () => {
  const pidFile = dir.in("pid");
  const undo = ["/bin/sh", "-c", 'echo $$ > "$1"; exec sleep 60', "sh", pidFile];
  const dog = await startWatchdog({
    afterMs: 60_000,
    steps: [{ take: ["true"], undo, mayGoOnAfterMs: 200 }],
  });
  await dog.take(0);
  expect(await dog.bite()).toBe(true);
  const pid = await pidIn(pidFile);
  process.kill(pid, 0);
  process.kill(pid, "SIGKILL");
});
