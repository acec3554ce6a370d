/**
 * Cyrus stopped: the one way in which nothing of it writes. What would be cut in two is waited for before; that it stands
 * still is verified by whoever holds files open, and looked at again and again, because others start servers too. Whatever
 * happens to this process, a watchdog starts it again; nothing of Cyrus is ever sent SIGSTOP, it may hold locks.
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { normalPriority } from "../base/posix-priority.ts";
import type { HostFacts } from "../source/host/host-facts.ts";
import { type RunningMaster, runningMasters } from "../source/host/running-master.ts";
import { commandFailed } from "./command.ts";
import type { HeldThing, Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import type { Places, Quiesce, QuiesceReport } from "./method.ts";
import { describeHolders, familyOf, type Holder, holdersBelow, isJob, mastersOf } from "./quiesce-holders.ts";
import { asTyped, type StopCommands, stopCommandsOf, unmarked } from "./quiesce-unit.ts";
import type { StartWatchdog, Watchdog } from "./quiesce-watchdog.ts";

export interface StopInput {
  readonly host: SnapshotHost;
  /** The server's imapd.conf. */
  readonly config: ByteString;
  /** undefined: as systemd has it. */
  readonly commands: StopCommands | undefined;
  /** For jobs that are at work, before anything is stopped. */
  readonly waitMs: number;
  /** Cyrus is started again then, whatever has been read. */
  readonly maxDowntimeMs: number;
  readonly watchdog: StartWatchdog;
  readonly log: Pick<Logger, "info" | "warning">;
}

const LOOK_MS = 1000;
/** Files that others hold open cost more to look at than processes. */
const LOOKS_PER_HOLDERS = 5;
const WAIT_LOOK_MS = 500;
const STILL_LOOK_MS = 100;
/** We start it ourselves at the limit; the watchdog only where we do not. */
const WATCHDOG_LATER_MS = 15_000;
const RUNS_AGAIN_MS_MAX = 30_000;
/** Of a start command that the watchdog runs: it may be the server itself, in the foreground. */
const START_MS_MAX = 120_000;

type State = "new" | "still" | "stopping" | "let-go" | "over";

export class StopQuiesce implements Quiesce {
  readonly name = "stop";
  readonly #input: StopInput;
  readonly #letGo = new AbortController();
  #state: State = "new";
  #commands: StopCommands | undefined;
  #thing: HeldThing | undefined;
  #watchdog: Watchdog | undefined;
  #holdings: Holdings | undefined;
  #roots: readonly ByteString[] = [];
  #stoppedAtMs: number | undefined;
  #startedAtMs: number | undefined;
  #broken: string | undefined;
  #signal: AbortSignal | undefined;
  #starting: Promise<void> | undefined;

  constructor(input: StopInput) {
    this.#input = input;
  }

  /** Aborted when Cyrus had to go on before `end`: what is read from then on was not held still. */
  get letGo(): AbortSignal {
    return this.#letGo.signal;
  }

  async plan({ roots }: Places): Promise<readonly string[]> {
    const facts = this.#input.host.facts();
    const master = this.#master(facts);
    if (master === undefined) return ["Cyrus does not run: it is not stopped, and not started afterwards"];
    const { stop, start } = await this.#commandsFor(master);
    const { busy } = this.#lookForJobs(facts, roots);
    return [
      ...(busy.length > 0 ? [`wait until these have ended: ${describeHolders(busy)}`] : []),
      `stop Cyrus (process ${master.pid}): ${asTyped(stop)}`,
      `start it again: ${asTyped(start)}, after ${this.#input.maxDowntimeMs / 1000} s at the latest`,
    ];
  }

