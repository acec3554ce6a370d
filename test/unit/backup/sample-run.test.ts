import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { planBackup } from "../../../src/backup/plan.ts";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import type { PageTree } from "../../../src/manifest/model.ts";
import type { PageCodec } from "../../../src/manifest/page-codec.ts";
import { PageTreeWriter } from "../../../src/manifest/page-tree.ts";
import { readPageTree } from "../../../src/manifest/read-page-tree.ts";
import { advanceServer } from "../../../src/sample/advance.ts";
import { generateServer } from "../../../src/sample/generate.ts";
import { asObjectId } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { Site } from "./site.ts";

const SMALL = { users: 4, foldersPerUser: 3, messages: 90, documentScale: 0.05, textScale: 0.5 } as const;

/** Every message of the backup equals its file, and every message file is in the backup. */
async function compare(site: Site, result: { backup: string }, root: string): Promise<number> {
  let count = 0;
  for (const [name, { directories, messages }] of await site.mailboxes(result)) {
    const stored = await site.messages(result, name);
    expect(stored.size).toBe(messages);
    for (const [uid, { entry, text }] of stored) {
      const path = join(root, directories[entry.directory]?.path ?? "", `${uid}.`);
      expect(text === readFileSync(path, "latin1"), path).toBe(true);
      count++;
    }
  }
  return count;
}

function messageFiles(root: string): number {
  return readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => /\/[1-9]\d*\.$/.test(path))
    .length;
}

describe.each(["uuid", "legacy"] as const)("a sample server in the %s layout", (layout) => {
  test("is backed up whole, costs nothing when unchanged, and a day later what that day changed", async () => {
    using site = await Site.make();
    const root = site.dir.in("sample");
    const server = generateServer(root, { ...SMALL, layout, pathPrefix: "" });
    const options = { root: fromText(root), config: fromText(server.configPath), server: "sample" };
    const plan = () => planBackup(site.options(options), site);

    const planned = await plan();
    const first = await site.backUp(options);
    expect(first.findings).toEqual([]);
    expect(planned.mailboxes).toEqual(first.mailboxes);
    expect(planned.messagesToReadAtMost).toBeGreaterThanOrEqual(first.messages.read);
    expect(await compare(site, first, root)).toBe(messageFiles(root));
    expect(first.messages.total).toBe(messageFiles(root));

    const second = await site.backUp(options);
    expect(second).toMatchObject({
      mailboxes: { new: 0, changed: 0, gone: 0, unchanged: first.mailboxes.total },
      messages: { total: first.messages.total, new: 0, read: 0 },
      directories: { listed: 0 },
      findings: [],
    });
    expect(second.bytes.stored).toBeLessThan(64 * 1024);

    const day = advanceServer(server, { day: 1, share: 0.5 });
    const plannedThird = await plan();
    const third = await site.backUp(options);
    expect(third.findings).toEqual([]);
    expect(plannedThird.mailboxes).toEqual(third.mailboxes);
    expect(third.mailboxes.unchanged).toBeGreaterThan(0);
    expect(third.messages.total).toBe(messageFiles(root));
    // A rename moves the directory of the legacy layout, not the objects.
    expect(third.messages.read).toBeLessThanOrEqual(day.delivered + day.copied);
    expect(await compare(site, third, root)).toBe(messageFiles(root));
    expect(await compareOld(site, first)).toBe(first.messages.total);
  });
});

test.each(["uuid", "legacy"] as const)(
  "what is taken over is what would be written: the pages are those of its entries, and the entries those of a first backup (%s)",
  async (layout) => {
    using site = await Site.make();
    const root = site.dir.in("sample");
    const server = generateServer(root, { ...SMALL, users: 9, layout, pathPrefix: "" });
    const options = { root: fromText(root), config: fromText(server.configPath), server: "sample" };
    for (const share of [0, 0.1]) {
      if (share > 0) advanceServer(server, { day: server.state.day + 1, share });
      for (const backup of [await site.backUp(options), await site.backUp(options)]) {
        const { mailboxes, files } = await site.root(backup);
        expect(await writtenAnew(site, mailboxes, mailboxPages)).toEqual(mailboxes);
        expect(await writtenAnew(site, files, filePages)).toEqual(files);
        using other = await Site.make();
        const first = await other.backUp(options);
        const [taken, written] = [await site.root(backup), await other.root(first)];
        for (const part of ["files", "mailboxList", "roots", "cyrus", "users"] as const)
          expect(taken[part], part).toEqual(written[part]);
        // That a message has got a second link is known of messages that were read since.
        expect(await withoutMessages(site, backup)).toEqual(await withoutMessages(other, first));
        expect(taken.bytes.source).toBe(written.bytes.source);
      }
    }
  },
);

async function writtenAnew<T>(
  site: Site,
  tree: PageTree,
  codec: PageCodec<T, ByteString>,
): Promise<PageTree> {
  const hasher = new ObjectHasher(site.repository.seal);
  const writer = new PageTreeWriter(codec, {
    put: async (kind, bytes) => asObjectId(Uint8Array.from(hasher.id(kind, bytes))),
  });
  for await (const entry of readPageTree(tree, site.repository.objects, codec)) await writer.add(entry);
  return await writer.finish();
}

async function withoutMessages(site: Site, backup: { backup: string }): Promise<unknown> {
  return [...(await site.mailboxes(backup)).values()].map((entry) => ({ ...entry, messagePages: undefined }));
}

/** What the first backup holds can still be read, whatever became of the server. */
async function compareOld(site: Site, result: { backup: string }): Promise<number> {
  let count = 0;
  for (const name of (await site.mailboxes(result)).keys()) count += (await site.messages(result, name)).size;
  return count;
}

test("a plan stores nothing, and says what is left out and excluded", async () => {
  using site = await Site.make();
  site.server.add("user.anna", ["one"]);
  site.server.add("user.bob", ["two"]);
  const plan = await planBackup(site.options({ excludeMailboxes: ["user.bob"] }), site);
  expect(plan).toMatchObject({
    server: "tiny",
    parent: undefined,
    mailboxes: { total: 2, new: 2 },
    messagesToReadAtMost: 1,
    excluded: ["user.bob"],
  });
  expect(plan.leftOut.map(({ path }) => path)).toContain("/var/lib/cyrus/proc");
  expect(await site.repository.listBackups()).toEqual([]);
  const { backup } = await site.backUp();
  expect(await planBackup(site.options(), site)).toMatchObject({
    parent: backup,
    mailboxes: { unchanged: 2 },
    messagesToReadAtMost: 0,
    files: { toRead: 0, bytesToRead: 0 },
  });
});
