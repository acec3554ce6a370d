import { describe, expect, test } from "vitest";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { readOnly } from "../../../src/backend/read-only.ts";
import { SimulatedClock } from "../../../src/base/clock.ts";
import { createLogger, type LogRecord } from "../../../src/base/log.ts";
import { Progress } from "../../../src/base/progress.ts";
import { partOf } from "../../../src/check/choose-packs.ts";
import { type CheckOptions, type CheckResult, runCheck } from "../../../src/check/run.ts";
import { VERIFIED_PREFIX, VerifiedTimes } from "../../../src/check/verified-times.ts";
import { asPackId, parsePackName } from "../../../src/store/pack-types.ts";
import { storeBackup } from "../inspect/tiny-backup.ts";
import { assemble, names, newPlain, openPlain } from "../store/repository-fixture.ts";

const DAY_MS = 86_400_000;

class Vault {
  readonly backend = new MemoryBackend();
  readonly clock = new SimulatedClock({ startMs: 1_800_000_000_000 });
  readonly warnings: LogRecord[] = [];

  static async make(backups = 3): Promise<Vault> {
    const vault = new Vault();
    const repository = await newPlain(vault.backend);
    for (let i = 0; i < backups; i++)
      await storeBackup(repository, {
        timeMs: 1_760_000_000_000 + i * 1000,
        mailboxes: [{ name: "user.anna", messages: { [i + 1]: `message ${i}` } }],
      });
    await repository.close();
    return vault;
  }

  async check(options: Partial<CheckOptions> = {}, backend = this.backend): Promise<CheckResult> {
    const repository = await openPlain(backend);
    const log = createLogger((record) => this.warnings.push(record), "warning");
    const context = { repository, assemble, clock: this.clock, progress: new Progress(), log };
    return await runCheck({ readDataPercent: 100, ...options }, context);
  }

  async remembered(): Promise<string[]> {
    return await names(this.backend, VERIFIED_PREFIX);
  }
}

