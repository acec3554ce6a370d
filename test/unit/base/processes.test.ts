import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { isProcessAlive, processMark } from "../../../src/base/processes.ts";

test("this process is alive, and is not another one that had its number", () => {
  expect(isProcessAlive(process.pid)).toBe(true);
  expect(isProcessAlive(process.pid, processMark())).toBe(true);
  expect(processMark()).toBe(processMark());
  const mark = processMark();
  if (mark === undefined) return;
  expect(isProcessAlive(process.pid, "another-boot pid:[1] 1")).toBe(false);
  expect(isProcessAlive(process.pid, mark.replace(/\d+$/, "1"))).toBe(false);
  // In another container of this machine: nobody can tell.
  expect(isProcessAlive(2 ** 30, mark.replace(/pid:\[\d+\]/, "pid:[1]"))).toBe(true);
});

test("a process that was killed is not alive, nor is one that nobody has asked for its result", async () => {
  const child = spawn("sleep", ["60"]);
  const ended = once(child, "exit");
  expect(isProcessAlive(child.pid as number)).toBe(true);
  child.kill("SIGKILL");
  await ended;
  expect(isProcessAlive(child.pid as number)).toBe(false);
  if (!existsSync("/proc/self/stat")) return;
  // The shell's child ends at once, and what the shell has become does not wait for it.
  const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const zombie = Number(line.toString().trim());
  for (let i = 0; i < 500 && isProcessAlive(zombie); i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(() => process.kill(zombie, 0)).not.toThrow();
  expect(isProcessAlive(zombie)).toBe(false);
  parent.kill("SIGKILL");
});
