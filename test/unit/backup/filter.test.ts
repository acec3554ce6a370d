import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";
import { isExcludedEntry } from "../../../src/manifest/excluded-mailboxes.ts";
import { codesOf, Site } from "./site.ts";
import type { TinyMailbox } from "./tiny-server.ts";

const DAY_S = 86_400;

/** Each of 200 bytes more than the one before, and a year older. */
async function years(): Promise<{ site: Site; anna: TinyMailbox }> {
  const site = await Site.make();
  const anna = site.server.add(
    "user.anna",
    [0, 1, 2, 3].map((n) => "x".repeat(100 + 200 * n)),
  );
  const now = Math.floor(Date.now() / 1000);
  for (const [n, message] of anna.messages.entries())
    message.internalDate = n === 3 ? 0 : now - n * 365 * DAY_S;
  site.server.writeIndex(anna);
  site.server.add("user.bob", ["short"]);
  return { site, anna };
}

describe("--exclude-larger", () => {
  test("leaves messages out, counts them, and a later backup without it reads them", async () => {
    const { site } = await years();
    using _ = site;
    const filtered = await site.backUp({ filter: { excludeLarger: 800 } });
    expect(filtered).toMatchObject({ messages: { total: 3, read: 3 }, incomplete: false });
    expect(filtered.findings).toMatchObject([
      {
        code: "messages-left-out",
        severity: "note",
        mailbox: "user.anna",
        message: expect.stringMatching(/^2 messages/),
      },
    ]);
    expect([...(await site.messages(filtered, "user.anna")).keys()]).toEqual([1, 2]);
    const root = await site.root(filtered);
    expect(root.selection).toMatchObject({ excludeLarger: 800 });
    expect(root.leftOut).toContainEqual({
      path: "*",
      reason: expect.stringContaining("--exclude-larger"),
      files: 2,
      bytes: expect.any(Number),
    });

    const same = await site.backUp({ filter: { excludeLarger: 800 } });
    expect(same).toMatchObject({ mailboxes: { unchanged: 2 }, messages: { read: 0 } });
    expect(codesOf(same)).toEqual(["messages-left-out"]);
    expect((await site.root(same)).leftOut).toEqual(root.leftOut);

    const whole = await site.backUp();
    expect(whole).toMatchObject({ messages: { total: 5, read: 2 }, findings: [] });
    expect((await site.root(whole)).leftOut.map(({ path }) => path)).not.toContain("*");
    expect(await site.backUp()).toMatchObject({ mailboxes: { unchanged: 2 } });
  });

  test("what an earlier backup holds is left out, too", async () => {
    const { site } = await years();
    using _ = site;
    await site.backUp();
    const filtered = await site.backUp({ filter: { excludeLarger: 400 } });
    expect([...(await site.messages(filtered, "user.anna")).keys()]).toEqual([1]);
    expect(filtered.messages.read).toBe(0);
  });
});

test("--exclude-older goes by the internal date; a message without one stays", async () => {
  const { site } = await years();
  using _ = site;
  const filtered = await site.backUp({ filter: { excludeOlderMs: 400 * DAY_S * 1000 } });
  expect([...(await site.messages(filtered, "user.anna")).keys()]).toEqual([1, 2, 4]);
  // bob's has no date.
  expect((await site.messages(filtered, "user.bob")).size).toBe(1);
});

test("a damaged record says nothing: its message is kept", async () => {
  const { site, anna } = await years();
  using _ = site;
  site.server.damageRecord(anna, 3);
  const filtered = await site.backUp({ filter: { excludeLarger: 400 } });
  expect([...(await site.messages(filtered, "user.anna")).keys()]).toEqual([1, 4]);
});

describe("an excluded mailbox", () => {
  test("keeps its header and index, and nothing else", async () => {
    const { site, anna } = await years();
    using _ = site;
    site.server.file(
      `${site.server.directory(anna).slice(site.server.root.length)}/cyrus.cache`,
      "words of mails",
    );
    const result = await site.backUp({ excludeMailboxes: ["user.anna"] });
    expect(result).toMatchObject({ mailboxes: { total: 2 }, messages: { total: 1, read: 1 } });
    const entry = (await site.mailboxes(result)).get("user.anna");
    expect(entry).toMatchObject({ messages: 0, lastUid: 4, uniqueid: anna.uniqueid });
    expect(entry?.files.map(({ name, content, leftOut }) => [name, content !== undefined, leftOut])).toEqual([
      ["cyrus.cache", false, "mailbox excluded"],
      ["cyrus.header", true, undefined],
      ["cyrus.index", true, undefined],
    ]);
    expect(await site.fileText(entry?.files[2])).toBe(
      readFileSync(join(site.server.directory(anna), "cyrus.index"), "latin1"),
    );
    const root = await site.root(result);
    expect(["user.anna", "user.bob"].map((name) => isExcludedEntry(root, name as never))).toEqual([
      true,
      false,
    ]);

    const again = await site.backUp({ excludeMailboxes: ["user.anna"] });
    expect(again).toMatchObject({ mailboxes: { unchanged: 2 } });
    const included = await site.backUp();
    expect(included).toMatchObject({
      mailboxes: { changed: 1, unchanged: 1 },
      messages: { total: 5, read: 4 },
    });
  });

  test("may be one that its owner uses as junk; what others call it does not matter", async () => {
    using site = await Site.make();
    const [junk, shared, trash] = ["user.anna.Spam", "user.anna.Shared", "user.bob.Bin"].map((name) =>
      site.server.add(name, [name]),
    ) as [TinyMailbox, TinyMailbox, TinyMailbox];
    const said = [
      [junk.uniqueid, "[.OwNeR.]", "\\Junk"],
      [shared.uniqueid, "carl", "\\Junk"],
      [trash.name, "bob", "\\Archive \\TRASH"],
    ] as const;
    const records = said.map(([mailbox, user, value]) => annotation(mailbox, user, value));
    records.sort((a, b) => Buffer.compare(a.key, b.key));
    site.server.file("var/lib/cyrus/annotations.db", encodeTwoskip(records));
    const result = await site.backUp({ filter: { excludeSpecialUse: ["\\Junk", "\\Trash"] } });
    const root = await site.root(result);
    expect(
      root.leftOut.filter(({ reason }) => reason.includes("special-use")).map(({ path }) => path),
    ).toEqual(["user.anna.Spam", "user.bob.Bin"]);
    expect(result.messages.total).toBe(1);
    expect(codesOf(result)).toEqual([]);
  });

  test("is none where special uses cannot be read, and a finding says so", async () => {
    using site = await Site.make();
    site.server.add("user.anna", ["one"]);
    site.server.file(
      "var/lib/cyrus/annotations.db",
      Buffer.from("\xa1\x02\x8b\rtwomfile".padEnd(64, "\0"), "latin1"),
    );
    const result = await site.backUp({ filter: { excludeSpecialUse: ["\\Junk"] } });
    expect(result.messages.total).toBe(1);
    expect(codesOf(result)).toContain("database-unreadable");
  });
});

function annotation(mailbox: string, user: string, text: string): { key: Buffer; value: Buffer } {
  const length = Buffer.alloc(8);
  length.writeUInt32BE(text.length);
  const rest = Buffer.concat([Buffer.from("\0text/plain\0"), Buffer.alloc(17)]);
  return {
    key: Buffer.from(`${mailbox}\0/specialuse\0${user}\0`, "latin1"),
    value: Buffer.concat([length, Buffer.from(text), rest]),
  };
}
