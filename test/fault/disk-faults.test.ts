/**
 * Every call that a command makes to the disk fails once; of an encrypted repository a few commands are enough for each
 * commit. `CYRVAULT_HEAVY=1`: all commands, and everything is looked at after each fault.
 */
import { afterAll, describe, expect, test } from "vitest";
import { CRASH_COMMANDS } from "../support/crash-commands.ts";
import { CrashSite } from "../support/crash-site.ts";
import { UPKEEP_COMMANDS } from "../support/crash-upkeep-commands.ts";
import { type FaultCount, failEachChange, failEachRead, failReaders } from "../support/disk-faults.ts";

const HEAVY = process.env["CYRVAULT_HEAVY"] === "1";
/** A busy machine takes its time. */
const TIMEOUT_MS = 1_800_000;
const counts: FaultCount[] = [];

const KINDS = [
  ["not encrypted", undefined],
  ["encrypted", "correct horse"],
] as const;
/** Of those that an encrypted repository does otherwise, the shortest: a seal, a key, a machine that may only write. */
const SHORT_ROUND: ReadonlySet<string> = new Set(["init", "second backup", "key remove", "prune --hold-off"]);

describe.each(KINDS)("%s:", (kind, password) => {
  const meet = async (
    name: string,
    what: string,
    work: (site: CrashSite) => Promise<FaultCount>,
    doesWithout = false,
  ): Promise<void> => {
    using site = new CrashSite({ password });
    const count = await work(site);
    counts.push(count);
    process.stdout.write(
      `${kind}, ${name}: ${count.calls} ${what}, ${count.faults} faults, of which ${count.failed} ended the command\n`,
    );
    if (doesWithout) expect(count.failed).toBe(0);
    else expect(count.failed).toBeGreaterThan(count.faults / 4);
  };

  const commands = [...CRASH_COMMANDS, ...UPKEEP_COMMANDS].filter(({ name, isEncryptedOnly = false }) => {
    if (HEAVY) return !isEncryptedOnly || password !== undefined;
    return password === undefined
      ? CRASH_COMMANDS.some((one) => one.name === name && !isEncryptedOnly)
      : SHORT_ROUND.has(name);
  });

  test.each(commands)(
    "$name, whatever it changes fails",
    async (command) => {
      const work = async (site: CrashSite) => {
        await command.prepare(site);
        return await failEachChange(site, command, { thorough: HEAVY });
      };
      await meet(command.name, "changes", work, command.onlyNotes);
    },
    TIMEOUT_MS,
  );

  test.each(commands)(
    "$name, whatever it reads fails",
    async (command) => {
      await meet(command.name, "reads", async (site) => {
        await command.prepare(site);
        return await failEachRead(site, command, { thorough: HEAVY });
      });
    },
    TIMEOUT_MS,
  );

  test("backups, whatever is read of them fails", async () => {
    await meet("reading backups", "files and reads", async (site) => {
      await site.init(site.disk);
      await site.completeBackup();
      site.deliver("user.anna", 4);
      await site.completeBackup();
      return await failReaders(site);
    });
  });

  test("check says so where a file cannot be read", async () => {
    using site = new CrashSite({ password });
    await site.init(site.disk);
    await site.completeBackup();
    site.deliver("user.anna", 4);
    await site.completeBackup();
    for (const path of site.disk.files().keys()) {
      if (path.includes("/tmp/")) continue;
      const disk = site.disk.copy();
      disk.fault = (call) => (call.kind === "read" && call.path === path ? "EIO" : undefined);
      const said = await site.check(disk).catch((error: unknown) => [error]);
      expect(said, path).not.toEqual([]);
    }
  });
});

afterAll(() => {
  const sum = (what: keyof FaultCount) => counts.reduce((total, count) => total + count[what], 0);
  process.stdout.write(`in all: ${sum("faults")} faults, of which ${sum("failed")} ended the command\n`);
});
