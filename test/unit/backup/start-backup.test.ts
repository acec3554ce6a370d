import { expect, test } from "vitest";
import { Site } from "./site.ts";

const HERE = { host: "elsewhere", isAlive: () => true };
const DEAD = { host: "elsewhere", isAlive: () => false };

test("a second backup of the same server is locked out and leaves nothing; of another server it is not, nor after a death", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const other = await site.repository.startRun({ server: "tiny", host: "elsewhere" });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await expect(site.backUp({}, { here: HERE })).rejects.toMatchObject({
    code: "LOCKED",
    message: expect.stringContaining("a backup of tiny is at work on elsewhere"),
    hint: expect.stringContaining("--lock-wait"),
  });
  expect((await site.repository.listRuns()).map(({ run }) => run)).toEqual([other.id]);
  expect((await site.backUp({ server: "another" }, { here: HERE })).messages.total).toBe(1);
  expect((await site.backUp({}, { here: DEAD })).messages.total).toBe(1);
  await other.abort();
});

test("a run's file that cannot be read stops no backup", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  await site.repository.backend.create("runs/20260101T000000Z-00000000", Buffer.from("nonsense"));
  expect((await site.backUp({}, { here: HERE })).messages.total).toBe(1);
});

test("a parent that is pruned between the look at it and the start of the run is not built upon", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const first = await site.backUp();
  const second = await site.backUp();
  const { repository } = site;
  const { listBackups } = repository;
  let isFirstLook = true;
  repository.listBackups = async () => {
    const listed = await listBackups.call(repository);
    if (!isFirstLook) return listed;
    isFirstLook = false;
    const { startRun } = repository;
    repository.startRun = async (options) => {
      repository.startRun = startRun;
      await repository.backend.remove(`backups/${second.backup}`);
      return await startRun.call(repository, options);
    };
    return listed;
  };
  expect((await site.backUp()).parent).toBe(first.backup);
});