  async begin({ roots }: Places, holdings: Holdings, signal?: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#roots = roots;
    this.#holdings = holdings;
    const { host } = this.#input;
    await this.#waitForJobs();
    const facts = host.facts();
    const master = this.#master(facts);
    if (master !== undefined) {
      const commands = await this.#commandsFor(master);
      const family = familyOf(facts, [master]);
      await this.#stop(
        commands,
        new Map(facts.processes.flatMap(({ pid, args }) => (family.has(pid) ? [[pid, args[0]]] : []))),
      );
    }
    await this.#verifyStill();
    this.#state = "still";
    void this.#guard();
  }

  async end(): Promise<QuiesceReport> {
    const before = this.#state;
    this.#state = "over";
    if (before === "still") this.#look(true);
    await this.#start();
    const { heldMs } = this;
    return { heldMs, broken: this.#broken };
  }

  /** So far. */
  get heldMs(): number {
    if (this.#stoppedAtMs === undefined) return 0;
    return (this.#startedAtMs ?? this.#input.host.nowMs()) - this.#stoppedAtMs;
  }

  #master(facts: HostFacts): RunningMaster | undefined {
    return mastersOf(facts, this.#input.config)[0];
  }

  async #commandsFor({ pid }: RunningMaster): Promise<StopCommands> {
    const { commands, host } = this.#input;
    this.#commands ??=
      commands === undefined
        ? await stopCommandsOf(host, pid)
        : { stop: commands.stop, start: unmarked(commands.start) };
    return this.#commands;
  }

  /** Who else holds files below the roots while Cyrus runs, and which jobs of its own must come to their end. */
  #lookForJobs(
    facts: HostFacts,
    roots: readonly ByteString[],
  ): { readonly busy: readonly Holder[]; readonly strangers: readonly Holder[]; readonly hidden: number } {
    const family = familyOf(facts, mastersOf(facts, this.#input.config));
    const all = familyOf(facts, runningMasters(facts.processes));
    const { holders, hidden } = holdersBelow(facts, roots);
    return {
      busy: holders.filter(({ process }) => !family.has(process.pid) || isJob(process)),
      strangers: holders.filter(({ process }) => !family.has(process.pid) && all.has(process.pid)),
      hidden,
    };
  }

  async #waitForJobs(): Promise<void> {
    const { host, waitMs, log } = this.#input;
    const until = host.nowMs() + waitMs;
    let told = false;
    for (;;) {
      this.#signal?.throwIfAborted();
      const { busy, strangers, hidden } = this.#lookForJobs(host.facts(), this.#roots);
      if (strangers.length > 0) {
        throw new CyrvaultError(
          "USAGE",
          `another Cyrus works below the places of this one: ${describeHolders(strangers)}`,
          { hint: "name the configuration that it runs with: --config" },
        );
      }
      if (busy.length === 0) {
        if (hidden > 0)
          log.info(`what ${hidden} processes hold open is not for this user to see`, { hint: "run as root" });
        return;
      }
      if (host.nowMs() >= until) {
        throw new CyrvaultError(
          "SNAPSHOT_FAILED",
          `nothing was stopped: files of Cyrus are still held open by ${describeHolders(busy)}`,
          { hint: "wait longer with --wait 2h, or run the backup at another hour" },
        );
      }
      if (!told) log.info("waiting for others that work on the mailboxes", { who: describeHolders(busy) });
      told = true;
      await host.sleep(Math.min(WAIT_LOOK_MS, until - host.nowMs()));
    }
  }

  /** @param family - the master and what descends from it: the numbers, and which program each one was. */
  async #stop(commands: StopCommands, family: ReadonlyMap<number, ByteString | undefined>): Promise<void> {
    const { host, maxDowntimeMs, watchdog } = this.#input;
    const started = await watchdog({
      steps: [{ take: commands.stop, undo: commands.start, mayGoOnAfterMs: START_MS_MAX }],
      afterMs: maxDowntimeMs + WATCHDOG_LATER_MS,
    });
    this.#watchdog = started;
    const thing: HeldThing = { kind: "stopped", start: commands.start, config: this.#input.config };
    this.#stoppedAtMs = host.nowMs();
    await (this.#holdings as Holdings).hold(thing, async () => {
      this.#thing = thing;
      this.#state = "stopping";
      const result = await started.take(0);
      if (result.exitCode !== 0) throw commandFailed("cannot stop Cyrus", commands.stop, result);
    });
    // A master that was killed leaves children that go on serving whom they serve.
    await this.#until("Cyrus does not end", () => {
      const now = host.facts();
      return (
        this.#master(now) === undefined &&
        !now.processes.some(({ pid, args }) => family.has(pid) && family.get(pid) === args[0])
      );
    });
  }

  async #verifyStill(): Promise<void> {
    let holders: readonly Holder[] = [];
    await this.#until(
      () => `files of Cyrus are still held open by ${describeHolders(holders)}`,
      () => {
        holders = holdersBelow(this.#input.host.facts(), this.#roots).holders;
        return holders.length === 0;
      },
    );
  }

  /** @throws {CyrvaultError} `SNAPSHOT_FAILED` when the longest downtime is over before. */
  async #until(problem: string | (() => string), isSo: () => boolean): Promise<void> {
    const { host, maxDowntimeMs } = this.#input;
    const from = this.#stoppedAtMs ?? host.nowMs();
    while (!isSo()) {
      this.#signal?.throwIfAborted();
      if (host.nowMs() - from >= maxDowntimeMs) {
        const what = typeof problem === "string" ? problem : problem();
        throw new CyrvaultError(
          "SNAPSHOT_FAILED",
          `${what}, ${maxDowntimeMs / 1000} s after the order to stop`,
          {
            hint: "--max-downtime 15m allows more",
          },
        );
      }
      await host.sleep(STILL_LOOK_MS);
    }
  }

  /** While it should stand: that nobody starts it, and that it does not stand for too long. */
  async #guard(): Promise<void> {
    const { host, maxDowntimeMs } = this.#input;
    const limitMs = this.#stoppedAtMs === undefined ? undefined : this.#stoppedAtMs + maxDowntimeMs;
    for (let look = 1; ; look++) {
      await host.sleep(Math.max(0, Math.min(LOOK_MS, (limitMs ?? Number.POSITIVE_INFINITY) - host.nowMs())));
      if (this.#state !== "still") return;
      this.#look(look % LOOKS_PER_HOLDERS === 0);
      if (limitMs === undefined || host.nowMs() < limitMs) continue;
      this.#state = "let-go";
      this.#breaks(
        `Cyrus was started again after ${maxDowntimeMs / 1000} s, which is the longest downtime allowed`,
      );
      this.#letGo.abort();
      // Who calls `end` gets the failure.
      await this.#start().catch(() => undefined);
      return;
    }
  }

  #look(alsoHolders: boolean): void {
    const facts = this.#input.host.facts();
    const master = this.#master(facts);
    if (this.#watchdog?.hasBitten === true) this.#breaks("the watchdog has started Cyrus again");
    else if (master !== undefined) {
      this.#breaks(`somebody has started Cyrus while it was read (process ${master.pid})`);
    } else if (alsoHolders) {
      const { holders } = holdersBelow(facts, this.#roots, "writers");
      if (holders.length > 0)
        this.#breaks(
          `files of Cyrus were held open to write while they were read: ${describeHolders(holders)}`,
        );
    }
  }

  #breaks(why: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = why;
    this.#input.log.warning(why);
  }

  /** Once, whoever asks. Nothing if we have not stopped it. */
  #start(): Promise<void> {
    this.#starting ??= this.#startAgain();
    return this.#starting;
  }

  async #startAgain(): Promise<void> {
    const thing = this.#thing;
    const holdings = this.#holdings;
    if (thing === undefined || holdings === undefined) {
      await this.#watchdog?.dismiss();
      return;
    }
    const { host, log } = this.#input;
    // It keeps what we give it, for as long as it serves.
    normalPriority();
    try {
      await holdings.release(thing);
    } catch (error) {
      // It tries for longer than we do, and on its own.
      if ((await this.#watchdog?.bite()) !== true) throw error;
      await holdings.release(thing).catch(() => undefined);
    }
    this.#startedAtMs = host.nowMs();
    await this.#watchdog?.dismiss();
    for (const until = host.nowMs() + RUNS_AGAIN_MS_MAX; this.#master(host.facts()) === undefined; ) {
      if (host.nowMs() >= until) {
        throw new CyrvaultError(
          "SNAPSHOT_FAILED",
          `Cyrus was started (${startOf(thing)}), and does not run`,
          {
            hint: "look at its log now: no mail is delivered",
          },
        );
      }
      await host.sleep(STILL_LOOK_MS);
    }
    log.info("Cyrus runs again", { downtimeSeconds: this.heldMs / 1000 });
  }
}

function startOf(thing: HeldThing): string {
  return thing.kind === "stopped" ? toText(thing.start.join(" ") as ByteString) : "";
}
