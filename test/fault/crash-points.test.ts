/**
 * The power goes after every single change that a command makes to the disk. `CYRVAULT_HEAVY=1`: more ways to lose what
 * was not synced.
 */
import { afterAll, describe, expect, test } from "vitest";
import type { FileSystem, OpenFile } from "../../src/base/file-system.ts";
import { CRASH_COMMANDS } from "../support/crash-commands.ts";
import { type CrashCommand, type CrashCount, crashEverywhere } from "../support/crash-points.ts";
import { CrashSite } from "../support/crash-site.ts";
import { UPKEEP_COMMANDS } from "../support/crash-upkeep-commands.ts";

const SEEDS = process.env["CYRVAULT_HEAVY"] === "1" ? 60 : 8;
/** A busy machine takes its time. */
const TIMEOUT_MS = 1_800_000;
const counts: CrashCount[] = [];

describe.each([
  ["not encrypted", undefined],
  ["encrypted", "correct horse"],
])("%s: power cuts at every change of", (kind, password) => {
  const commands = [...CRASH_COMMANDS, ...UPKEEP_COMMANDS].filter(
    ({ isEncryptedOnly = false }) => !isEncryptedOnly || password !== undefined,
  );
  test.each(commands)(
    "$name",
    async (command) => {
      using site = new CrashSite({ password });
      await command.prepare(site);
      if (command.mends === undefined) expect(await site.restoreDifferences(site.disk)).toEqual([]);
      const count = await crashEverywhere(site, command, SEEDS);
      counts.push(count);
      process.stdout.write(
        `${kind}, ${command.name}: ${count.points} crash points, ${count.cuts} power cuts, ${count.states} different disks\n`,
      );
      expect(count.points).toBeGreaterThan(4);
    },
    TIMEOUT_MS,
  );
});

describe("a program that forgets to sync is found out:", () => {
  test.each(["files", "directories"] as const)("%s", async (what) => {
    using site = new CrashSite();
    const command = CRASH_COMMANDS.find(({ name }) => name === "second backup") as CrashCommand;
    await command.prepare(site);
    const forgetful = {
      ...command,
      run: (on: CrashSite, disk: FileSystem) => command.run(on, unsynced(disk, what)),
    };
    await expect(crashEverywhere(site, forgetful, SEEDS)).rejects.toThrow(/second backup, cut at \d+ of \d+/);
  });
});

/** The same disk, for a program that syncs no files, or no directories. */
function unsynced(disk: FileSystem, what: "files" | "directories"): FileSystem {
  const forget = async (file: OpenFile): Promise<OpenFile> => {
    const isDirectory = (await file.stat()).isDirectory();
    return isDirectory === (what === "directories") ? { ...file, sync: async () => undefined } : file;
  };
  return {
    create: async (path, mode) => forget(await disk.create(path, mode)),
    open: async (path) => forget(await disk.open(path)),
    link: (from, to) => disk.link(from, to),
    rename: (from, to) => disk.rename(from, to),
    renameNoReplace: (from, to) => disk.renameNoReplace(from, to),
    unlink: (path) => disk.unlink(path),
    mkdir: (path, mode) => disk.mkdir(path, mode),
    stat: (path) => disk.stat(path),
    lstat: (path) => disk.lstat(path),
    identify: (path) => disk.identify(path),
    entries: (path) => disk.entries(path),
  };
}

afterAll(() => {
  const sum = (what: keyof CrashCount) => counts.reduce((total, count) => total + count[what], 0);
  process.stdout.write(
    `in all: ${sum("points")} crash points, ${sum("cuts")} power cuts, ${sum("states")} different disks examined\n`,
  );
});
