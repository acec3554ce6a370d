/** Starts the watchdog, and speaks with it: quiesce-watchdog-entry.ts says what it does. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { endGroup } from "../base/end-group.ts";
import { CyrvaultError } from "../base/errors.ts";
import { entryUrl, RUNS_FROM_SOURCE } from "../base/package-files.ts";
import { keepFilesFromChildren } from "../base/posix-close-on-exec.ts";
import type { CommandResult } from "./host.ts";

export interface WatchdogTask {
  readonly steps: readonly WatchdogStep[];
  /** For what is taken, not for the undoing: how the next start finds a command that has outlived us both. */
  readonly environment?: Readonly<Record<string, string>>;
  /** From the first step that is taken. */
  readonly afterMs: number;
}

export interface WatchdogStep {
  readonly take: readonly string[];
  /** Tried until it succeeds. */
  readonly undo: readonly string[];
  /** Of its complaint, in lower case, when there is nothing to undo. */
  readonly isDone?: string;
  /** The undoing may serve for ever (a server in the foreground): what has not ended by then is left alone, and counts as done. */
  readonly mayGoOnAfterMs?: number;
}

/** A line of what it says. */
export type WatchdogAnswer =
  | { readonly state: "ready" | "undone" | "failed" }
  /** The command is at work, in a process group of this number. */
  | { readonly state: "began"; readonly step: number; readonly group: number }
  | {
      readonly state: "took";
      readonly step: number;
      readonly stderr: string;
      readonly exitCode?: number;
      readonly reason?: string;
    };

export interface Watchdog {
  /** It has undone what was taken because the time was over (or has failed at it). */
  readonly hasBitten: boolean;
  /** Answers whatever happens. From now on it is undone if we die. */
  take(step: number): Promise<CommandResult>;
  /** Nothing is to be undone any more. Resolves when it has ended. */
  dismiss(): Promise<void>;
  /** It undoes everything now, as if we had died. @returns whether it could. */
  bite(): Promise<boolean>;
}

/** @throws {CyrvaultError} `SNAPSHOT_FAILED`: without it nothing is taken. */
export type StartWatchdog = (task: WatchdogTask) => Promise<Watchdog>;

const READY_MS_MAX = 20_000;

/** In a session of its own: no Ctrl-C and no closing terminal reaches it. */
export const startWatchdog: StartWatchdog = async (task) => {
  const entry = entryUrl("snapshot/quiesce-watchdog-entry.ts");
  const loader = RUNS_FROM_SOURCE ? ["--import", createRequire(import.meta.url).resolve("tsx")] : [];
  keepFilesFromChildren();
  const child = spawn(process.execPath, [...loader, fileURLToPath(entry), JSON.stringify(task)], {
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
    env: withoutNodeOptions(process.env),
  });
  const answers = new Answers();
  child.stdout.on("data", (bytes: Buffer) => answers.hear(bytes));
  // It may end at any time: then there is nobody to hear.
  child.stdin.on("error", () => undefined);
  const ended = new Promise<undefined>((resolve) => {
    const end = () => {
      answers.end();
      resolve(undefined);
    };
    child.once("error", end);
    child.once("close", end);
  });
  const ready = await answers.next(({ state }) => state === "ready", READY_MS_MAX);
  if (ready === undefined) {
    child.kill("SIGKILL");
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      "the watchdog process does not start: nothing is stopped or frozen without it",
    );
  }
  // It keeps nobody from ending.
  child.unref();
  for (const pipe of [child.stdin, child.stdout] as unknown as readonly Socket[]) pipe.unref();
  const isUndone = () => answers.all.some(({ state }) => state === "undone");
  return {
    get hasBitten() {
      return isUndone() || answers.all.some(({ state }) => state === "failed");
    },
    take: async (step) => {
      // Until it has answered or ended: without the child itself nobody would hear of its end.
      child.ref();
      (child.stdout as unknown as Socket).ref();
      child.stdin.write(`take ${step}\n`);
      const answer = await answers.next((one) => one.state === "took" && one.step === step);
      (child.stdout as unknown as Socket).unref();
      child.unref();
      if (answer?.state !== "took") {
        // Somebody has killed it. What it had begun must not have its effect after it was undone.
        for (const one of answers.all)
          if (one.state === "began" && one.step === step) endGroup(one.group, "SIGKILL");
        return { exitCode: undefined, stdout: "", stderr: "", reason: "the watchdog has ended" };
      }
      const { exitCode, stderr, reason } = answer;
      return { exitCode, stdout: "", stderr, reason };
    },
    dismiss: async () => {
      child.ref();
      child.stdin.end("done\n");
      await ended;
    },
    bite: async () => {
      child.ref();
      child.stdin.end();
      await ended;
      return isUndone();
    },
  };
};

class Answers {
  readonly all: WatchdogAnswer[] = [];
  readonly #waiting = new Set<() => void>();
  #rest = "";
  #hasEnded = false;

  hear(bytes: Buffer): void {
    const lines = (this.#rest + bytes.toString("utf8")).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.all.push(JSON.parse(line) as WatchdogAnswer);
    for (const wake of this.#waiting) wake();
  }

  end(): void {
    this.#hasEnded = true;
    for (const wake of this.#waiting) wake();
  }

  /** @returns undefined: it has ended, or the time is over. */
  async next(
    isIt: (answer: WatchdogAnswer) => boolean,
    timeoutMs?: number,
  ): Promise<WatchdogAnswer | undefined> {
    return await new Promise((resolve) => {
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => settle(undefined), timeoutMs);
      const settle = (answer: WatchdogAnswer | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(answer);
      };
      const look = (): void => {
        const found = this.all.find(isIt);
        if (found !== undefined || this.#hasEnded) settle(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** They may name files to load, or want an inspector's port. */
function withoutNodeOptions(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = env;
  return rest;
}
