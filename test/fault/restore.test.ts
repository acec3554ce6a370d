import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree, type Tree } from "../support/tree-compare.ts";
import { backUp, comparable, isRoot, makeServer } from "../unit/restore/restore-fixture.ts";

const CHILD = new URL("./restore-child.ts", import.meta.url).pathname;
const KILLS = 8;
const KILL_WITHIN_MS = 500;
const SEED = Number(process.env["CYRVAULT_SEED"] ?? 20_260_801);

let dir: TempDir;
let server: string;
let backup: string;
let tree: Tree;

beforeAll(async () => {
  dir = tempDir();
  server = dir.in("server");
  makeServer(server, { messages: 600, users: 3 });
  tree = readTree(server);
  const stored = await backUp(server);
  backup = stored.backup.backup;
  for (const [name, bytes] of stored.files) {
    mkdirSync(dirname(dir.in("repository", name)), { recursive: true });
    writeFileSync(dir.in("repository", name), bytes);
  }
});

afterAll(() => dir.remove());

/** @param killAfterMs - counted from where it begins to write; undefined: not at all. */
async function restore(target: string, killAfterMs?: number, overwrite?: string): Promise<string> {
  const given = [dir.in("repository"), backup, target, ...(overwrite === undefined ? [] : [overwrite])];
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, ...given], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: string[] = [];
  let killing: Promise<void> | undefined;
  child.stdout.on("data", (bytes: Buffer) => {
    said.push(...bytes.toString().split("\n").filter(Boolean));
    if (killAfterMs === undefined || killing !== undefined) return;
    killing = delay(killAfterMs).then(() => void child.kill("SIGKILL"));
  });
  await new Promise((resolve) => child.once("close", resolve));
  await killing;
  return said.at(-1) ?? "";
}

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const restored = (target: string) => readTree(join(target, server));

test("a restore killed again and again, and begun again each time, ends as if nothing had been", async () => {
  const target = dir.in("killed");
  const next = random(SEED);
  let killed = 0;
  for (let i = 0; i < KILLS; i++) {
    const said = await restore(target, Math.floor(next() * KILL_WITHIN_MS));
    if (said === "restoring") killed++;
    else if (said === "done") rmSync(target, { recursive: true });
    else expect.unreachable(`seed ${SEED}: ${said}`);
  }
  process.stdout.write(`restore: ${killed} of ${KILLS} kills came before its end (seed ${SEED})\n`);
  expect(killed).toBeGreaterThan(0);
  expect(await restore(target)).toBe("done");
  expect(compareTrees(tree, restored(target), comparable)).toEqual([]);
  expect(existsSync(join(target, ".cyrvault-restore"))).toBe(false);
});

test("killed while it writes only what is missing, it leaves no part of a file under the file's name", async () => {
  const target = dir.in("killed-never");
  const next = random(SEED + 1);
  for (let i = 0; i < 3; i++) {
    await restore(target, Math.floor(next() * KILL_WITHIN_MS), "never");
    for (const [path, { type, sha256 }] of existsSync(join(target, server)) ? restored(target) : []) {
      if (type === "file" && !path.endsWith("/.cyrvault-part"))
        expect({ path, sha256 }).toEqual({ path, sha256: tree.get(path)?.sha256 });
    }
  }
  expect(await restore(target, undefined, "never")).toBe("done");
  const left = compareTrees(tree, restored(target), comparable).filter((line) => !/: mtime is/.test(line));
  expect(left).toEqual([]);
});

/** Runs in a mount namespace of its own, where `target` is a filesystem of `bytes`; commands follow one another. */
function onFilesystem(target: string, bytes: number, script: string): string[] {
  mkdirSync(target, { recursive: true });
  const restoring = `"$NODE" --import tsx "$CHILD" "$REPOSITORY" "$BACKUP" "$TARGET"`;
  const setUp = `set -e; mount -t tmpfs -o size=${bytes} tmpfs "$TARGET"; restore() { ${restoring} "$@"; };`;
  const env = {
    ...process.env,
    NODE: process.execPath,
    CHILD,
    REPOSITORY: dir.in("repository"),
    BACKUP: backup,
    TARGET: target,
    SERVER: server,
  };
  const namespaces = isRoot ? ["--mount"] : ["--user", "--map-root-user", "--mount"];
  const output = execFileSync("unshare", [...namespaces, "bash", "-c", `${setUp} ${script}`], { env });
  return output.toString().split("\n").filter(Boolean);
}

test("a filesystem that is too small is refused before anything is written", () => {
  const said = onFilesystem(dir.in("small"), 1_048_576, `restore; ls -A "$TARGET"`);
  expect(said).toEqual(["restoring", "NO_SPACE"]);
});

test("a filesystem that fills up while it is written says so, and with more room the restore goes on", () => {
  const script = `
    mkdir -p "$TARGET$SERVER/spool"; echo mine > "$TARGET$SERVER/spool/mine"
    restore if-different
    ls -A "$TARGET" | grep -c cyrvault-restore
    mount -o remount,size=1G "$TARGET"
    restore
    diff -r "$SERVER/spool" "$TARGET$SERVER/spool" || true
    diff -r "$SERVER/sieve" "$TARGET$SERVER/sieve" || true
    ls -A "$TARGET" | grep -c cyrvault-restore || true`;
  const said = onFilesystem(dir.in("filling"), 1_048_576, script);
  expect(said).toEqual([
    "restoring",
    "NO_SPACE",
    "1",
    "restoring",
    "done",
    expect.stringMatching(/^Only in .*spool: mine$/),
    "0",
  ]);
});

test("a filesystem that may only be read is an error, and nothing else happens", () => {
  const said = onFilesystem(dir.in("readonly"), 1_048_576_000, `mount -o remount,ro "$TARGET"; restore`);
  expect(said).toEqual(["restoring", "IO"]);
});
