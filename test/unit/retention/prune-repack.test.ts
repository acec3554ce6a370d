import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseRepack, type PackUse } from "../../../src/retention/prune/choose-repack.ts";
import { writeHold } from "../../../src/retention/prune/holds.ts";
import { readGcState } from "../../../src/store/gc-record.ts";
import type { PackSlot } from "../../../src/store/lookup-packs.ts";
import { openPack, scanPack } from "../../../src/store/pack-reader.ts";
import { asPackId } from "../../../src/store/pack-types.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { names } from "../store/repository-fixture.ts";
import { GRACE, HOUR, newSite, type Site } from "./prune-fixture.ts";

const NOW = { graceMs: 0, maxUnused: 0 };
const letters = [..."abcdefghijklmnop"];

/** Packs of which a half is of no use: each mail of `kept` was stored with others that have gone. */
async function halfDead(site: Site, pairs: number): Promise<string> {
  const gone: string[] = [];
  for (let i = 0; i < pairs; i++) gone.push(await site.backUp([`${letters[i]} kept`, `${letters[i]} gone`]));
  const last = await site.backUp(letters.slice(0, pairs).map((letter) => `${letter} kept`));
  for (const id of gone) await site.forget(id);
  return last;
}

const dataPacks = async (site: Site): Promise<string[]> => {
  const repository = await site.open();
  const found: string[] = [];
  for (const name of await names(site.backend, "packs/")) {
    const opened = await openPack(
      site.backend,
      asPackId(Buffer.from(name.slice(-64), "hex")),
      repository.seal,
    );
    if (opened?.packKind === "data") found.push(name);
  }
  return found;
};

async function damageBlock(site: Site, name: string): Promise<void> {
  const repository = await site.open();
  const opened = await openPack(site.backend, asPackId(Buffer.from(name.slice(-64), "hex")), repository.seal);
  const bytes = Buffer.from((await site.backend.read(name, 1e9)) as Buffer);
  const at = (opened?.directory.blocksStart ?? 0) + 100;
  bytes[at] = (bytes[at] as number) ^ 1;
  await site.backend.replace(name, bytes);
}

describe("repacking", () => {
  test("what is needed of mostly dead packs moves, verified, to fewer ones; the rest goes", async () => {
    const site = await newSite();
    const kept = await halfDead(site, 4);
    const before = await (await site.open()).readBackup(kept);
    expect((await dataPacks(site)).length).toBe(4);
    const done = await site.prune(NOW);
    expect(done.repacked.length).toBe(4);
    expect(await dataPacks(site)).toHaveLength(1);
    expect(await site.check()).toEqual([]);
    expect(await (await site.open()).readBackup(kept)).toEqual(before);
  });

  test("stays away while no more than the given share is of no use", async () => {
    const site = await newSite();
    await halfDead(site, 4);
    expect((await site.plan({ maxUnused: 0.9 })).repack.packs).toEqual([]);
    const { packs } = (await site.plan({ graceMs: 0, maxUnused: 0.3 })).repack;
    expect(packs.length).toBeGreaterThan(0);
    expect(packs.length).toBeLessThan(4);
  });

  test("goes in batches that are marked one by one; broken off anywhere, the next one finishes it and nothing is lost", async () => {
    const model = await newSite();
    await halfDead(model, 2);
    const counting = faultyBackend(model.backend, { failAt: () => false });
    await model.prune({ ...NOW, batchBytes: 1, over: counting });
    const writes = counting.calls.filter((call) =>
      /^(create|commit|remove|replace|append)/.test(call),
    ).length;
    expect(writes).toBeGreaterThan(20);
    let points = 0;
    for (let stop = 1; stop <= writes; stop++) {
      const when = stop % 2 === 0 ? "before" : "after";
      const site = await newSite();
      const kept = await halfDead(site, 2);
      let written = 0;
      const failing = faultyBackend(site.backend, {
        when,
        failAt: (_, operation) =>
          /^(create|commit|remove|replace|append)$/.test(operation) ? ++written >= stop : written >= stop,
      });
      // The very last thing is to take the run's file away, which a later prune does as well.
      const ended = await site
        .prune({ ...NOW, batchBytes: 1, over: failing })
        .catch((error: unknown) => error);
      if (ended instanceof Error) expect(ended).toMatchObject({ code: "IO" });
      else expect(stop).toBe(writes);
      points++;
      expect(await site.check()).toEqual([]);
      expect(await (await site.open()).readBackup(kept)).toBeDefined();
      site.clock.advance(2 * HOUR);
      await site.prune(NOW);
      expect(await site.check()).toEqual([]);
      const nothing = { forgotten: [], marked: [], unmarked: [], swept: [], repacked: [], waiting: [] };
      expect(await site.prune(NOW)).toMatchObject(nothing);
      expect(await names(site.backend, "runs/")).toEqual([]);
    }
    console.log(`prune with repacking, broken off at ${points} points`);
  });

  test("no more is written in one prune than was allowed; the next one goes on", async () => {
    const site = await newSite();
    await halfDead(site, 4);
    const first = await site.prune({ ...NOW, repackBytesMax: 2500 });
    expect(first.repacked.length).toBe(2);
    expect(first.plan.repack.left).toBe(2);
    await site.prune({ ...NOW, repackBytesMax: 2500 });
    await site.prune(NOW);
    expect(await site.check()).toEqual([]);
    expect((await site.prune(NOW)).repacked).toEqual([]);
  });

  test("a pack of which something is damaged stays as it is, and is named", async () => {
    const site = await newSite();
    await halfDead(site, 2);
    const [name = ""] = await dataPacks(site);
    await damageBlock(site, name);
    const done = await site.prune(NOW);
    expect(done.damaged.map(({ pack, error }) => [pack, error.code])).toEqual([
      [name.slice(-64), "REPOSITORY_DAMAGED"],
    ]);
    expect(done.repacked.length).toBeGreaterThan(0);
    expect(await site.backend.size(name)).toBeDefined();
    expect((await readGcState(site.backend, (await site.open()).sealer)).marks.has(name.slice(-64))).toBe(
      false,
    );
  });

  test("pages of mailboxes and of messages stay apart, as the backup put them", async () => {
    const site = await newSite();
    await halfDead(site, 2);
    await site.prune(NOW);
    const repository = await site.open();
    for (const name of await names(site.backend, "packs/")) {
      const opened = await openPack(
        site.backend,
        asPackId(Buffer.from(name.slice(-64), "hex")),
        repository.seal,
      );
      if (opened === undefined || opened.packKind === "data") continue;
      for await (const scanned of scanPack(site.backend, opened)) {
        if (!("raw" in scanned)) throw scanned.error;
        const { directory } = opened;
        const kinds = new Set<number>();
        const end = directory.firstOrdinal(scanned.block + 1);
        for (let ordinal = directory.firstOrdinal(scanned.block); ordinal < end; ordinal++)
          kinds.add((scanned.raw[directory.place(ordinal).headOffset] as number) & 0x7f);
        expect(kinds.has(1) && kinds.has(2)).toBe(false);
      }
    }
  });
});

