/**
 * What runs hold of the machine, written down in a file for each server: a line when something is about to be taken, a line
 * when it has been given back. The file is locked while a run of that server is at work, and the kernel lets the lock go
 * however the run ends: what a free file names, somebody has left.
 */
import { isAbsolute, join } from "node:path";
import { CyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { HeldThing, Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import {
  JournalFile,
  journalFile,
  journalFilesIn,
  makeStateDirectory,
  syncDirectory,
} from "./journal-file.ts";
import { describeHeld, undo } from "./undo.ts";

/** For a command that the dead run had started. */
const ORPHANS_WAIT_MS = 30_000;
const ORPHANS_PAUSE_MS = 200;

export interface JournalOptions {
  readonly directory: string;
  readonly server: string;
  /** @param mark - see `liveSnapshotHost`. */
  readonly hostFor: (mark: string) => SnapshotHost;
  /** Processes that still run and carry that mark. */
  readonly startedBy: (mark: string) => readonly number[];
  /** Ends one of those. */
  readonly end?: (pid: number) => void;
  readonly log: Logger;
}

/** Where it is kept unless somebody says otherwise; undefined: nowhere. */
export function stateDirectory(
  env: Readonly<Record<string, string | undefined>>,
  isRoot: boolean,
): string | undefined {
  const own = env["CYRVAULT_STATE_DIR"] ?? "";
  if (own !== "") return own;
  if (isRoot) return "/var/lib/cyrvault";
  const [state, home] = [env["XDG_STATE_HOME"] ?? "", env["HOME"] ?? ""];
  if (isAbsolute(state)) return join(state, "cyrvault");
  return isAbsolute(home) ? join(home, ".local", "state", "cyrvault") : undefined;
}

export class Journal implements Holdings {
  readonly #file: JournalFile;
  readonly #host: SnapshotHost;
  readonly #log: Logger;
  readonly #end: (pid: number) => void;
  /** In the order in which they were taken. */
  readonly #held = new Map<number, HeldThing>();
  #last = 0;

  private constructor(
    file: JournalFile,
    { hostFor, log, end = endProcess }: Pick<JournalOptions, "hostFor" | "log" | "end">,
  ) {
    this.#end = end;
    this.#file = file;
    this.#host = hostFor(file.path);
    this.#log = log;
  }

  /**
   * Alone for this server on this machine until `close`, and with nothing left of an earlier run.
   * @throws {CyrvaultError} `LOCKED`; `SNAPSHOT_FAILED`: something of an earlier run cannot be given back; `IO`.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { directory, server } = options;
    makeStateDirectory(directory);
    const path = journalFile(directory, server);
    const file = JournalFile.lock(path);
    if (file === undefined) {
      throw new CyrvaultError(
        "LOCKED",
        `another backup of ${server} holds a view of this machine (${path})`,
        {
          hint: "wait for it with --lock-wait 2h",
        },
      );
    }
    const journal = new Journal(file, options);
    try {
      syncDirectory(directory);
      await journal.#recover(options.startedBy);
      return journal;
    } catch (error) {
      journal.close();
      throw error;
    }
  }

  /**
   * Gives back what runs that died have left, of every server. What is locked is at work. Failures are logged.
   * @param options - `but`: a server that is seen to otherwise.
   */
  static async recoverAll(
    options: Omit<JournalOptions, "server"> & { readonly but?: string },
  ): Promise<void> {
    const other = options.but === undefined ? undefined : journalFile(options.directory, options.but);
    for (const path of journalFilesIn(options.directory)) {
      if (path === other) continue;
      let file: JournalFile | undefined;
      try {
        file = JournalFile.lock(path);
        if (file !== undefined) await new Journal(file, options).#recover(options.startedBy);
      } catch (error) {
        if (!(error instanceof CyrvaultError)) throw error;
        options.log.warning(error.message, { hint: error.hint });
      } finally {
        file?.close();
      }
    }
  }

  async hold<T>(thing: HeldThing, take: () => Promise<T>): Promise<T> {
    const number = ++this.#last;
    this.#file.append({ hold: thing, number });
    this.#held.set(number, thing);
    return await take();
  }

  async release(thing: HeldThing): Promise<void> {
    const wanted = JSON.stringify(thing);
    for (const [number, held] of [...this.#held].reverse())
      if (JSON.stringify(held) === wanted) return await this.#giveBack(number, held);
  }

  async releaseAll(): Promise<void> {
    const failures: CyrvaultError[] = [];
    for (const [number, thing] of [...this.#held].reverse()) {
      try {
        await this.#giveBack(number, thing);
      } catch (error) {
        if (!(error instanceof CyrvaultError)) throw error;
        failures.push(error);
      }
    }
    if (failures.length === 0) return;
    const things = [...this.#held.values()];
    const left = things.map(describeHeld).join(", ");
    const now = things.some(({ kind }) => kind === "stopped")
      ? "start Cyrus by hand now: no mail is delivered; "
      : "";
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      `not given back: ${left}: ${failures.map(({ message }) => message).join("; ")}`,
      {
        hint: `${now}the next backup on this machine tries again; if you have seen to it by hand, delete ${this.#file.path}`,
        cause: failures[0],
      },
    );
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** Lets the lock go. What is held stays written down. */
  close(): void {
    this.#file.close();
  }

  async #giveBack(number: number, thing: HeldThing): Promise<void> {
    await undo(thing, this.#host);
    this.#held.delete(number);
    if (this.#held.size > 0) this.#file.append({ released: number });
    else this.#file.empty();
  }

  async #recover(startedBy: JournalOptions["startedBy"]): Promise<void> {
    this.#load();
    if (this.isEmpty) return;
    this.#log.warning("an earlier run has ended without giving back what it held: that is done now", {
      held: [...this.#held.values()].map(describeHeld).join(", "),
    });
    // Whoever writes there waits already.
    await this.#undoAll(({ kind }) => kind === "frozen");
    await this.#outwait(startedBy);
    if (startedBy(this.#file.path).length > 0) await this.#endThose(startedBy);
    await this.releaseAll();
  }

  /**
   * Those that hang, and daemons of a view, which end when that is given back. Who does not is ended, and then all is given
   * back once more: what it may have made by then is written down still.
   */
  async #endThose(startedBy: JournalOptions["startedBy"]): Promise<void> {
    await this.#undoAll(() => true);
    const left = startedBy(this.#file.path);
    if (left.length === 0) return;
    this.#log.warning("commands of the earlier run are ended", { processes: left.join(", ") });
    for (const pid of left) this.#end(pid);
    for (let look = 0; look < 10 && startedBy(this.#file.path).length > 0; look++)
      await this.#host.sleep(ORPHANS_PAUSE_MS);
  }

  /** It stays written down, and what fails is tried again. */
  async #undoAll(which: (thing: HeldThing) => boolean): Promise<void> {
    for (const thing of [...this.#held.values()].reverse().filter(which))
      await undo(thing, this.#host).catch((error: unknown) => {
        if (!(error instanceof CyrvaultError)) throw error;
      });
  }

  /** A command outlives whoever has started it: what it is about to make is not there yet. */
  async #outwait(startedBy: JournalOptions["startedBy"]): Promise<void> {
    const until = this.#host.nowMs() + ORPHANS_WAIT_MS;
    for (;;) {
      const left = startedBy(this.#file.path);
      if (left.length === 0) return;
      if (this.#host.nowMs() >= until) {
        this.#log.warning("commands of the earlier run are still at work", { processes: left.join(", ") });
        return;
      }
      await this.#host.sleep(ORPHANS_PAUSE_MS);
    }
  }

  #load(): void {
    const { path } = this.#file;
    for (const { text, line } of this.#file.read()) {
      if (line === undefined) {
        this.#log.warning(`a line of ${path} cannot be read, and is passed over`, {
          line: text.slice(0, 200),
        });
      } else if ("hold" in line) {
        this.#held.set(line.number, line.hold);
        this.#last = Math.max(this.#last, line.number);
      } else {
        this.#held.delete(line.released);
      }
    }
    if (this.isEmpty) this.#file.empty();
    else this.#file.endLine();
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
