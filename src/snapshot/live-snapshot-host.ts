/** The machine as it is, and commands that change it. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { endGroup } from "../base/end-group.ts";
import { keepFilesFromChildren } from "../base/posix-close-on-exec.ts";
import { normalPriorityOf } from "../base/posix-priority.ts";
import { liveHost } from "../source/host/live-host.ts";
import type { CommandOptions, CommandResult, SnapshotHost } from "./host.ts";

/** What a command prints beyond this is cut off. */
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
/** Of whoever does not say: longer than any of ours takes. */
const TIMEOUT_MS = 10 * 60_000;

/** For whoever does not heed SIGTERM. */
const KILL_LATER_MS = 5000;

/** In the environment of each command: a later run finds by it what an earlier one, that died, has left at work. */
const MARK = "CYRVAULT_HOLDS";

/** For commands that others start for us. */
export function markedEnvironment(mark: string): Readonly<Record<string, string>> {
  return { [MARK]: mark };
}

/** @param mark - of this run's records; a process that carries it may still be taking what they say. */
export function liveSnapshotHost(mark: string): SnapshotHost {
  return {
    facts: liveHost,
    run: (argv, options) => run(argv, mark, options),
    sleep: async (ms) => await sleep(ms),
    nowMs: () => Date.now(),
  };
}

/** Processes other than this one that a run with this mark has started, and that still run. Those of other users are seen by root alone. */
export function startedBy(mark: string): number[] {
  const wanted = `${MARK}=${mark}`;
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8");
      if (environment.split("\0").includes(wanted)) found.push(Number(name));
    } catch {
      // Gone, or not for this user.
    }
  }
  return found;
}

async function run(
  argv: readonly string[],
  mark: string,
  { timeoutMs = TIMEOUT_MS, environment = {}, signal: stop, mayGoOn }: CommandOptions = {},
): Promise<CommandResult> {
  const [program = "", ...args] = argv;
  // A daemon that it starts, or a command that is given up, lives on.
  keepFilesFromChildren();
  return await new Promise((resolve) => {
    // A group of its own: Ctrl-C at the terminal is for us, who then end things in order. LVM complains of descriptors that it inherits.
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        LC_ALL: "C",
        LVM_SUPPRESS_FD_WARNINGS: "1",
        ...markedEnvironment(mark),
        ...environment,
      },
    });
    // Cyrus is held while these run, and what starts it again hands its own on.
    if (child.pid !== undefined) normalPriorityOf(child.pid);
    const [out, err] = [new Collected(), new Collected()];
    let reason: string | undefined;
    const timers: NodeJS.Timeout[] = [];
    timers.push(
      setTimeout(() => {
        reason = `it did not end within ${Math.round(timeoutMs / 1000)} s`;
        endGroup(child.pid, "SIGKILL");
      }, timeoutMs),
    );
    const onStop = (): void => {
      endGroup(child.pid, "SIGTERM");
      timers.push(setTimeout(() => endGroup(child.pid, "SIGKILL"), KILL_LATER_MS));
    };
    if (stop?.aborted === true) onStop();
    else stop?.addEventListener("abort", onStop, { once: true });
    const cleanUp = (): void => {
      for (const timer of timers) clearTimeout(timer);
      stop?.removeEventListener("abort", onStop);
    };
    const leave = (): void => {
      if (mayGoOn?.isEnough() !== true) return;
      cleanUp();
      // What it still says must not end it: it is heard, as long as we are there.
      child.unref();
      for (const pipe of [child.stdout, child.stderr] as unknown as readonly Socket[]) pipe.unref();
      resolve({ exitCode: undefined, stdout: out.text(), stderr: err.text(), reason, isLeft: true });
    };
    if (mayGoOn !== undefined) timers.push(setInterval(leave, mayGoOn.everyMs));
    const answer = (exitCode: number | undefined): void => {
      cleanUp();
      // A daemon that it has started may keep them open for ever.
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ exitCode, stdout: out.text(), stderr: err.text(), reason });
    };
    child.stdout.on("data", (bytes: Buffer) => out.add(bytes));
    child.stderr.on("data", (bytes: Buffer) => err.add(bytes));
    child.on("error", (error: NodeJS.ErrnoException) => {
      reason ??= error.code === "ENOENT" ? `there is no ${program}` : error.message;
      answer(undefined);
    });
    child.on("exit", (code, signal) => {
      if (signal !== null) reason ??= `it was ended by ${signal}`;
      // What it printed last may still be on its way.
      const settle = setTimeout(() => answer(code ?? undefined), 200);
      child.once("close", () => {
        clearTimeout(settle);
        answer(code ?? undefined);
      });
    });
  });
}

class Collected {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  add(bytes: Buffer): void {
    const kept = bytes.subarray(0, OUTPUT_BYTES_MAX - this.#bytes);
    if (kept.length === 0) return;
    this.#chunks.push(kept);
    this.#bytes += kept.length;
  }

  /** One char a byte: paths may be anything. */
  text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }
}
