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

test("a newer backup that is damaged is not built upon, and is named", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  const [first, second] = [await site.backUp(), await site.backUp()];
  const name = `backups/${second.backup}`;
  const bytes = Buffer.from(await readWhole(site, name));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await site.repository.backend.remove(name);
  await site.repository.backend.create(name, bytes);
  const named: string[] = [];
  const onUnreadable = (backup: string, { code }: { code: string }) => named.push(`${backup} ${code}`);
  const { server } = await site.root(first);
  const { backup } = await findParents(site.repository, server, onUnreadable);
  expect(backup?.backup).toBe(first.backup);
  expect(named).toEqual([`${second.backup} REPOSITORY_DAMAGED`]);
});

async function readWhole(site: Site, name: string): Promise<Buffer> {
  const { backend } = site.repository;
  const bytes = await backend.readRange(name, 0, (await backend.size(name)) ?? 0);
  if (bytes === undefined) throw new Error(`no ${name}`);
  return bytes;
}
