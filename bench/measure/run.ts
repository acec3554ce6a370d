/** Runs a command and says what it took. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Command } from "./command.ts";
import { MemorySampler } from "./memory.ts";

export interface Ran {
  readonly exitCode: number;
  readonly seconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly peakPrivateBytes: number;
  readonly peakAnonymousBytes: number;
  readonly peakResidentBytes: number;
  /** The last 64 MiB of it. */
  readonly stdout: Buffer;
  /** The last 64 KiB of it. */
  readonly stderr: string;
}

const STDOUT_BYTES = 64 << 20;
const STDERR_BYTES = 64 << 10;
const TIMEOUT_MS = 4 * 3600_000;
/** Ticks of /proc/PID/stat a second: fixed on Linux. */
const TICKS = 100;

/**
 * One at a time: processor time is what all ended children of this process have taken since the last look. Wall time is
 * from the fork to the end of the process and its output.
 * @throws {Error} where the command cannot be started.
 */
export async function run({ argv, env = {}, cwd }: Command): Promise<Ran> {
  const [file = "", ...args] = argv;
  const before = childTimes();
  const started = performance.now();
  const child = spawn(file, args, {
    env: { ...process.env, ...env },
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: TIMEOUT_MS,
  });
  const stdout = new Tail(STDOUT_BYTES);
  const stderr = new Tail(STDERR_BYTES);
  child.stdout.on("data", (bytes: Buffer) => stdout.add(bytes));
  child.stderr.on("data", (bytes: Buffer) => stderr.add(bytes));
  const memory = child.pid === undefined ? undefined : new MemorySampler(child.pid);
  try {
    const [exitCode] = (await once(child, "close")) as [number | null];
    const seconds = (performance.now() - started) / 1000;
    const after = childTimes();
    const peaks = memory?.stop();
    return {
      exitCode: exitCode ?? -1,
      seconds,
      userSeconds: after.user - before.user,
      systemSeconds: after.system - before.system,
      peakPrivateBytes: peaks?.privateBytes ?? 0,
      peakAnonymousBytes: peaks?.anonymousBytes ?? 0,
      peakResidentBytes: peaks?.residentBytes ?? 0,
      stdout: stdout.bytes(),
      stderr: stderr.bytes().toString("utf8"),
    };
  } finally {
    memory?.stop();
  }
}

function childTimes(): { user: number; system: number } {
  return parseChildTimes(readFileSync("/proc/self/stat", "latin1"));
}

/** Processor time of ended children, in seconds. @param stat - /proc/PID/stat: proc(5), fields 16 and 17. */
export function parseChildTimes(stat: string): { user: number; system: number } {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[13]) / TICKS, system: Number(fields[14]) / TICKS };
}

class Tail {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    while (this.#length - (this.#chunks[0]?.length ?? 0) >= this.#limit)
      this.#length -= this.#chunks.shift()?.length ?? 0;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