describe("when packs were verified", () => {
  test("is remembered: what is not old enough is not read again", async () => {
    const vault = await Vault.make();
    const { packs, packsRead } = await vault.check();
    expect(packsRead).toBe(packs);
    expect(await vault.remembered()).toHaveLength(1);
    vault.clock.advance(10 * DAY_MS);
    expect((await vault.check({ olderThanMs: 30 * DAY_MS })).packsRead).toBe(0);
    vault.clock.advance(21 * DAY_MS);
    expect((await vault.check({ olderThanMs: 30 * DAY_MS })).packsRead).toBe(packs);
    expect(await vault.remembered()).toHaveLength(1);
  });

  test("decides which come first when there is little time, so that a few nights reach all", async () => {
    const vault = await Vault.make();
    const { packs } = await vault.check({ readDataPercent: 0 });
    expect(packs).toBeGreaterThan(3);
    const clock = vault.clock;
    for (let night = 0; night < packs; night++) {
      clock.advance(DAY_MS);
      const { packsRead, notReached } = await vault.check({ readDataPercent: 100 / packs });
      expect(packsRead).toBe(1);
      expect(notReached).toEqual({ packs: 0, bytes: 0 });
    }
    expect((await vault.check({ olderThanMs: packs * DAY_MS })).packsRead).toBe(0);
  });

  test("is not said of a pack that has an error", async () => {
    const vault = await Vault.make();
    const [name = ""] = await names(vault.backend, "packs/");
    const bytes = (await vault.backend.read(name, 1 << 30)) as Buffer;
    const changed = Buffer.from(bytes);
    changed[100] = (changed[100] as number) ^ 1;
    await vault.backend.replace(name, changed);
    const { errorsTotal, packsRead } = await vault.check();
    expect(errorsTotal).toBeGreaterThan(0);
    await vault.backend.replace(name, bytes);
    const again = await vault.check({ olderThanMs: DAY_MS });
    expect(again.errors).toEqual([]);
    expect(again.packsRead).toBeLessThan(packsRead);
    expect(again.packsRead).toBeGreaterThan(0);
  });

  test("is merged from several files, and those of packs that are gone are dropped", async () => {
    const vault = await Vault.make();
    await vault.check({ readDataPart: { part: 1, of: 1 } });
    const [first = ""] = await vault.remembered();
    const kept = (await vault.backend.read(first, 1 << 20)) as Buffer;
    vault.clock.advance(DAY_MS);
    await vault.check();
    // Another check that began before and ended later.
    await vault.backend.create(first, kept);
    expect(await vault.remembered()).toHaveLength(2);
    vault.clock.advance(DAY_MS);
    expect((await vault.check({ olderThanMs: 1.5 * DAY_MS })).packsRead).toBe(0);
    const repository = await openPlain(vault.backend);
    const gone = asPackId(Buffer.alloc(32, 7));
    const times = await VerifiedTimes.load(repository, () => undefined);
    times.note(gone, vault.clock.nowMs());
    expect(await times.save(vault.clock.nowMs(), () => true)).toBe(true);
    expect(await vault.remembered()).toHaveLength(1);
    vault.clock.advance(1000);
    await vault.check();
    const after = await VerifiedTimes.load(repository, () => undefined);
    expect(after.timeOf(gone, vault.clock.nowMs())).toBeUndefined();
  });

  test("counts as never where the record is damaged or of the future, and check says so", async () => {
    const vault = await Vault.make();
    const { packs } = await vault.check();
    const [name = ""] = await vault.remembered();
    const bytes = Buffer.from((await vault.backend.read(name, 1 << 20)) as Buffer);
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
    await vault.backend.replace(name, bytes);
    vault.clock.advance(1000);
    const result = await vault.check({ olderThanMs: DAY_MS });
    expect(result).toMatchObject({ errors: [], packsRead: packs });
    expect(vault.warnings.map(({ message }) => message).join()).toContain("count as never");
    expect(await vault.remembered()).not.toContain(name);
    vault.clock.jumpTo(vault.clock.nowMs() - 100 * DAY_MS);
    expect((await vault.check({ olderThanMs: DAY_MS })).packsRead).toBe(packs);
  });

  test("is not written where nothing may be written: a warning, no error", async () => {
    const vault = await Vault.make();
    const result = await vault.check({}, readOnly(vault.backend) as MemoryBackend);
    expect(result).toMatchObject({ errors: [] });
    expect(result.packsRead).toBe(result.packs);
    expect(await vault.remembered()).toEqual([]);
    expect(vault.warnings).toHaveLength(1);
    await vault.check({ readDataPercent: 0 });
    expect(await vault.remembered()).toEqual([]);
  });
});

test("when the time is over, what is left is named and nothing is an error", async () => {
  const vault = await Vault.make();
  const { packs } = await vault.check({ readDataPercent: 0 });
  const result = await vault.check({ maxDurationMs: 0 });
  expect(result).toMatchObject({ errors: [], packsRead: 0, notReached: { packs } });
  expect(result.notReached?.bytes).toBeGreaterThan(0);
  expect((await vault.check({ maxDurationMs: DAY_MS })).notReached).toEqual({ packs: 0, bytes: 0 });
});

test("all parts together are all packs, each once", async () => {
  const vault = await Vault.make(6);
  const ids = (await names(vault.backend, "packs/")).map((name) => parsePackName(name));
  for (const of of [1, 2, 7]) {
    let total = 0;
    for (let part = 1; part <= of; part++) {
      const expected = ids.filter((id) => id !== undefined && partOf(id, of) === part).length;
      const { packsRead } = await vault.check({ readDataPercent: 0, readDataPart: { part, of } });
      expect(packsRead).toBe(expected);
      total += packsRead;
    }
    expect(total).toBe(ids.length);
  }
});
