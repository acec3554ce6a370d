/**
 * A process of its own: SEED OUTSIDE TARGET STAGING TOP…. Until standard input ends it puts links in the place of directories
 * and files below the tops, which lie in TARGET, each in one step, and puts back what was there: a link leads to what has the
 * same path in OUTSIDE. Says how often, at the end.
 */
import { linkSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join, relative } from "node:path";
import koffi from "koffi";
import { systemCode } from "../../src/base/errors.ts";
import { randomOf } from "../support/power-cut.ts";

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;
const LEVELS_MAX = 8;
/** Of the pause while the link is there, and of the one after it. */
const PAUSE_MS_MAX = 3;

const [seed = "", outside = "", target = "", staging = "", ...tops] = process.argv.slice(2);
const next = randomOf(Number(seed));
const exchange = koffi
  .load("libc.so.6")
  .func("int renameat2(int fromDir, const char *from, int toDir, const char *to, uint32_t flags)");
let swaps = 0;
let isOver = false;
process.stdin.on("end", () => {
  isOver = true;
});
process.stdin.resume();
process.stdout.write("ready\n");
while (!isOver) {
  for (let i = 0; i < 50; i++) swapSome();
  await new Promise((resolve) => setImmediate(resolve));
}
process.stdout.write(`${swaps}\n`);

function swapSome(): void {
  const chosen = choose();
  if (chosen === undefined) return;
  const link = join(staging, "link");
  const there = join(outside, relative(target, chosen.path));
  try {
    if (chosen.isFile && next() < 0.5) linkSync(there, link);
    else symlinkSync(there, link);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return; // no such file outside
    throw error;
  }
  if (exchange(AT_FDCWD, link, AT_FDCWD, chosen.path, RENAME_EXCHANGE) === 0) {
    swaps++;
    pause();
    if (exchange(AT_FDCWD, link, AT_FDCWD, chosen.path, RENAME_EXCHANGE) !== 0)
      rmSync(link, { recursive: true });
  }
  rmSync(link, { force: true });
  pause();
}

/** Something below the tops, mostly what has come last. */
function choose(): { readonly path: string; readonly isFile: boolean } | undefined {
  let found: { path: string; isFile: boolean } | undefined;
  let at = tops[Math.floor(next() * tops.length)] ?? "";
  for (let level = 0; level < LEVELS_MAX; level++) {
    const entries = entriesOf(at);
    const entry = entries[Math.floor(next() * entries.length)];
    if (entry === undefined) return found;
    at = join(at, entry.name);
    found = { path: at, isFile: !entry.isDirectory() };
    if (found.isFile || next() < 0.2) return found;
  }
  return found;
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return [];
    throw error;
  }
}

/** Half of them none at all. */
function pause(): void {
  const until = performance.now() + Math.max(0, next() - 0.5) * 2 * PAUSE_MS_MAX;
  while (performance.now() < until);
}
