/**
 * Cyrus's own lock over everything, held while a view is taken: nobody is signed out, writers wait. `cyr_withlock_run`
 * (Cyrus 3.12 and later, imap/cyr_withlock_run.c) takes it, runs a program given by its full path as user cyrus, and lets
 * the lock go when that ends; without `global_lock` in imapd.conf, which is on by default, it refuses. The program is a
 * `cat` that waits for the end of a pipe of ours: if we die, the kernel closes it.
 */
import { spawn } from "node:child_process";
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { endGroup } from "../base/end-group.ts";
import { CyrvaultError } from "../base/errors.ts";
import { keepFilesFromChildren } from "../base/posix-close-on-exec.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { CTL_MBOXLIST_PATHS } from "../source/mailbox-list-tool.ts";
import { parentOf } from "../source/view.ts";
import { asArgument } from "./command.ts";
import type { Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Provider, Quiesce, QuiesceReport } from "./method.ts";
import { mastersOf } from "./quiesce-holders.ts";

/** A program that holds something for as long as it runs. */
export interface LockChild {
  /** True: it has said so. False: it ended, or said nothing in time. */
  isHeld(timeoutMs: number): Promise<boolean>;
  readonly hasEnded: boolean;
  /** What it complained of. */
  readonly complaint: string;
  /** Resolves when it has ended. */
  release(): Promise<void>;
}

export type StartLockChild = (argv: readonly string[]) => LockChild;

export interface WithlockInput {
  readonly host: Pick<SnapshotHost, "facts" | "nowMs">;
  readonly config: ByteString;
  readonly provider: Pick<Provider, "name" | "isFrozen">;
  /** Writers wait no longer than this, whatever happens to us. */
  readonly maxHeldMs: number;
  readonly start: StartLockChild;
}

const TOOL = "cyr_withlock_run";
/** Writers that are at work come to their end first. */
const LOCK_MS_MAX = 60_000;
const HELD = "held";
/** It has only to hear that the pipe has ended. */
const RELEASE_MS_MAX = 5000;
/** For whoever does not heed SIGTERM. */
const GIVE_UP_MS_MAX = 1000;

export class WithlockQuiesce implements Quiesce {
  readonly name = "withlock";
  readonly #input: WithlockInput;
  #child: LockChild | undefined;
  #heldAtMs: number | undefined;

  constructor(input: WithlockInput) {
    this.#input = input;
  }

  async plan(): Promise<readonly string[]> {
    const { provider, host } = this.#input;
    if (!provider.isFrozen) {
      throw new CyrvaultError(
        "USAGE",
        `--quiesce withlock with --snapshot ${provider.name}: writers would wait for as long as the backup reads`,
        {
          hint: "it goes with a snapshot: --snapshot lvm, btrfs, zfs or command",
        },
      );
    }
    return [`hold the lock over all of Cyrus: ${this.#argv(host.facts()).join(" ")}`];
  }

  async begin(_places: Places, _holdings?: Holdings, signal?: AbortSignal): Promise<void> {
    const { host, start } = this.#input;
    const argv = this.#argv(host.facts());
    const child = start(argv);
    this.#child = child;
    if (await unlessAborted(child.isHeld(LOCK_MS_MAX), signal)) {
      this.#heldAtMs = host.nowMs();
      return;
    }
    const why = child.hasEnded ? child.complaint : `no lock within ${LOCK_MS_MAX / 1000} s`;
    await child.release();
    signal?.throwIfAborted();
    throw new CyrvaultError("SNAPSHOT_FAILED", `${TOOL} did not lock Cyrus: ${why || "it says nothing"}`, {
      hint: "it needs `global_lock: yes` in imapd.conf, and to run as root or as Cyrus's user",
    });
  }

  async end(_holdings: Holdings): Promise<QuiesceReport> {
    const child = this.#child;
    if (child === undefined || this.#heldAtMs === undefined) return { heldMs: 0, broken: undefined };
    const broken = child.hasEnded ? `${TOOL} ended before the view was taken: ${child.complaint}` : undefined;
    await child.release();
    return { heldMs: this.#input.host.nowMs() - this.#heldAtMs, broken };
  }

  #argv(facts: HostFacts): string[] {
    const { config, maxHeldMs } = this.#input;
    const script = `echo ${HELD} && exec timeout "$1" cat >/dev/null`;
    const seconds = String(Math.ceil(maxHeldMs / 1000));
    const program = ["/bin/sh", "-c", script, "sh", seconds];
    return [toText(this.#tool(facts)), "-C", asArgument(config), "--", ...program];
  }

  /** Beside the running master, or where it is usually installed. */
  #tool(facts: HostFacts): ByteString {
    const programs = mastersOf(facts, this.#input.config).flatMap(
      ({ pid }) => facts.processes.find((process) => process.pid === pid)?.args[0] ?? [],
    );
    const beside = [...programs, ...CTL_MBOXLIST_PATHS.map(fromText)].filter((path) => path.startsWith("/"));
    const found = beside
      .map((path) => joinPath(parentOf(path), fromText(TOOL)))
      .find((path) => facts.stat(path) !== undefined);
    if (found !== undefined) return found;
    throw new CyrvaultError("USAGE", `there is no ${TOOL} on this machine, which came with Cyrus 3.12`, {
      hint: "--quiesce stop works with every version",
    });
  }
}

/** @returns false as soon as the signal comes. */
async function unlessAborted(isHeld: Promise<boolean>, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal === undefined) return await isHeld;
  if (signal.aborted) return false;
  const gone = new AbortController();
  const aborted = new Promise<false>((resolve) =>
    signal.addEventListener("abort", () => resolve(false), { once: true, signal: gone.signal }),
  );
  return await Promise.race([isHeld, aborted]).finally(() => gone.abort());
}

/** The real one. */
export const startLockChild: StartLockChild = ([program = "", ...args]) => {
  keepFilesFromChildren();
  const child = spawn(program, args, { detached: true, stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  let complaint = "";
  let hasEnded = false;
  let onChange: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    const end = (why: string): void => {
      complaint ||= why;
      hasEnded = true;
      onChange();
      resolve();
    };
    child.once("error", (error) => end(error.message));
    child.once("exit", (code, signal) => end(signal === null ? `exit code ${code}` : `ended by ${signal}`));
  });
  child.stdin.on("error", () => undefined);
  child.stderr.on("data", (bytes: Buffer) => {
    complaint = `${complaint}${bytes.toString("latin1")}`.slice(-500).replace(/\s+/g, " ");
  });
  child.stdout.on("data", (bytes: Buffer) => {
    said += bytes.toString("latin1");
    onChange();
  });
  return {
    get hasEnded() {
      return hasEnded;
    },
    get complaint() {
      return complaint.trim();
    },
    isHeld: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), timeoutMs);
        onChange = () => {
          if (!hasEnded && !said.includes(HELD)) return;
          clearTimeout(timer);
          resolve(!hasEnded);
        };
        onChange();
      }),
    release: async () => {
      child.stdin.end();
      // Who waits for the lock does not read the pipe.
      const wasHeld = said.includes(HELD);
      if (!wasHeld) endGroup(child.pid, "SIGTERM");
      // The kernel gives the lock back of whoever is killed.
      const timer = setTimeout(
        () => endGroup(child.pid, "SIGKILL"),
        wasHeld ? RELEASE_MS_MAX : GIVE_UP_MS_MAX,
      );
      await ended;
      clearTimeout(timer);
      child.stdout.destroy();
      child.stderr.destroy();
    },
  };
};
