/** How much memory of its own a process takes while it runs. Linux. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type CliOptions, type CliResult, expectCode, startCli } from "./cli.ts";

const SAMPLE_EVERY_MS = 10;

export interface Measured<T> {
  readonly result: T;
  /**
   * The most that was seen of what it alone has and has written to. Mapped files (the program itself, LevelDB's tables)
   * are not in it: they can be dropped at any time.
   */
  readonly peakBytes: number;
  readonly seconds: number;
}

/** As `runJson`, and measured. */
export async function measureJson<T>(
  args: readonly string[],
  options: CliOptions = {},
): Promise<Measured<T>> {
  const began = performance.now();
  const running = startCli([...args, "--json", "--quiet"], options);
  let ended: CliResult | undefined;
  const result = running.result.then((it) => {
    ended = it;
    return it;
  });
  let peakBytes = 0;
  while (ended === undefined) {
    peakBytes = Math.max(peakBytes, privateDirtyBytes(running.pid));
    await delay(SAMPLE_EVERY_MS);
  }
  const finished = await result;
  expectCode(args, finished);
  const lines = finished.stdout.toString().trim().split("\n");
  if (peakBytes === 0) throw new Error("the process's memory was never seen");
  return {
    result: JSON.parse(lines.at(-1) ?? "") as T,
    peakBytes,
    seconds: (performance.now() - began) / 1000,
  };
}

export const MIB = 1024 * 1024;

export function inMiB(bytes: number): string {
  return `${(bytes / MIB).toFixed(0)} MiB`;
}

function privateDirtyBytes(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return Number(/^Private_Dirty:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // It has just ended.
  }
}