describe("two copies of something", () => {
  /** The same mails stored twice, as two backups do that don't see each other. */
  async function twice(): Promise<Site> {
    const site = await newSite();
    await site.backUp(["a", "b"]);
    const files = new Map<string, Buffer>();
    for (const name of await names(site.backend, ""))
      if (/^(packs|segments)\//.test(name)) {
        files.set(name, (await site.backend.read(name, 1e9)) as Buffer);
        await site.backend.remove(name);
      }
    await site.backUp(["a", "b"]);
    for (const [name, bytes] of files) await site.backend.create(name, bytes);
    return site;
  }

  test("the packs of one of them go, the same whoever decides; a check is clean before and after", async () => {
    const site = await twice();
    expect(await site.check()).toEqual([]);
    const planned = async () => (await site.plan(NOW)).mark.map(({ pack }) => pack.hex);
    const mark = await planned();
    expect(mark.length).toBe(2);
    expect(await planned()).toEqual(mark);
    const done = await site.prune(NOW);
    expect(done.swept.map(({ pack }) => pack.hex)).toEqual(mark);
    expect(await site.check()).toEqual([]);
    expect((await site.prune(NOW)).marked).toEqual([]);
  });

  test("the other one stays if what would be kept cannot be read", async () => {
    const site = await twice();
    const [goes] = (await site.plan(NOW)).mark.filter(({ pack }) => pack.packKind === "data");
    const keeper = (await dataPacks(site)).find((name) => !name.endsWith(goes?.pack.hex ?? "?"));
    await damageBlock(site, keeper as string);
    const done = await site.prune(NOW);
    expect(done.damaged.map(({ pack }) => pack)).toEqual([goes?.pack.hex]);
    const repository = await site.open();
    for (const { id } of await repository.listBackups())
      expect(await repository.readBackup(id)).toBeDefined();
    expect((await site.check()).every((line) => line.includes("packs/"))).toBe(true);
    // Rotten since it was marked: it is not swept either.
    const later = await twice();
    await later.prune({ maxUnused: 0 });
    const [name = ""] = (await dataPacks(later)).filter(
      (other) => !done.marked.some(({ pack }) => other.endsWith(pack.hex)),
    );
    const marks = (await readGcState(later.backend, (await later.open()).sealer)).marks;
    const kept = (await dataPacks(later)).find((other) => !marks.has(other.slice(-64))) ?? name;
    await damageBlock(later, kept);
    later.clock.advance(GRACE);
    const swept = await later.prune({ maxUnused: 0 });
    expect(swept.damaged.length).toBe(1);
    expect(swept.swept.every(({ pack }) => pack.packKind === "meta")).toBe(true);
  });
});

