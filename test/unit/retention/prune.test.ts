import { describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.ts";
import { forecast } from "../../../src/retention/prune/run.ts";
import { undelete } from "../../../src/retention/undelete.ts";
import { listForgotten } from "../../../src/store/forgotten.ts";
import { createGcRecord, readGcState } from "../../../src/store/gc-record.ts";
import { packName } from "../../../src/store/pack-types.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { content, names, storeData } from "../store/repository-fixture.ts";
import { GRACE, HOUR, newSite, type Site } from "./prune-fixture.ts";

const packsOf = (site: Site) => names(site.backend, "packs/");
const gcOf = async (site: Site) => await readGcState(site.backend, (await site.open()).sealer);

describe("prune", () => {
  test("of a repository where everything is needed does nothing", async () => {
    const site = await newSite();
    await site.backUp(["a", "b"]);
    await site.backUp(["a", "c"]);
    const before = await names(site.backend, "");
    const done = await site.prune({ graceMs: 0, maxUnused: 0 });
    expect(done).toMatchObject({
      marked: [],
      unmarked: [],
      swept: [],
      repacked: [],
      forgotten: [],
      waiting: [],
    });
    expect(await names(site.backend, "")).toEqual(before);
  });

  test("a forgotten backup goes after the grace time, its packs are marked then and swept after another one", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a", "b"]);
    const packs = await packsOf(site);
    const kept = await site.backUp(["c"]);
    await site.forget(gone);
    site.clock.advance(GRACE - 1);
    expect(await site.prune()).toMatchObject({ forgotten: [], marked: [], swept: [] });
    expect(await listForgotten(site.backend)).toEqual([gone]);
    site.clock.advance(1);
    const first = await site.prune();
    expect(first).toMatchObject({ forgotten: [gone], swept: [] });
    expect(first.marked.map(({ pack }) => packName(pack.packId)).sort()).toEqual(packs);
    expect(await packsOf(site)).toEqual(expect.arrayContaining(packs));
    await expect(undelete(await site.open(), gone, "here")).rejects.toMatchObject({
      code: "BACKUP_NOT_FOUND",
    });
    site.clock.advance(GRACE - 1);
    expect(await site.prune()).toMatchObject({ marked: [], swept: [] });
    site.clock.advance(1);
    const last = await site.prune();
    expect(last.swept.map(({ pack }) => packName(pack.packId)).sort()).toEqual(packs);
    for (const name of packs) expect(await site.backend.size(name)).toBeUndefined();
    expect(await site.check()).toEqual([]);
    expect(await (await site.open()).readBackup(kept)).toBeDefined();
    expect(await names(site.backend, "runs/")).toEqual([]);
  });

  test("without grace and without anybody else it is done in one go, as the plan said", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a", "b", "x"]);
    await site.backUp(["b", "c"]);
    await site.forget(gone);
    const planned = forecast(await site.plan({ graceMs: 0, maxUnused: 0 }));
    const figures = (given: object) =>
      JSON.stringify(given, (key, value) => (key === "pack" ? value.hex : value));
    const before = await packsOf(site);
    const { forgotten, marked, unmarked, swept, repacked, waiting, writtenBytes } = await site.prune({
      graceMs: 0,
      maxUnused: 0,
    });
    const byHex = (files: readonly { pack: { hex: string }; bytes: number }[]) =>
      files.map(({ pack, bytes }) => [pack.hex, bytes]).sort();
    expect(byHex(marked)).toEqual(byHex(planned.marked));
    expect(byHex(swept)).toEqual(byHex(planned.swept));
    expect(byHex(repacked)).toEqual(byHex(planned.repacked));
    expect(figures({ forgotten, unmarked, waiting })).toEqual(
      figures({ forgotten: planned.forgotten, unmarked: planned.unmarked, waiting: planned.waiting }),
    );
    expect(repacked.length).toBe(1);
    expect(swept.length).toBe(2);
    expect(writtenBytes).toBeGreaterThan(1000);
    expect((await packsOf(site)).filter((name) => before.includes(name)).length).toBe(before.length - 2);
    expect(await site.check()).toEqual([]);
    expect(await site.prune({ graceMs: 0, maxUnused: 0 })).toMatchObject({
      marked: [],
      repacked: [],
      swept: [],
    });
  });

  test("what came back into use since it was marked is unmarked, and is never swept", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a", "b"]);
    const packs = await packsOf(site);
    await site.backUp(["c"]);
    await site.forget(gone);
    // As a prune that overtook an undelete would leave it.
    const repository = await site.open();
    const marked = packs.map((name) => name.slice(-64));
    await createGcRecord(site.backend, repository.sealer, {
      number: 1,
      kind: "mark",
      atMs: 0,
      packs: marked,
      runs: [],
    });
    await undelete(await site.open(), gone, "here");
    const done = await site.prune();
    expect(done.unmarked.length).toBe(packs.length);
    expect(done.swept).toEqual([]);
    expect((await gcOf(site)).marked.size).toBe(0);
    expect(await site.check()).toEqual([]);
  });

  test("a marked pack counts as absent for a new backup, also while a sweep that broke off has left its file", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a"]);
    const packs = (await packsOf(site)).map((name) => name.slice(-64));
    await site.forget(gone);
    site.clock.advance(GRACE);
    await site.prune();
    const { sealer } = await site.open();
    await createGcRecord(site.backend, sealer, { number: 2, kind: "sweep", atMs: 0, packs, runs: [] });
    const before = (await packsOf(site)).length;
    await site.backUp(["a"]);
    expect((await packsOf(site)).length).toBe(before + 2);
    expect(await site.check()).toEqual([]);
    const done = await site.prune();
    expect(done.swept.map(({ pack }) => pack.hex).sort()).toEqual(packs);
    expect(await site.check()).toEqual([]);
    expect((await packsOf(site)).length).toBe(2);
  });

  test("a swept pack that is needed after all is taken back, not removed", async () => {
    const site = await newSite();
    await site.backUp(["a"]);
    const packs = (await packsOf(site)).map((name) => name.slice(-64));
    const { sealer } = await site.open();
    await createGcRecord(site.backend, sealer, { number: 1, kind: "sweep", atMs: 0, packs, runs: [] });
    expect(await site.prune({ graceMs: 0 })).toMatchObject({
      swept: [],
      unmarked: packs.map((hex) => ({ pack: { hex } })),
    });
    expect(await site.check()).toEqual([]);
    expect((await gcOf(site)).swept.size).toBe(0);
  });
});

