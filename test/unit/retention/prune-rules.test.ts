/** Rules of deletion that others hold up, too: here each is alone. */
import { expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.ts";
import { undelete } from "../../../src/retention/undelete.ts";
import { readGcState } from "../../../src/store/gc-record.ts";
import { faultyBackend } from "../../support/faulty-backend.ts";
import { content, storeData } from "../store/repository-fixture.ts";
import { GRACE, HOUR, newSite } from "./prune-fixture.ts";

/** Does something just before a call reaches the backend, once. */
function before(
  inner: Backend,
  call: (operation: string, name: string) => boolean,
  act: () => Promise<void>,
): Backend {
  const passing = faultyBackend(inner, { failAt: () => false });
  let isDone = false;
  const once = async (operation: string, name: string) => {
    if (isDone || !call(operation, name)) return;
    isDone = true;
    await act();
  };
  return {
    ...passing,
    replace: async (name, bytes) => {
      await once("replace", name);
      await passing.replace(name, bytes);
    },
    remove: async (name) => {
      await once("remove", name);
      return await passing.remove(name);
    },
  };
}

test("a run that was fenced while its file was renewed stands by its file, and does not commit: the record says so", async () => {
  const site = await newSite();
  await site.backUp(["c"]);
  let fenced = 0;
  const slow = before(
    site.backend,
    (operation, name) => operation === "replace" && name.startsWith("runs/"),
    async () => {
      site.clock.advance(2 * HOUR);
      const done = await site.prune({ graceMs: 0 });
      fenced = done.fenced.length;
      expect(done.swept).toEqual([]);
    },
  );
  const run = await (await site.open(slow)).startRun({ server: "mail", host: "there" });
  await run.heartbeat();
  expect(fenced).toBe(1);
  expect(await site.backend.size(`runs/${run.id}`)).toBeDefined();
  await storeData(run, [content("a", 1000)]);
  await expect(run.commit("20260101T050000Z-00112233", Buffer.from("{}"))).rejects.toMatchObject({
    code: "RUN_FENCED",
    message: expect.stringContaining("gc/"),
  });
  await run.abort();
  expect((await (await site.open()).listBackups()).length).toBe(1);
});

test("a backup that is brought back while prune lets it go is planned for anew: nothing of it is marked", async () => {
  const site = await newSite();
  const back = await site.backUp(["a"]);
  await site.backUp(["c"]);
  await site.forget(back);
  site.clock.advance(GRACE + HOUR);
  const over = before(
    site.backend,
    (operation, name) => operation === "remove" && name === `forgotten/${back}`,
    async () => undelete(await site.open(), back, "there"),
  );
  const done = await site.prune({ over });
  expect(done.forgotten).toEqual([]);
  expect(done.marked).toEqual([]);
  const repository = await site.open();
  expect((await repository.listBackups()).map(({ id }) => id)).toContain(back);
  expect((await readGcState(site.backend, repository.sealer)).marked.size).toBe(0);
  expect(await site.check()).toEqual([]);
});
