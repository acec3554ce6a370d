/** Starts the watchdog, and speaks with it: src/snapshot/quiesce-watchdog-entry.ts says what it does. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { CyrvaultError } from "../base/errors.ts";

export interface WatchdogTask {
  /** What to run, the last one first, each until it succeeds. `isDone`: of its complaint, in lower case, that there is nothing to do. */
  readonly undo: readonly { readonly argv: readonly string[]; readonly isDone?: string }[];
  /** From its start. */
  readonly afterMs: number;
  /** `NAME=VALUE` in the environment of commands that must have ended before. */
  readonly begun?: string;
}

export interface Watchdog {
  /** It has undone everything, because the time was over (or failed at it). */
  readonly hasBitten: boolean;
  /** Nothing is to be undone any more. Resolves when it has ended. */
  dismiss(): Promise<void>;
  /** It gives everything back now, as if we had died. @returns whether it could. */
  bite(): Promise<boolean>;
}

/** @throws {CyrvaultError} `SNAPSHOT_FAILED`: without it nothing is taken. */
export type StartWatchdog = (task: WatchdogTask) => Promise<Watchdog>;

const READY_MS_MAX = 20_000;

/** In a session of its own: no Ctrl-C and no closing terminal reaches it. */
export const startWatchdog: StartWatchdog = async (task) => {
  const isSource = import.meta.url.endsWith(".ts");
  const entry = new URL(`./quiesce-watchdog-entry.${isSource ? "ts" : "js"}`, import.meta.url);
  const loader = isSource ? ["--import", createRequire(import.meta.url).resolve("tsx")] : [];
  const child = spawn(process.execPath, [...loader, fileURLToPath(entry), JSON.stringify(task)], {
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
    env: withoutNodeOptions(process.env),
  });
  let said = "";
  let onSaid: (() => void) | undefined;
  child.stdout.on("data", (bytes: Buffer) => {
    said += bytes.toString("latin1");
    onSaid?.();
  });
  // It may end at any time: then there is nobody to hear.
  child.stdin.on("error", () => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("close", () => resolve());
  });
  const ready = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), READY_MS_MAX);
    const answer = (value: boolean): void => {
      clearTimeout(timer);
      resolve(value);
    };
    onSaid = () => {
      if (said.includes("ready")) answer(true);
    };
    void ended.then(() => answer(false));
  });
  if (!ready) {
    child.kill("SIGKILL");
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      "the watchdog process does not start: nothing is stopped or frozen without it",
    );
  }
  // It keeps nobody from ending.
  child.unref();
  for (const pipe of [child.stdin, child.stdout] as unknown as readonly Socket[]) pipe.unref();
  return {
    get hasBitten() {
      return /undone|failed/.test(said);
    },
    dismiss: async () => {
      child.stdin.end("done\n");
      await ended;
    },
    bite: async () => {
      child.stdin.destroy();
      await ended;
      return said.includes("undone");
    },
  };
};

/** They may name files to load that lie where nothing can be written, or want an inspector's port. */
function withoutNodeOptions(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = env;
  return rest;
}