describe("records of deletion", () => {
  test("go when their packs have gone and every run has seen them; the newest stays, and numbers go on", async () => {
    const site = await newSite();
    await site.backUp(["kept"]);
    const old = await (await site.open()).startRun({ server: "other", host: "there" });
    let last = await site.backUp(["0"]);
    for (let day = 1; day <= 4; day++) {
      const next = await site.backUp([`${day}`]);
      await site.forget(last);
      await site.prune({ graceMs: 0 });
      last = next;
      if (day === 1) expect((await gcOf(site)).newest).toBe(1);
    }
    // Nothing is swept under a run that began before.
    const before = await names(site.backend, "gc/");
    expect(before.length).toBe(4);
    await old.abort();
    await site.prune({ graceMs: 0 });
    expect(await names(site.backend, "gc/")).toEqual(["gc/00000005"]);
    await site.forget(last);
    await site.prune({ graceMs: 0 });
    expect(await names(site.backend, "gc/")).toEqual(["gc/00000007"]);
    expect((await gcOf(site)).marks.size).toBe(0);
    expect(await site.check()).toEqual([]);
  });
});

describe("prune beside others", () => {
  test("sweeping waits for a run that began before the mark, and for no other", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a"]);
    await site.backUp(["c"]);
    await site.forget(gone);
    site.clock.advance(GRACE);
    const older = await (await site.open()).startRun({ server: "other", host: "there" });
    expect((await storeData(older, [content("a", 1000)])).stored).toBe(1);
    expect((await site.prune()).marked.length).toBe(2);
    const younger = await (await site.open()).startRun({ server: "third", host: "there" });
    for (let hours = 0; hours < GRACE / HOUR; hours++) {
      site.clock.advance(HOUR);
      await older.heartbeat();
      await younger.heartbeat();
    }
    const waited = await site.prune();
    expect(waited.swept).toEqual([]);
    expect(waited.plan.holding.map(({ run }) => run)).toEqual([older.id]);
    await older.abort();
    expect((await site.prune()).swept.length).toBe(2);
    await younger.abort();
  });

  test("a run that is silent for an hour, or dated in the future, is fenced and waited for no longer", async () => {
    for (const jump of [2 * HOUR, -2 * HOUR]) {
      const site = await newSite();
      const gone = await site.backUp(["a"]);
      await site.backUp(["c"]);
      await site.forget(gone);
      site.clock.advance(GRACE);
      const dead = await (await site.open()).startRun({ server: "other", host: "there" });
      await site.prune();
      site.clock.advance(GRACE + 4 * HOUR);
      await dead.heartbeat();
      site.clock.jumpTo(site.clock.nowMs() + jump);
      const done = await site.prune();
      expect(done.fenced.map(({ record }) => record.run)).toEqual([dead.id]);
      expect(done.swept.length).toBe(2);
      expect(await names(site.backend, "runs/")).toEqual([]);
      await expect(dead.requireStanding()).rejects.toMatchObject({ code: "RUN_FENCED" });
      await dead.abort();
    }
  });

  test("while a run is at work, packs that nothing covers yet are not marked: they may be its own", async () => {
    const site = await newSite();
    await site.backUp(["c"]);
    const repository = await site.open();
    const run = await repository.startRun({ server: "other", host: "there" });
    await storeData(run, [content("new", 1000)]);
    expect(await site.prune({ graceMs: 0 })).toMatchObject({ marked: [], swept: [] });
    await run.abort();
    const done = await site.prune({ graceMs: 0 });
    expect(done.swept.length).toBe(1);
    expect(await site.check()).toEqual([]);
  });

  test("what a live run builds upon stays: its parent, although forgotten long ago", async () => {
    const site = await newSite();
    const parent = await site.backUp(["a"]);
    await site.backUp(["c"], "other");
    const run = await (await site.open()).startRun({ server: "mail", host: "there", parent });
    await site.forget(parent);
    const done = await site.prune({ graceMs: 0 });
    expect(done).toMatchObject({ forgotten: [], marked: [], swept: [] });
    await run.abort();
    expect(await site.prune({ graceMs: 0 })).toMatchObject({ forgotten: [parent] });
  });

  test("a run cannot begin upon a backup or a checkpoint that has gone; while one does, nothing is swept", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a"]);
    const other = await site.backUp(["c"]);
    await site.forget(gone);
    await site.prune({ graceMs: 0 });
    const start = async (given: object) =>
      await (await site.open()).startRun({ server: "mail", host: "there", ...given });
    await expect(start({ parent: gone })).rejects.toMatchObject({ code: "RUN_FENCED" });
    await expect(start({ checkpoints: [gone] })).rejects.toMatchObject({ code: "RUN_FENCED" });
    expect(await names(site.backend, "runs/")).toEqual([]);

    const last = await site.backUp(["d"]);
    const run = await start({ parent: last });
    await site.backend.remove(`backups/${last}`);
    const done = await site.prune({ graceMs: 0 });
    expect(done.swept).toEqual([]);
    expect(done.plan.holding.map((record) => record.run)).toEqual([run.id]);
    await run.abort();
    await site.prune({ graceMs: 0 });
    expect((await (await site.open()).listBackups()).map(({ id }) => id)).toEqual([other]);
    expect(await site.check()).toEqual([]);
  });

  test("the second of two prunes is locked out, until the first has ended or is known to be dead", async () => {
    const site = await newSite();
    await site.backUp(["a"]);
    const first = await (await site.open()).startRun({ kind: "prune", server: "", host: "there" });
    await expect(site.prune()).rejects.toMatchObject({ code: "LOCKED", message: /a prune on there/ });
    expect((await names(site.backend, "runs/")).length).toBe(1);
    site.clock.advance(2 * HOUR);
    expect((await site.prune()).fenced.length).toBe(1);
    await expect(first.requireStanding()).rejects.toMatchObject({ code: "RUN_FENCED" });
    await first.abort();
  });

  test("a backup of a run that was fenced just before, and died before it could withdraw it, does not count and goes", async () => {
    const site = await newSite();
    await site.backUp(["c"]);
    let isDead = false;
    let hasFenced = false;
    const over = faultyBackend(site.backend, {
      when: "before",
      failAt: (_, operation, name) => {
        if (operation === "create" && name.startsWith("backups/")) isDead = true;
        return isDead && !(operation === "create" && name.startsWith("backups/"));
      },
    });
    const slow: Backend = {
      ...over,
      create: async (name, bytes) => {
        if (name.startsWith("backups/")) {
          site.clock.advance(2 * HOUR);
          hasFenced = (await site.prune({ graceMs: 0 })).fenced.length === 1;
        }
        await over.create(name, bytes);
      },
    };
    const backup = "20260101T050000Z-00112233";
    const run = await (await site.open(slow)).startRun({ server: "mail", host: "there", backup });
    await storeData(run, [content("a", 1000)]);
    await run.writer.flush();
    await expect(run.commit(backup, Buffer.from("{}"))).rejects.toMatchObject({ code: "IO" });
    expect(hasFenced).toBe(true);
    expect(await names(site.backend, "backups/")).toContain(`backups/${backup}`);
    expect((await gcOf(site)).voided).toEqual(new Set([backup]));
    expect((await site.plan()).voided).toEqual([backup]);
    await site.prune({ graceMs: 0 });
    expect(await names(site.backend, "backups/")).not.toContain(`backups/${backup}`);
    expect(await site.check()).toEqual([]);
  });

  test("a mark that is dated in the future does not count as old, nor does a forgetting", async () => {
    const site = await newSite();
    const gone = await site.backUp(["a"]);
    await site.backUp(["c"]);
    await site.forget(gone);
    const wrong = site.clock.nowMs();
    site.clock.jumpTo(wrong - 30 * 24 * HOUR);
    expect(await site.prune()).toMatchObject({ forgotten: [], marked: [] });
    site.clock.jumpTo(wrong + GRACE);
    expect((await site.prune()).marked.length).toBe(2);
    site.clock.jumpTo(wrong);
    expect(await site.prune()).toMatchObject({ swept: [] });
    expect((await site.plan()).waiting.length).toBe(2);
  });
});