describe("what cannot be read", () => {
  test("a page, a message or a pack that a backup needs: nothing is marked or swept, and it is said which", async () => {
    for (const what of ["page", "object"] as const) {
      const site = await newSite();
      const gone = await site.backUp(["x"]);
      await site.backUp(["a"]);
      await site.forget(gone);
      const meta = (await names(site.backend, "packs/")).filter((name) => name !== "");
      const needed = (await site.plan({ graceMs: 0 })).mark.map(({ pack }) => pack.hex);
      const packs = meta.filter((name) => !needed.includes(name.slice(-64)));
      const data = await dataPacks(site);
      const name = packs.find((one) => data.includes(one) === (what === "object")) as string;
      if (what === "page") await damageBlock(site, name);
      else await site.backend.remove(name);
      const before = await names(site.backend, "");
      await expect(site.prune({ graceMs: 0 })).rejects.toMatchObject({
        message: expect.stringContaining("nothing is pruned: backups/"),
        hint: expect.stringContaining("cyrvault repair"),
      });
      expect(await names(site.backend, "")).toEqual(before);
    }
  });

  test("a pack whose directory is damaged is never marked", async () => {
    const site = await newSite();
    const gone = await site.backUp(["x"]);
    await site.backUp(["a"]);
    await site.forget(gone);
    const [first] = (await site.plan({ graceMs: 0 })).mark;
    const name = (await names(site.backend, "packs/")).find((one) =>
      one.endsWith(first?.pack.hex ?? "?"),
    ) as string;
    const bytes = Buffer.from((await site.backend.read(name, 1e9)) as Buffer);
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    await site.backend.replace(name, bytes);
    for (const segment of await names(site.backend, "segments/")) await site.backend.remove(segment);
    const done = await site.prune({ graceMs: 0 });
    expect(done.plan.unreadable).toEqual([first?.pack.hex]);
    expect(done.marked.map(({ pack }) => pack.hex)).not.toContain(first?.pack.hex);
    expect(await site.backend.size(name)).toBeDefined();
  });
});

describe("a hold", () => {
  test("stops a prune at its next step, lasts while the clock stands before it, and is tidied away when it is over", async () => {
    const site = await newSite();
    const gone = await site.backUp(["x"]);
    await site.backUp(["a"]);
    await site.forget(gone);
    const holdNow = async () =>
      await writeHold(await site.open(), { nowMs: site.clock.nowMs(), forMs: HOUR, reason: "tape" });
    let isHeld = false;
    const over = faultyBackend(site.backend, {
      failAt: (_, operation, name) => {
        if (operation === "remove" && name.startsWith("forgotten/") && !isHeld) {
          isHeld = true;
          void holdNow();
        }
        return false;
      },
    });
    const packs = await names(site.backend, "packs/");
    await expect(site.prune({ graceMs: 0, over })).rejects.toMatchObject({ code: "LOCKED", message: /tape/ });
    expect(await names(site.backend, "packs/")).toEqual(packs);
    expect(await names(site.backend, "gc/")).toEqual([]);
    await expect(site.prune({ graceMs: 0 })).rejects.toMatchObject({ code: "LOCKED" });
    site.clock.jumpTo(site.clock.nowMs() - 30 * HOUR);
    await expect(site.prune({ graceMs: 0 })).rejects.toMatchObject({ code: "LOCKED" });
    site.clock.jumpTo(site.clock.nowMs() + 31 * HOUR);
    expect((await site.prune({ graceMs: 0 })).swept.length).toBe(2);
    expect(await names(site.backend, "holds/")).toEqual([]);
  });
});

describe("chooseRepack()", () => {
  const use = fc
    .tuple(fc.integer({ min: 1, max: 1e6 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.nat())
    .map(([bytes, share, slot]) => ({
      pack: { slot, hex: String(slot) } as PackSlot,
      bytes,
      unusedBytes: bytes * share,
    }));

  test("what remains is within bounds, and no pack goes that is more alive than one that stays", () => {
    fc.assert(
      fc.property(
        fc.array(use, { maxLength: 30 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (uses, maxUnused) => {
          const { packs, left } = chooseRepack(uses, { maxUnused, repackBytesMax: Number.POSITIVE_INFINITY });
          expect(left).toBe(0);
          const goes = new Set<PackUse>(packs);
          const stays = uses.filter((one) => !goes.has(one));
          const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
          const unused = sum(stays.map((one) => one.unusedBytes));
          const rest =
            sum(stays.map(({ bytes }) => bytes)) + sum(packs.map((one) => one.bytes - one.unusedBytes));
          expect(unused).toBeLessThanOrEqual(rest * maxUnused + 1e-3);
          const share = (one: PackUse) => one.unusedBytes / one.bytes;
          expect(Math.max(0, ...stays.map(share))).toBeLessThanOrEqual(
            Math.min(1, ...packs.map(share)) + 1e-9,
          );
        },
      ),
    );
  });
});
