/**
 * A restore, while another process puts links to the outside in the place of what is restored, as fast as it can: nothing is
 * written outside of the target, and the restore ends well or says why not. The real command line; `CYRVAULT_SEED` for
 * other moments, `CYRVAULT_HEAVY=1` for more rounds.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import { type BackupResult, runCli, runJson } from "../support/cli.ts";
import { randomOf } from "../support/power-cut.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { comparable } from "../unit/restore/restore-fixture.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
const SEED = Number(process.env["CYRVAULT_SEED"] ?? 20_261_122);
const ROUNDS = HEAVY ? 60 : 4;
const TIMEOUT_MS = 60_000 + ROUNDS * 30_000;
const SWAPPER = new URL("./symlink-swapper.ts", import.meta.url).pathname;

let dir: TempDir;
let server: string;
let env: Record<string, string>;

beforeAll(async () => {
  dir = tempDir();
  server = dir.in("server");
  env = { CYRVAULT_REPO: dir.in("repository") };
  generateServer(server, { users: 3, foldersPerUser: 4, messages: 500, documentScale: 0.05 });
  await runJson(["init", "--no-encryption"], { env });
  await runJson<BackupResult>(["backup", "--config", join(server, "etc/imapd.conf")], { env });
  await makeOutside(dir.in("outside"));
}, TIMEOUT_MS);

afterAll(() => dir.remove());

const restoreArgs = (target: string) => ["restore", "latest", "--target", target];

/** A restore of its own, of which every other file is missing or differs: whatever is written through a link shows. */
async function makeOutside(place: string): Promise<void> {
  await runJson(restoreArgs(place), { env });
  let number = 0;
  for (const [path, { type }] of readTree(place)) {
    if (type !== "file") continue;
    number++;
    if (number % 3 === 0) rmSync(join(place, path));
    else if (number % 3 === 1) writeFileSync(join(place, path), "canary");
  }
}

/** Of directories also when anything last happened to them: a file that was made and removed again is one too many. */
function stateOf(place: string): string[] {
  return [...readTree(place)].map(([path, { inode: _, ...entry }]) => {
    const changed = entry.type === "directory" ? statSync(join(place, path), { bigint: true }).ctimeNs : 0n;
    return [path, ...Object.values(entry), changed].join(" ");
  });
}

interface Round {
  readonly code: number | null;
  readonly said: string;
  readonly swaps: number;
}

async function restoreWhileSwapped(seed: number, place: string, args: readonly string[]): Promise<Round> {
  const [target, staging] = [join(place, "target"), join(place, "staging")];
  mkdirSync(staging);
  const tops = ["spool", "conf", "sieve"].map((top) => join(target, server, top));
  const given = ["--import", "tsx", SWAPPER, String(seed), dir.in("outside"), target, staging, ...tops];
  const swapper = spawn(process.execPath, given, { stdio: ["pipe", "pipe", "inherit"] });
  let swapped = "";
  swapper.stdout.on("data", (bytes: Buffer) => {
    swapped += bytes.toString();
  });
  await once(swapper.stdout, "data");
  const { code, stdout, stderr } = await runCli([...args, "--json"], { env });
  const ended = once(swapper, "close");
  swapper.stdin.end();
  await ended;
  return { code, said: `${stdout}${stderr}`, swaps: Number(swapped.split("\n")[1]) };
}

test(
  "links that come and go while a restore writes lead nothing out of the target",
  async () => {
    const next = randomOf(SEED);
    const tree = readTree(server);
    const before = stateOf(dir.in("outside"));
    const ends = new Map<string, number>();
    let swaps = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const seed = Math.floor(next() * 2 ** 31);
      const about = `round ${round}, seed ${SEED}`;
      const place = dir.in(`round-${round}`);
      mkdirSync(place);
      const target = join(place, "target");
      // Every second one goes over what is there already, some of which it must write anew.
      const isOver = round % 2 === 1;
      if (isOver) execFileSync("cp", ["-a", dir.in("outside"), target]);
      const args = [...restoreArgs(target), ...(isOver ? ["--overwrite", "if-different"] : [])];
      const done = await restoreWhileSwapped(seed, place, args);
      expect(stateOf(dir.in("outside")), `${about}: ${done.said}`).toEqual(before);
      const end = done.code === 0 ? "done" : (/"code": ?"([A-Z_]+)"/.exec(done.said)?.[1] ?? done.said);
      ends.set(end, (ends.get(end) ?? 0) + 1);
      swaps += done.swaps;
      if (end === "done" && !isOver) {
        const differences = compareTrees(tree, readTree(join(target, server)), comparable);
        expect(
          differences.filter((line) => !line.includes(": mtime is")),
          about,
        ).toEqual([]);
      }
      rmSync(place, { recursive: true });
    }
    const counted = [...ends].map(([end, times]) => `${times} ${end}`).join(", ");
    process.stdout.write(`restores while ${swaps} links came and went: ${counted} (seed ${SEED})\n`);
    expect([...ends.keys()].filter((end) => !["done", "TARGET_REFUSED", "IO"].includes(end))).toEqual([]);
    expect(swaps).toBeGreaterThan(ROUNDS * 20);
  },
  TIMEOUT_MS,
);
