/**
 * The watchdog: a process of its own that stops or freezes, and undoes it when whoever started it has gone without a word,
 * or when the time is over. It does both itself, so that it never undoes what is only about to happen; and it needs nothing
 * of them but a pipe, which the kernel closes. Its one argument is `WatchdogTask` as JSON. It is told `take NUMBER` or `done`
 * in lines, and answers in lines of JSON.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { endGroup } from "../base/end-group.ts";
import type { WatchdogAnswer, WatchdogTask } from "./quiesce-watchdog.ts";

const PAUSE_MS = 200;
const ATTEMPTS = 25;
const UNDO_MS_MAX = 120_000;
/** For whoever does not heed SIGTERM. */
const KILL_LATER_MS = 1000;
const COMPLAINT_CHARS = 2000;

const { steps, afterMs, environment } = JSON.parse(process.argv[2] ?? "") as WatchdogTask;
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
  const argv = steps[step]?.take ?? [];
  const onBegin = (group: number) => say({ state: "began", step, group });
  const limit = { endAfterMs: afterMs };
  const { code, signal, stderr, error } = await run(argv, { ...env, ...environment }, limit, onBegin);
  const how =
    error === undefined && signal === null
      ? { exitCode: code ?? 1 }
      : { reason: error?.message ?? `it was ended by ${signal}` };
  say({ state: "took", step, stderr, ...how });
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
  const { undo: argv = [], isDone, mayGoOnAfterMs } = steps[step] ?? {};
  for (let attempt = 1; ; attempt++) {
    const how = mayGoOnAfterMs === undefined ? { endAfterMs: UNDO_MS_MAX } : { leaveAfterMs: mayGoOnAfterMs };
    const { code, stderr, isLeft } = await run(argv, env, how);
    if (code === 0 || isLeft || (isDone !== undefined && stderr.toLowerCase().includes(isDone))) return true;
    if (attempt === ATTEMPTS) return false;
    await sleep(PAUSE_MS);
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  readonly error: Error | undefined;
  readonly isLeft: boolean;
}

/** Ended with all that it has started, or left alone. */
type Limit = { readonly endAfterMs: number } | { readonly leaveAfterMs: number };

async function run(
  [program = "", ...args]: readonly string[],
  environment: NodeJS.ProcessEnv,
  limit: Limit,
  onBegin: (group: number) => void = () => undefined,
): Promise<Ended> {
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    env: environment,
  });
  if (child.pid !== undefined) onBegin(child.pid);
  let stderr = "";
  child.stderr.on("data", (bytes: Buffer) => {
    stderr = (stderr + bytes.toString("latin1")).slice(-COMPLAINT_CHARS);
  });
  return await new Promise<Ended>((resolve) => {
    const timers: NodeJS.Timeout[] = [];
    const answer = (how: Partial<Ended>): void => {
      for (const timer of timers) clearTimeout(timer);
      resolve({ code: null, signal: null, error: undefined, isLeft: false, ...how, stderr });
    };
    const after = (ms: number, what: () => void) => timers.push(setTimeout(what, ms));
    if ("leaveAfterMs" in limit) after(limit.leaveAfterMs, () => answer({ isLeft: true }));
    else {
      after(limit.endAfterMs, () => endGroup(child.pid, "SIGTERM"));
      after(limit.endAfterMs + KILL_LATER_MS, () => endGroup(child.pid, "SIGKILL"));
    }
    child.once("error", (error) => answer({ error }));
    child.once("exit", (code, signal) => {
      // A daemon that it has started may keep it open for ever.
      child.stderr.destroy();
      answer({ code, signal });
    });
  });
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
