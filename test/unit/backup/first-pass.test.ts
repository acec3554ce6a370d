import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FirstPassResult, runFirstPass } from "../../../src/backup/first-pass.ts";
import { readIndexColumns } from "../../../src/backup/index-columns.ts";
import { CyrvaultError } from "../../../src/base/errors.ts";
import { Progress } from "../../../src/base/progress.ts";
import { codesOf, Site } from "./site.ts";
import type { TinyMailbox } from "./tiny-server.ts";

/** With the checksum over all records that Cyrus keeps, and this server otherwise leaves out. */
async function withSyncCrc(site: Site, mailbox: TinyMailbox): Promise<void> {
  site.server.writeIndex(mailbox);
  const columns = await readIndexColumns(
    [readFileSync(join(site.server.directory(mailbox), "cyrus.index"))],
    [],
  );
  if (columns instanceof CyrvaultError || columns.syncCrc === undefined) throw new Error("no checksum");
  site.server.writeIndex(mailbox, { syncCrcBasic: columns.syncCrc });
}

async function twoMailboxes(): Promise<{ site: Site; anna: TinyMailbox; bob: TinyMailbox }> {
  const site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two", "three"]);
  const bob = site.server.add("user.bob", ["four", "five"]);
  await withSyncCrc(site, anna);
  await withSyncCrc(site, bob);
  return { site, anna, bob };
}

/** Nothing has changed for a while when it begins. */
async function firstPass(site: Site, acceptRules: readonly string[] = []): Promise<FirstPassResult> {
  site.clock.jumpTo(Date.now() + 10_000);
  const { repository, clock } = site;
  return await runFirstPass(site.options(), { repository, clock, progress: new Progress(), acceptRules });
}

test("a first pass stores everything, and is no backup", async () => {
  const { site } = await twoMailboxes();
  using _ = site;
  expect(await firstPass(site)).toMatchObject({ mailboxes: 2, messages: { total: 5, new: 5, read: 5 } });
  expect(await site.repository.listBackups()).toEqual([]);
  expect(await site.repository.listCheckpoints("readers")).toHaveLength(1);
});

test("what is as it was then is taken over unread, and the checkpoint goes with the commit", async () => {
  const { site, bob } = await twoMailboxes();
  using _ = site;
  await firstPass(site);
  site.server.append(bob, "six", false);
  await withSyncCrc(site, bob);
  const result = await site.backUp();
  expect(result.messages).toEqual({ total: 6, new: 1, read: 1 });
  expect(result.mailboxes.unchanged).toBe(1);
  expect((await site.messages(result, "user.anna")).size).toBe(3);
  expect(await site.repository.listCheckpoints("readers")).toEqual([]);
});

test("a mailbox whose checksums do not fit is looked at again, though nothing seems to have changed", async () => {
  const { site, anna, bob } = await twoMailboxes();
  using _ = site;
  site.server.writeIndex(anna, { syncCrcBasic: 0 });
  site.server.writeIndex(bob, { headerFileCrc: 0 });
  await firstPass(site);
  const result = await site.backUp();
  expect(result.mailboxes).toMatchObject({ total: 2, unchanged: 0 });
  // Its messages were compared with their GUIDs.
  expect(result.messages.read).toBe(0);
});

test("findings of a first pass, accepted ones and notes too, reach no manifest", async () => {
  const { site, anna } = await twoMailboxes();
  using _ = site;
  site.server.damageRecord(anna, 1);
  await firstPass(site, ["index-record-damaged"]);
  await withSyncCrc(site, anna);
  const result = await site.backUp();
  expect(codesOf(result)).toEqual([]);
  expect(result.mailboxes.unchanged).toBe(1);

  site.server.damageRecord(anna, 1);
  await firstPass(site, ["index-record-damaged"]);
  expect(codesOf(await site.backUp())).toContain("index-record-damaged");
});

test("a message that was replaced between the passes is read again", async () => {
  const { site, anna } = await twoMailboxes();
  using _ = site;
  await firstPass(site);
  const [first] = anna.messages;
  if (first === undefined) throw new Error("no message");
  first.bytes = Buffer.from("Subject: another\r\n\r\nanother\r\n");
  site.server.file(site.server.message(anna, 1).slice(site.server.root.length + 1), first.bytes);
  site.server.writeIndex(anna);
  const result = await site.backUp();
  expect(result.messages.read).toBe(1);
  expect((await site.messages(result, "user.anna")).get(1)?.text).toContain("another");
});
