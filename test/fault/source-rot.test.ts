/**
 * Bit rot at the server: a message file that is no longer what it was. The copy that an earlier backup holds is kept, named
 * in the finding, and is what a restore gives. And two messages that bear one SHA-1: both come back.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { Progress } from "../../src/base/progress.ts";
import { planRestore } from "../../src/restore/plan.ts";
import { runRestore } from "../../src/restore/run.ts";
import { codesOf, Site } from "../unit/backup/site.ts";
import { mail, mailWithAttachment } from "../unit/backup/tiny-server.ts";
import { restoreOptions } from "../unit/restore/restore-fixture.ts";

/** One bit of the file, and its times as they were unless `touched`. */
function rot(path: string, touched: boolean): Buffer {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 0x01;
  writeFileSync(path, bytes);
  if (!touched) utimesSync(path, atime, mtime);
  return bytes;
}

async function restored(site: Site, backup: string) {
  const target = join(site.dir.in(`restored-${Math.random()}`));
  const { objects } = site.repository;
  const prepared = await planRestore(restoreOptions(target), await site.root({ backup }), objects);
  const progress = new Progress();
  const result = await runRestore(prepared, { source: objects, clock: systemClock, progress });
  const messages = new Map<string, Buffer>();
  for (const entry of readdirSync(target, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && /^[1-9]\d*\.$/.test(entry.name))
      messages.set(
        join(entry.parentPath, entry.name).slice(target.length),
        readFileSync(join(entry.parentPath, entry.name)),
      );
  return { messages, result };
}

describe.each([
  ["without a change of its times", false],
  ["with a change of its times", true],
])("a byte of a message that flips %s", (_, touched) => {
  test("is found by --scrub when nothing else has changed, and the good copy comes back", async () => {
    using site = await Site.make();
    const anna = site.server.add("user.anna", ["one", mailWithAttachment("two", "a", 20_000), "three"]);
    site.server.add("user.bob", ["four"]);
    const first = await site.backUp();
    const before = (await restored(site, first.backup)).messages;
    expect(before.size).toBe(4);
    const rotten = rot(site.server.message(anna, 2), touched);

    const unaware = await site.backUp();
    expect(unaware.messages.read).toBe(0);
    expect((await restored(site, unaware.backup)).messages).toEqual(before);

    const result = await site.backUp({ scrub: 1 });
    expect(result).toMatchObject({ incomplete: true });
    expect(result.findings).toMatchObject([{ code: "message-guid-mismatch", severity: "error", uid: 2 }]);
    const stored = (await site.messages(result, "user.anna")).get(2);
    expect(stored?.text).toBe(rotten.toString("latin1"));
    const good = stored?.entry.good;
    if (good === undefined) throw new Error("the good copy was lost");
    expect(result.findings[0]?.message).toContain(Buffer.from(good).toString("hex").slice(0, 16));

    const { messages, result: restore } = await restored(site, result.backup);
    expect(messages).toEqual(before);
    expect(restore.incomplete).toBe(false);
    expect(restore.findings).toMatchObject([{ code: "good-copy", severity: "warning" }]);
  });

  test("of a mailbox that gets new mail: the good copy stays in every later backup", async () => {
    using site = await Site.make();
    const anna = site.server.add("user.anna", ["one", "two"]);
    const first = await site.backUp();
    const before = (await restored(site, first.backup)).messages;
    rot(site.server.message(anna, 1), touched);
    site.server.append(anna, "three");
    const second = await site.backUp();
    const third = await site.backUp({ scrub: 1 });
    expect(codesOf(third)).toEqual(["message-guid-mismatch"]);
    for (const { backup } of [second, third]) {
      const { messages } = await restored(site, backup);
      for (const [path, bytes] of before) expect(messages.get(path)).toEqual(bytes);
      expect(messages.size).toBe(3);
    }
  });
});

test("a good copy is kept though the index of the earlier backup could not vouch for it", async () => {
  using site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two"]);
  const index = join(site.server.directory(anna), "cyrus.index");
  const sound = readFileSync(index);
  const broken = Buffer.from(sound);
  const at = broken.readUInt32BE(12) + broken.readUInt32BE(16) + 40;
  broken[at] = (broken[at] as number) ^ 1;
  writeFileSync(index, broken);
  await site.backUp();
  writeFileSync(index, sound);
  rot(site.server.message(anna, 2), false);
  const result = await site.backUp({ scrub: 1 });
  expect(codesOf(result)).toEqual(["message-guid-mismatch"]);
  const { entry } = (await site.messages(result, "user.anna")).get(2) ?? {};
  expect(await site.text(entry?.good as never)).toBe(mail("two").toString("latin1"));
});

describe("two messages that bear one SHA-1", () => {
  test.each([
    ["of one size", "bbb"],
    ["of two sizes", "something longer"],
  ])("%s both come back, from one mailbox and from two, day after day", async (_, text) => {
    using site = await Site.make();
    const one = mail("aaa");
    const other = mail(text);
    const guid = createHash("sha1").update(one).digest();
    const anna = site.server.add("user.anna", [one, other]);
    const bob = site.server.add("user.bob", [other, one]);
    for (const mailbox of [anna, bob]) {
      for (const message of mailbox.messages) message.guid = guid;
      site.server.writeIndex(mailbox);
    }
    for (const scrub of [0, 0, 1]) {
      const result = await site.backUp({ scrub });
      // Only a real collision could make both fit: here one of the two is said to be another message.
      expect(new Set(codesOf(result))).toEqual(new Set(["message-guid-mismatch"]));
      const { messages } = await restored(site, result.backup);
      expect(messages.size).toBe(4);
      for (const mailbox of [anna, bob])
        for (const { uid, bytes } of mailbox.messages) {
          const path = site.server.message(mailbox, uid).slice(site.server.root.length);
          expect(messages.get(path)?.toString()).toBe(bytes.toString());
        }
      for (const message of anna.messages) message.flagWord++;
      site.server.writeIndex(anna);
    }
  });
});
