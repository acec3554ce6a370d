import { expect, test } from "vitest";
import { findParents } from "../../../src/backup/parents.ts";
import type { ManifestRoot } from "../../../src/manifest/model.ts";
import { encodeRoot } from "../../../src/manifest/root.ts";
import { Site } from "./site.ts";

/** What an interrupted run leaves. */
async function leave(site: Site, root: ManifestRoot, messages: number, completedMs: number): Promise<void> {
  const run = await site.repository.startRun({ server: root.server, host: "h" });
  const counts = { ...root.counts, messages };
  await run.checkpoint(encodeRoot({ ...root, counts, startedMs: completedMs - 1, completedMs }));
  await run.abort();
}

test("a run that was interrupted early does not hide one that had got further", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const result = await site.backUp();
  const root = await site.root(result);
  const { completedMs } = root;
  const messages = [700, 20, 10, 900, 30, 5, 40];
  for (const [i, count] of messages.entries()) await leave(site, root, count, completedMs + 1000 * (i + 1));
  const parents = await findParents(site.repository, root.server);
  expect(parents.backup?.backup).toBe(result.backup);
  // The four that got furthest, newest first.
  expect(parents.checkpoints.map(({ counts }) => counts.messages)).toEqual([40, 30, 900, 700]);
  expect((await findParents(site.repository, "another")).checkpoints).toEqual([]);
});

test("a checkpoint older than the last backup is none, and one that is not understood costs nothing", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const root = await site.root(await site.backUp());
  await leave(site, root, 3, root.startedMs - 10);
  const run = await site.repository.startRun({ server: root.server, host: "h" });
  await run.checkpoint(Buffer.from("nonsense"));
  await run.abort();
  expect((await findParents(site.repository, root.server)).checkpoints).toEqual([]);
  await site.backUp();
});
