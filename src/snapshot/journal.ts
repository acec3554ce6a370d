/**
 * What runs hold of the machine, written down in a file for each server: a line when something is about to be taken, a line
 * when it has been given back. The file is locked while a run of that server is at work, and the kernel lets the lock go
 * however the run ends: what a free file names, somebody has left.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from "node:fs";
import { isAbsolute, join } from "node:path";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import type { Logger } from "../base/log.ts";
import { tryLock } from "../base/posix.ts";
import type { HeldThing, Holdings } from "./held.ts";
import type { SnapshotHost } from "./host.ts";
import { describeHeld, undo } from "./undo.ts";

const SUFFIX = ".held";
/** A run writes a few dozen lines. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** For a command that the dead run had started. */
const ORPHANS_WAIT_MS = 30_000;
const ORPHANS_PAUSE_MS = 200;

type Line = { readonly hold: HeldThing; readonly number: number } | { readonly released: number };

export interface JournalOptions {
  readonly directory: string;
  readonly server: string;
  /** @param mark - see `liveSnapshotHost`. */
  readonly hostFor: (mark: string) => SnapshotHost;
  /** Processes that still run and carry that mark. */
  readonly startedBy: (mark: string) => readonly number[];
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

/** One name for one server, which may have any characters. */
export function journalFile(directory: string, server: string): string {
  return join(directory, `${encodeURIComponent(server).slice(0, 200)}${SUFFIX}`);
}

export class Journal implements Holdings {
  readonly #fd: number;
  readonly #host: SnapshotHost;
  readonly #log: Logger;
  /** In the order in which they were taken. */
  readonly #held = new Map<number, HeldThing>();
  #last = 0;

  private constructor(fd: number, host: SnapshotHost, log: Logger) {
    this.#fd = fd;
    this.#host = host;
    this.#log = log;
  }

  /**
   * Alone for this server on this machine until `close`, and with nothing left of an earlier run.
   * @throws {CyrvaultError} `LOCKED`; `SNAPSHOT_FAILED`: something of an earlier run cannot be given back; `IO`.
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { directory, server } = options;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw ioError(`cannot make the state directory ${directory}`, cause);
    }
    const path = journalFile(directory, server);
    const journal = Journal.#lock(path, options);
    if (journal === undefined) {
      throw new CyrvaultError(
        "LOCKED",
        `another backup of ${server} holds a view of this machine (${path})`,
        {
          hint: "wait for it with --lock-wait 2h",
        },
      );
    }
    try {
      syncDirectory(directory);
      await journal.#recover(path, options);
      return journal;
    } catch (error) {
      journal.close();
      throw error;
    }
  }

  /** Gives back what runs that died have left, of every server. What is locked is at work. Failures are logged. */
  static async recoverAll(options: Omit<JournalOptions, "server">): Promise<void> {
    const { directory, log } = options;
    for (const name of namesIn(directory)) {
      if (!name.endsWith(SUFFIX)) continue;
      const path = join(directory, name);
      let journal: Journal | undefined;
      try {
        journal = Journal.#lock(path, options);
        if (journal !== undefined) await journal.#recover(path, options);
      } catch (error) {
        if (!(error instanceof CyrvaultError)) throw error;
        log.warning(error.message, { hint: error.hint });
      } finally {
        journal?.close();
      }
    }
  }

  /** @returns undefined: somebody else has it. */
  static #lock(path: string, { hostFor, log }: Pick<JournalOptions, "hostFor" | "log">): Journal | undefined {
    let fd: number;
    try {
      fd = openSync(path, "a+", 0o600);
    } catch (cause) {
      throw ioError(`cannot open ${path}`, cause);
    }
    try {
      if (tryLock(fd, "write")) return new Journal(fd, hostFor(path), log);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }

  async hold<T>(thing: HeldThing, take: () => Promise<T>): Promise<T> {
    const number = ++this.#last;
    this.#append({ hold: thing, number });
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
    const left = [...this.#held.values()].map(describeHeld).join(", ");
    throw new CyrvaultError(
      "SNAPSHOT_FAILED",
      `not given back: ${left}: ${failures.map(({ message }) => message).join("; ")}`,
      { hint: "the next backup of this server on this machine tries again", cause: failures[0] },
    );
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** Lets the lock go. What is held stays written down. */
  close(): void {
    closeSync(this.#fd);
  }

  async #giveBack(number: number, thing: HeldThing): Promise<void> {
    await undo(thing, this.#host);
    this.#held.delete(number);
    if (this.#held.size > 0) this.#append({ released: number });
    else this.#empty();
  }

  async #recover(
    path: string,
    { startedBy, log }: JournalOptions | Omit<JournalOptions, "server">,
  ): Promise<void> {
    this.#load(path);
    if (this.isEmpty) return;
    log.warning("an earlier run has ended without giving back what it held: that is done now", {
      held: [...this.#held.values()].map(describeHeld).join(", "),
    });
    await this.#outwait(path, startedBy);
    await this.releaseAll();
  }

  /** A command outlives whoever has started it: what it is about to make is not there yet. */
  async #outwait(path: string, startedBy: JournalOptions["startedBy"]): Promise<void> {
    const until = this.#host.nowMs() + ORPHANS_WAIT_MS;
    for (;;) {
      const left = startedBy(path);
      if (left.length === 0) return;
      if (this.#host.nowMs() >= until) {
        this.#log.warning("commands of the earlier run are still at work", { processes: left.join(", ") });
        return;
      }
      await this.#host.sleep(ORPHANS_PAUSE_MS);
    }
  }

  #load(path: string): void {
    const lines = readAll(this.#fd, path).split("\n");
    // Nothing was taken before its line was whole and durable.
    lines.pop();
    for (const text of lines) {
      const line = parseLine(text);
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
    // What was cut short must not spoil the next line.
    if (this.#held.size === 0) this.#empty();
    else this.#write("\n");
  }

  #append(line: Line): void {
    this.#write(`${JSON.stringify(line)}\n`);
  }

  #write(text: string): void {
    try {
      const bytes = Buffer.from(text);
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
      fsyncSync(this.#fd);
    } catch (cause) {
      throw ioError("cannot write down what is held", cause);
    }
  }

  #empty(): void {
    try {
      ftruncateSync(this.#fd, 0);
      fsyncSync(this.#fd);
    } catch (cause) {
      throw ioError("cannot write down that nothing is held", cause);
    }
  }
}

function readAll(fd: number, path: string): string {
  try {
    const size = Math.min(fstatSync(fd).size, FILE_BYTES_MAX);
    const bytes = Buffer.alloc(size);
    let done = 0;
    while (done < size) {
      const got = readSync(fd, bytes, done, size - done, done);
      if (got === 0) break;
      done += got;
    }
    return bytes.toString("utf8", 0, done);
  } catch (cause) {
    throw ioError(`cannot read ${path}`, cause);
  }
}

function parseLine(text: string): Line | undefined {
  if (text === "") return { released: 0 };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { hold, number, released } = value as { hold?: unknown; number?: unknown; released?: unknown };
  if (Number.isSafeInteger(released)) return { released: released as number };
  if (!Number.isSafeInteger(number) || !isHeldThing(hold)) return undefined;
  return { hold, number: number as number };
}

function isHeldThing(value: unknown): value is HeldThing {
  if (typeof value !== "object" || value === null) return false;
  const thing = value as Record<string, unknown>;
  const isText = (field: unknown) => typeof field === "string" && field !== "";
  const areTexts = (field: unknown) => Array.isArray(field) && field.length > 0 && field.every(isText);
  switch (thing["kind"]) {
    case "mount":
    case "directory":
    case "btrfs-snapshot":
    case "frozen":
      return isText(thing["at"]);
    case "lvm-snapshot":
      return isText(thing["group"]) && isText(thing["name"]);
    case "zfs-snapshots":
      return areTexts(thing["names"]);
    case "command-view":
      return (
        areTexts(thing["remove"]) && typeof thing["environment"] === "object" && thing["environment"] !== null
      );
    case "stopped":
      return areTexts(thing["start"]);
    default:
      return false;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (cause) {
    if (["ENOENT", "EACCES", "ENOTDIR"].includes(systemCode(cause) ?? "")) return [];
    throw ioError(`cannot list ${directory}`, cause);
  }
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } catch (cause) {
    throw ioError(`cannot make ${directory} durable`, cause);
  } finally {
    closeSync(fd);
  }
}
