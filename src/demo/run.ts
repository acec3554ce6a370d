/**
 * The main job on a server made up for the purpose: a sample server → a repository → a backup → a day goes by →
 * another backup → both restored → compared with what was there. In a temporary directory that is removed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { compareTrees, type Exceptions, readTree, type Tree } from "./tree.ts";

/** The steps, each by the use case that has it: this one brings them together and knows none of them. */
export interface DemoSteps {
  /** @returns its imapd.conf, the directories that hold it, and what it has. */
  generate(directory: string): {
    readonly config: string;
    readonly roots: readonly string[];
    readonly summary: string;
  };
  /** A day goes by on the server. @returns what happened. */
  advance(directory: string): string;
  init(repository: string): Promise<void>;
  backup(config: string): Promise<{ readonly backup: string; readonly summary: string }>;
  restore(backup: string, target: string): Promise<string>;
  /** What of the server the backup does not promise to bring back. */
  exceptions(backup: string): Promise<Exceptions>;
  check(): Promise<{ readonly errors: number; readonly summary: string }>;
  close(): Promise<void>;
}

export interface DemoContext {
  readonly steps: DemoSteps;
  readonly say: (text: string) => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface DemoResult {
  readonly backups: readonly string[];
  /** Files and directories compared, in both restores together. */
  readonly compared: number;
  readonly differences: readonly string[];
  readonly checkErrors: number;
}

const DIFFERENCES_SHOWN = 10;
/** What changed in the last two seconds may still be changing for all a backup knows: it would be looked at again. */
const SETTLE_MS = 2_100;

export async function runDemo({ steps, say, clock, signal }: DemoContext): Promise<DemoResult> {
  const place = mkdtempSync(join(tmpdir(), "cyrvault-demo-"));
  try {
    await say(`Everything happens in ${place}, which is removed at the end.\n`);
    const server = join(place, "server");
    const { config, roots, summary } = steps.generate(server);
    await say(`1. A sample Cyrus server: ${summary}.`);
    await steps.init(join(place, "repository"));
    await say("2. An empty, encrypted repository.");
    await clock.sleep(SETTLE_MS, signal);

    const first = await takeBackup(config, roots);
    await say(`3. The first backup: ${first.summary}.`);
    await say(`4. A day goes by: ${steps.advance(server)}.`);
    const second = await takeBackup(config, roots);
    await say(`5. The second backup: ${second.summary}.`);

    const differences: string[] = [];
    let compared = 0;
    for (const [n, backup] of [first, second].entries()) {
      signal.throwIfAborted();
      const target = join(place, `restored-${n + 1}`);
      const restored = await steps.restore(backup.backup, target);
      const found = compareTrees(
        backup.tree,
        readTree(roots.map((root) => fromText(target + root))),
        fromText(target),
        await steps.exceptions(backup.backup),
      );
      compared += found.compared;
      differences.push(...found.differences);
      const verdict =
        found.differences.length === 0
          ? "all as they were, byte for byte, with modes, owners and times"
          : `${found.differences.length} differ`;
      await say(
        `${n + 6}. The ${n === 0 ? "first" : "second"} backup restored: ${restored}; ${found.compared} files and directories compared: ${verdict}.`,
      );
    }
    for (const line of differences.slice(0, DIFFERENCES_SHOWN)) await say(`   ${line}`);
    const { errors, summary: checked } = await steps.check();
    await say(`8. The repository checked, every byte of it: ${checked}.`);
    return { backups: [first.backup, second.backup], compared, differences, checkErrors: errors };
  } finally {
    await steps.close();
    rmSync(place, { recursive: true, force: true });
    await say(`\n${place} is removed.`);
  }

  async function takeBackup(
    config: string,
    roots: readonly string[],
  ): Promise<{ backup: string; summary: string; tree: Tree }> {
    signal.throwIfAborted();
    const tree = readTree(roots.map(fromText));
    return { ...(await steps.backup(config)), tree };
  }
}
