/** How much memory a process and its children take, looked up in /proc while they run (Linux). */
import { readFileSync } from "node:fs";

export interface MemoryPeaks {
  /** Private_* of smaps_rollup, summed over the processes: what nobody else shares, mapped files included. */
  readonly privateBytes: number;
  /** Of it, what the kernel cannot drop at will: not backed by a file. */
  readonly anonymousBytes: number;
  readonly residentBytes: number;
}

interface Sizes {
  private: number;
  anonymous: number;
  resident: number;
}

const SAMPLE_MS = 50;

/** Each figure's own peak: they need not be of the same moment. */
export class MemorySampler {
  readonly #timer: NodeJS.Timeout;
  readonly #peak: Sizes = { private: 0, anonymous: 0, resident: 0 };

  constructor(pid: number) {
    this.#timer = setInterval(() => this.#sample(pid), SAMPLE_MS);
  }

  stop(): MemoryPeaks {
    clearInterval(this.#timer);
    const { private: privateBytes, anonymous: anonymousBytes, resident: residentBytes } = this.#peak;
    return { privateBytes, anonymousBytes, residentBytes };
  }

  #sample(pid: number): void {
    const sum: Sizes = { private: 0, anonymous: 0, resident: 0 };
    for (const each of withDescendants(pid)) {
      const text = readOrEmpty(`/proc/${each}/smaps_rollup`);
      const { private: own, anonymous, resident } = parseSmapsRollup(text);
      sum.private += own;
      sum.anonymous += anonymous;
      sum.resident += resident;
    }
    for (const key of ["private", "anonymous", "resident"] as const)
      this.#peak[key] = Math.max(this.#peak[key], sum[key]);
  }
}

/** In bytes. */
export function parseSmapsRollup(text: string): Readonly<Sizes> {
  const sizes: Sizes = { private: 0, anonymous: 0, resident: 0 };
  for (const [, name = "", kibibytes] of text.matchAll(/^(\w+):\s+(\d+) kB$/gm)) {
    const bytes = Number(kibibytes) * 1024;
    if (name.startsWith("Private_")) sizes.private += bytes;
    else if (name === "Anonymous") sizes.anonymous += bytes;
    else if (name === "Rss") sizes.resident += bytes;
  }
  return sizes;
}

function withDescendants(pid: number): number[] {
  const found = [pid];
  for (const process of found) {
    const children = readOrEmpty(`/proc/${process}/task/${process}/children`);
    found.push(
      ...children
        .split(" ")
        .filter((child) => child !== "")
        .map(Number),
    );
  }
  return found;
}

/** A process may end at any time. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
