/** A machine with a Cyrus on it that a test stops, starts, freezes: made up, its time passes when somebody sleeps. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { fromText } from "../../../src/base/byte-string.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import type { Logger } from "../../../src/base/log.ts";
import type { HeldThing, Holdings } from "../../../src/snapshot/held.ts";
import type { CommandResult, SnapshotHost } from "../../../src/snapshot/host.ts";
import type { Places } from "../../../src/snapshot/method.ts";
import type { StartWatchdog, WatchdogTask } from "../../../src/snapshot/quiesce-watchdog.ts";
import { undo } from "../../../src/snapshot/undo.ts";
import type { HostFacts, HostProcess } from "../../../src/source/host/host-facts.ts";
import { madeUpHost, process } from "../doctor/made-up-host.ts";

export const CONFIG = fromText("/etc/imapd.conf");
export const SPOOL = fromText("/var/spool/cyrus");
export const PLACES: Places = { roots: [fromText("/var/lib/cyrus"), SPOOL], ours: [] };

export class World implements SnapshotHost, Holdings {
  nowValue = 1_000_000;
  /** What happened, in order. */
  readonly log: string[] = [];
  readonly warnings: string[] = [];
  readonly held: HeldThing[] = [];
  readonly files = new Map<number, readonly string[]>();
  processes: HostProcess[] = [];
  more: Partial<HostFacts> = {};
  /** By the first word; what is not here succeeds and does nothing. */
  readonly commands = new Map<string, (argv: readonly string[]) => string | { readonly fails: string }>();
  readonly watchdogs: { readonly task: WatchdogTask; dismissed: boolean; bitten: boolean }[] = [];
  readonly #events: { readonly atMs: number; readonly what: () => void }[] = [];

  /** With two imapd, one of which has a mailbox open; under systemd. */
  runCyrus(): void {
    this.processes.push(
      process(500, 1, 0, "/usr/sbin/cyrmaster", "-C", "/etc/imapd.conf"),
      process(501, 500, 106, "imapd", "-s"),
      process(502, 500, 106, "imapd"),
    );
    this.files.set(501, ["/var/spool/cyrus/a/user/anna/cyrus.index"]);
  }

  endCyrus(): void {
    this.processes = this.processes.filter(({ pid }) => pid < 500 || pid > 502);
  }

  get runs(): boolean {
    return this.processes.some(({ pid }) => pid === 500);
  }

  /** `systemctl` as it should be. */
  withSystemd(): this {
    this.commands.set("cat", ([, path]) =>
      path === "/proc/500/cgroup"
        ? "0::/system.slice/cyrus-imapd.service\n"
        : "0::/user.slice/session-3.scope\n",
    );
    this.commands.set("systemctl", ([, what]) => {
      if (what === "stop") this.endCyrus();
      else if (!this.runs) this.runCyrus();
      return "";
    });
    return this;
  }

  after(ms: number, what: () => void): void {
    this.#events.push({ atMs: this.nowValue + ms, what });
  }

  facts(): HostFacts {
    return madeUpHost({
      uid: 0,
      processes: [...this.processes],
      openFiles: (pid) => (this.files.get(pid) ?? []).map(fromText),
      openForWriting: (pid) => (this.files.get(pid) ?? []).map(fromText),
      ...this.more,
    });
  }

  async run(argv: readonly string[]): Promise<CommandResult> {
    const [program = ""] = argv;
    if (program !== "cat") this.log.push(argv.join(" "));
    const answer = this.commands.get(program)?.(argv) ?? "";
    const fails = typeof answer === "string" ? undefined : answer.fails;
    return {
      exitCode: fails === undefined ? 0 : 1,
      stdout: typeof answer === "string" ? answer : "",
      stderr: fails ?? "",
      reason: undefined,
    };
  }

  async sleep(ms: number): Promise<void> {
    this.nowValue += Math.max(1, ms);
    for (const event of this.#events.filter(({ atMs }) => atMs <= this.nowValue)) {
      this.#events.splice(this.#events.indexOf(event), 1);
      event.what();
    }
    await nextTurn();
  }

  nowMs(): number {
    return this.nowValue;
  }

  async hold<T>(thing: HeldThing, take: () => Promise<T>): Promise<T> {
    this.held.push(thing);
    return await take();
  }

  async release(thing: HeldThing): Promise<void> {
    if (thing.kind === "stopped") await undo(thing, this);
    else {
      const argv = ["fsfreeze", "--unfreeze", "at" in thing ? thing.at : ""];
      const { exitCode, stderr } = await this.run(argv);
      if (exitCode !== 0) throw new CyrvaultError("SNAPSHOT_FAILED", `cannot give back: ${stderr}`);
    }
    this.held.splice(this.held.indexOf(thing), 1);
  }

  async releaseAll(): Promise<void> {
    for (const thing of [...this.held].reverse()) await this.release(thing);
  }

  readonly watchdog: StartWatchdog = async (task) => {
    const dog = { task, dismissed: false, bitten: false };
    this.watchdogs.push(dog);
    return {
      get hasBitten() {
        return dog.bitten;
      },
      take: (step) => this.run(task.steps[step]?.take ?? []),
      dismiss: async () => {
        dog.dismissed = true;
      },
      bite: async () => {
        dog.bitten = true;
        return task.steps.length > 0 && (await this.run(task.steps[0]?.undo ?? [])).exitCode === 0;
      },
    };
  };

  readonly logger: Pick<Logger, "info" | "warning"> = {
    info: (message) => this.log.push(`info: ${message}`),
    warning: (message) => this.warnings.push(message),
  };

  /** A job of cron's, with a mailbox open. */
  runJob(pid: number, program: string, file = "/var/spool/cyrus/b/user/bovik/cyrus.index"): void {
    this.processes.push(process(pid, 1, 106, program));
    this.files.set(pid, [file]);
  }

  endJob(pid: number): void {
    this.processes = this.processes.filter((one) => one.pid !== pid);
  }
}
