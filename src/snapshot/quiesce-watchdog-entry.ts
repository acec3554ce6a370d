/**
 * The watchdog: a process of its own that stops or freezes, and undoes it when whoever started it has gone without a word,
 * or when the time is over. It does both itself, so that it never undoes what is only about to happen; and it needs nothing
 * of them but a pipe, which the kernel closes. Its one argument is `WatchdogTask` as JSON. It is told `take NUMBER` or `done`
 * in lines, and answers in lines of JSON.
 */
import { spawn, spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { WatchdogAnswer, WatchdogTask } from "./quiesce-watchdog.ts";

const PAUSE_MS = 200;
const ATTEMPTS = 25;
const UNDO_MS_MAX = 120_000;
const COMPLAINT_CHARS = 2000;

const { steps, afterMs } = JSON.parse(process.argv[2] ?? "") as WatchdogTask;
const env = { ...process.env, LC_ALL: "C" };
/** Of steps that were begun, whatever became of them. */
const begun: number[] = [];
let atWork: Promise<void> = Promise.resolve();
let timer: NodeJS.Timeout | undefined;
let isOver = false;
let heard = "";

// systemd and terminals send these to everybody; what is meant for us comes through the pipe.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const) process.on(signal, () => undefined);
// Whoever would have read it is gone.
process.stdout.on("error", () => undefined);

process.stdin.on("data", (bytes: Buffer) => {
  const lines = (heard + bytes.toString("latin1")).split("\n");
  heard = lines.pop() ?? "";
  for (const line of lines) {
    if (isOver) return;
    if (line === "done") end();
    else begin(Number(line.replace("take ", "")));
  }
});
process.stdin.on("end", () => void giveBack());
process.stdin.on("error", () => void giveBack());
say({ state: "ready" });

function begin(step: number): void {
  timer ??= setTimeout(() => void giveBack(), afterMs);
  begun.push(step);
  atWork = atWork.then(async () => {
    // Nothing may be taken after it was given back.
    if (!isOver) await take(step);
  });
}

async function take(step: number): Promise<void> {
  const [program = "", ...args] = steps[step]?.take ?? [];
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env, timeout: afterMs });
  let stderr = "";
  child.stderr.on("data", (bytes: Buffer) => {
    stderr = (stderr + bytes.toString("latin1")).slice(-COMPLAINT_CHARS);
  });
  await new Promise<void>((resolve) => {
    child.once("error", (error) => {
      say({ state: "took", step, stderr, reason: error.message });
      resolve();
    });
    child.once("exit", (code, signal) => {
      const how = signal === null ? { exitCode: code ?? 1 } : { reason: `it was ended by ${signal}` };
      say({ state: "took", step, stderr, ...how });
      // A daemon that it has started may keep it open for ever.
      child.stderr.destroy();
      resolve();
    });
  });
}

async function giveBack(): Promise<void> {
  if (isOver) return;
  isOver = true;
  clearTimeout(timer);
  await atWork;
  let left = 0;
  for (const step of begun.reverse()) if (!(await undo(step))) left++;
  say({ state: left === 0 ? "undone" : "failed" });
  end();
}

async function undo(step: number): Promise<boolean> {
  const { undo: argv = [], isDone } = steps[step] ?? {};
  const [program = "", ...args] = argv;
  for (let attempt = 1; ; attempt++) {
    const { status, stderr } = spawnSync(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: UNDO_MS_MAX,
      encoding: "latin1",
      env,
    });
    if (status === 0 || (isDone !== undefined && stderr?.toLowerCase().includes(isDone))) return true;
    if (attempt === ATTEMPTS) return false;
    await sleep(PAUSE_MS);
  }
}

function say(answer: WatchdogAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function end(): void {
  isOver = true;
  clearTimeout(timer);
  // What was said last must get out.
  process.stdout.write("", () => process.exit(0));
}
