/**
 * A repository on a real filesystem that fills up, gets room again, and may not be written to any more: the real command line
 * in a mount namespace of its own. Every single call that may fail: disk-faults.test.ts.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { generateServer } from "../../src/sample/generate.ts";
import { CLI } from "../support/cli.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { compareTrees, readTree } from "../support/tree-compare.ts";
import { comparable, isRoot } from "../unit/restore/restore-fixture.ts";

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
  for (const [seed, name] of ["one", "two"].entries())
    generateServer(dir.in(name), { seed, users: 2, foldersPerUser: 3, messages: 250, documentScale: 0.05 });
  for (const name of ["repository", "first", "second"]) mkdirSync(dir.in(name));
});
afterEach(() => dir.remove());

/**
 * `$R` is the repository, `tell NAME COMMAND…` says `NAME EXIT-CODE ERROR-CODE`.
 * @param script - bash; what it prints is returned.
 */
function onSmallDisk(script: string): string[] {
  const cli = `"$NODE" "$CLI" --repo "$R" --json`;
  const setUp = `
    mount -t tmpfs -o size=1G tmpfs "$R"
    tell() { local name=$1; shift; local said; said=$(${cli} "$@" 2>&1); local code=$?
      echo "$name $code $(grep -o '"code":"[A-Z_]*"' <<<"$said" | head -1 | cut -d'"' -f4)"; }
    room() { mount -o remount,size="$1" "$R"; }
    used() { du -sk "$R" | cut -f1; }
    backup() { tell "$1" backup --config "$2/etc/imapd.conf" --server "$(basename "$2")" --checkpoint-bytes 100000; }
    restore() { tell "restore $1" restore "$2" --target "$1"; }`;
  const env = {
    ...process.env,
    CYRVAULT_CACHE_DIR: "",
    NODE: process.execPath,
    CLI,
    R: dir.in("repository"),
    ONE: dir.in("one"),
    TWO: dir.in("two"),
    FIRST: dir.in("first"),
    SECOND: dir.in("second"),
  };
  const namespaces = isRoot ? ["--mount"] : ["--user", "--map-root-user", "--mount"];
  const output = execFileSync("unshare", [...namespaces, "bash", "-c", `${setUp}\n${script}`], { env });
  return output
    .toString()
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

const differences = (server: string, restored: string) =>
  compareTrees(readTree(server), readTree(join(restored, server)), comparable);

test("a disk that fills up at any time of a backup costs nothing but that backup, and with more room the next one is made", () => {
  const said = onSmallDisk(`
    tell init init --no-encryption
    backup first "$ONE"
    whole=$(used)
    for tenths in 0 1 2; do
      room "$(( $(used) + 8 + whole * tenths / 10 ))k"
      backup full "$TWO"
      tell check check --read-data
    done
    room 1G
    backup again "$TWO"
    tell check check --read-data
    restore "$FIRST" "$(ls "$R/backups" | head -1)"
    restore "$SECOND" "$(ls "$R/backups" | tail -1)"
    ls "$R/backups" | wc -l
    find "$R/tmp" "$R/runs" "$R/checkpoints" -type f | wc -l`);
  const full = said.filter((line) => line.startsWith("full"));
  expect(full).toEqual(["full 1 NO_SPACE", "full 1 NO_SPACE", "full 1 NO_SPACE"]);
  expect(said.filter((line) => !line.startsWith("full"))).toEqual([
    "init 0",
    "first 0",
    ...["check 0", "check 0", "check 0"],
    "again 0",
    "check 0",
    `restore ${dir.in("first")} 0`,
    `restore ${dir.in("second")} 0`,
    "2",
    "0",
  ]);
  expect(differences(dir.in("one"), dir.in("first"))).toEqual([]);
  expect(differences(dir.in("two"), dir.in("second"))).toEqual([]);
});

test("a disk that may only be read is an error for who writes, and none for who reads", () => {
  const said = onSmallDisk(`
    tell init init --no-encryption
    backup first "$ONE"
    mount -o remount,ro "$R"
    backup refused "$TWO"
    tell forget forget "$(ls "$R/backups")"
    tell prune prune --grace 0
    tell list list
    tell check check --read-data
    restore "$FIRST" "$(ls "$R/backups" | head -1)"
    mount -o remount,rw "$R"
    backup again "$TWO"
    tell check check --read-data`);
  expect(said).toEqual([
    "init 0",
    "first 0",
    "refused 1 IO",
    "forget 1 IO",
    "prune 1 IO",
    "list 0",
    "check 0",
    `restore ${dir.in("first")} 0`,
    "again 0",
    "check 0",
  ]);
  expect(differences(dir.in("one"), dir.in("first"))).toEqual([]);
});
