import { describe, expect, test } from "vitest";
import type { MemoryBackend } from "../../../src/backend/memory.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { AffectsCollector, uidRanges } from "../../../src/check/affects.ts";
import { type CheckResult, runCheck } from "../../../src/check/run.ts";
import { assembleMessage } from "../../../src/chunker/assemble.ts";
import { packName } from "../../../src/store/pack-types.ts";
import { openRepository } from "../../../src/store/repository.ts";
import { Site } from "../backup/site.ts";
import { mailWithAttachment } from "../backup/tiny-server.ts";
import { names } from "../store/repository-fixture.ts";

async function filled(): Promise<{ site: Site; backups: string[] }> {
  const site = await Site.make();
  site.server.add("user.anna", ["one", mailWithAttachment("two", "shared", 9000), "three"]);
  const bob = site.server.add("user.bob", [mailWithAttachment("four", "shared", 9000)]);
  const first = await site.backUp();
  site.server.append(bob, "five");
  await site.reopen();
  const second = await site.backUp();
  return { site, backups: [first.backup, second.backup] };
}

async function check(site: Site, readDataPercent = 100): Promise<CheckResult> {
  const repository = await openRepository(site.backend, { assemble: assembleMessage });
  const context = { repository, assemble: assembleMessage, clock: systemClock, progress: new Progress() };
  return await runCheck({ readDataPercent }, context);
}

/** The pack that holds a message, and the offset of the block in which it, or its first part, lies. */
async function placeOf(site: Site, backup: string, mailbox: string, uid: number, part = false) {
  const stored = (await site.messages({ backup }, mailbox)).get(uid);
  if (stored === undefined) throw new Error("no such message");
  const { objects } = site.repository;
  const info = await objects.info("message", stored.entry.object);
  const reference = info?.references[0];
  const copy =
    part && reference !== undefined
      ? await objects.locate("data", reference)
      : await objects.locate("message", stored.entry.object);
  if (copy === undefined) throw new Error("not found");
  const { block } = copy.pack.directory.place(copy.ordinal);
  return { name: packName(copy.pack.packId), at: copy.pack.directory.blockAt(block).offset + 10 };
}

async function flip(site: Site, name: string, at: number): Promise<void> {
  const bytes = Buffer.from((await site.backend.read(name, 1 << 30)) as Buffer);
  bytes[at] = (bytes[at] as number) ^ 4;
  await site.backend.replace(name, bytes);
}

describe("who suffers from an error", () => {
  test("is nobody in a sound repository", async () => {
    const { site } = await filled();
    using _ = site;
    expect(await check(site)).toMatchObject({ errorsTotal: 0, affects: undefined, damagedFiles: [] });
  });

  test("a damaged attachment: the messages of all mailboxes and backups that have it", async () => {
    const { site, backups } = await filled();
    using _ = site;
    const { name, at } = await placeOf(site, backups[0] as string, "user.bob", 1, true);
    await flip(site, name, at);
    const { affects, errors, damagedFiles } = await check(site);
    expect(affects?.backups).toEqual(backups);
    const mailboxes = Object.fromEntries(affects?.mailboxes.map((one) => [one.mailbox, one]) ?? []);
    expect(mailboxes["user.bob"]?.uids).toMatch(/^1$/);
    expect(mailboxes["user.anna"]?.uids).toMatch(/2/);
    expect(damagedFiles).toEqual([name]);
    const own = errors.find(({ path }) => path === name);
    expect(own?.affects?.backupsTotal).toBe(2);
    expect(own?.affects?.total).toBe(affects?.total);
  });

  test("a pack that is gone: what only the second backup has affects that one alone", async () => {
    const { site, backups } = await filled();
    using _ = site;
    const { name } = await placeOf(site, backups[1] as string, "user.bob", 2);
    await site.backend.remove(name);
    const { affects } = await check(site, 0);
    expect(affects?.backups).toEqual([backups[1]]);
    expect(affects?.mailboxes).toEqual([{ mailbox: "user.bob", uids: "2", total: 1 }]);
    expect(affects?.total).toBe(1);
  });

  test("a pack whose directory cannot be read: the error about the pack says whom it affects", async () => {
    const { site, backups } = await filled();
    using _ = site;
    const { name } = await placeOf(site, backups[1] as string, "user.bob", 2);
    await flip(site, name, ((await site.backend.size(name)) as number) - 50);
    const { errors } = await check(site, 0);
    const own = errors.find(({ path }) => path === name);
    expect(own?.affects?.mailboxes).toEqual([{ mailbox: "user.bob", uids: "2", total: 1 }]);
  });

  test("damaged pages of the manifest: ranges, where single messages are not known", async () => {
    const { site, backups } = await filled();
    using _ = site;
    const mailbox = (await site.mailboxes({ backup: backups[1] as string })).get("user.bob");
    const copy = await site.repository.objects.locate("manifest", mailbox?.messagePages.page as never);
    if (copy === undefined) throw new Error("no page");
    const { block } = copy.pack.directory.place(copy.ordinal);
    const name = packName(copy.pack.packId);
    await flip(site, name, copy.pack.directory.blockAt(block).offset + 10);
    const { affects, damagedFiles } = await check(site, 0);
    expect(affects?.backups).toContain(backups[1]);
    expect(damagedFiles).toContain(name);
    expect((affects?.total ?? 0) + (affects?.unnamed.length ?? 0)).toBeGreaterThan(0);
  });

  test("a root that cannot be read: that backup", async () => {
    const { site, backups } = await filled();
    using _ = site;
    await flip(site, `backups/${backups[0]}`, 200);
    const { affects, errors } = await check(site, 0);
    expect(affects).toMatchObject({ backups: [backups[0]], total: 0 });
    expect(errors[0]?.affects?.backups).toEqual([backups[0]]);
  });

  test("a copy in another pack: nobody", async () => {
    const { site } = await filled();
    using _ = site;
    const packs = await names(site.backend as MemoryBackend, "packs/");
    // A second first backup stores everything anew; then the packs of the first one come back.
    const before = new Map<string, Buffer>();
    for (const name of packs) before.set(name, (await site.backend.read(name, 1 << 30)) as Buffer);
    for (const name of packs) await site.backend.remove(name);
    await site.reopen();
    for (const name of await names(site.backend as MemoryBackend, "backups/"))
      await site.backend.remove(name);
    for (const name of await names(site.backend as MemoryBackend, "segments/"))
      await site.backend.remove(name);
    await site.reopen();
    const { backup } = await site.backUp();
    for (const [name, bytes] of before) await site.backend.create(name, bytes);
    await site.reopen();
    const place = await placeOf(site, backup, "user.bob", 2);
    await flip(site, place.name, place.at);
    const { errorsTotal, affects } = await check(site);
    expect(errorsTotal).toBeGreaterThan(0);
    expect(affects).toBeUndefined();
  });
});

test("UIDs are shown as in IMAP", () => {
  expect(uidRanges([9, 3, 8, 7])).toEqual(["3", "7:9"]);
  expect(uidRanges([])).toEqual([]);
  const collector = new AffectsCollector(2);
  collector.addBackup("b");
  for (const mailbox of ["a", "b", "c"])
    for (let uid = 1; uid <= 5; uid++)
      collector.add({ what: "message", mailbox, path: "", uid, message: {}, lost: [] } as never);
  expect(collector.result()).toMatchObject({ mailboxesTotal: 3, total: 15 });
  expect(collector.result().mailboxes).toEqual([
    { mailbox: "a", uids: "1:5", total: 5 },
    { mailbox: "b", uids: "1:5", total: 5 },
  ]);
});
