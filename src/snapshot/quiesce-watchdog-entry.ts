/**
 * The watchdog: a process of its own, which gives something back when whoever started it has gone without a word, or when
 * the time is over. It needs nothing of them but a pipe that the kernel closes. Its one argument is `WatchdogTask` as JSON.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { WatchdogTask } from "./quiesce-watchdog.ts";

const PAUSE_MS = 200;
const ATTEMPTS = 25;
const COMMAND_MS_MAX = 120_000;
/** For what the dead one had begun: giving back before it ends would give back nothing. */
const BEGUN_MS_MAX = 120_000;

const { undo, afterMs, begun } = JSON.parse(process.argv[2] ?? "") as WatchdogTask;
let isOver = false;

// systemd and terminals send these to everybody; who is meant tells us by the pipe.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const) process.on(signal, () => undefined);
// Whoever would have read it is gone.
process.stdout.on("error", () => undefined);

const timer = setTimeout(() => void giveBack(), afterMs);
process.stdin.on("data", () => {
  if (isOver) return;
  isOver = true;
  clearTimeout(timer);
  process.exit(0);
});
process.stdin.on("end", () => void giveBack());
process.stdin.on("error", () => void giveBack());
process.stdout.write("ready\n");

async function giveBack(): Promise<void> {
  if (isOver) return;
  isOver = true;
  clearTimeout(timer);
  await outwait();
  let left = undo.length;
  for (const { argv, isDone } of [...undo].reverse()) {
    const [program = "", ...args] = argv;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) await sleep(PAUSE_MS);
      const { status, stderr } = spawnSync(program, args, {
        stdio: ["ignore", "ignore", "pipe"],
        timeout: COMMAND_MS_MAX,
        encoding: "latin1",
        env: { ...process.env, LC_ALL: "C" },
      });
      if (status !== 0 && (isDone === undefined || !stderr?.toLowerCase().includes(isDone))) continue;
      left--;
      break;
    }
  }
  process.stdout.write(left === 0 ? "undone\n" : "failed\n", () => process.exit(left === 0 ? 0 : 1));
}

/** Until no process carries the mark any more. */
async function outwait(): Promise<void> {
  if (begun === undefined) return;
  for (const until = Date.now() + BEGUN_MS_MAX; Date.now() < until; await sleep(PAUSE_MS)) {
    const isAtWork = readdirSync("/proc").some((name) => {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
      try {
        return readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(begun);
      } catch {
        return false;
      }
    });
    if (!isAtWork) return;
  }
}
