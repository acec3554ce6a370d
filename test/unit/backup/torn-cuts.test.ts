import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type MailboxPieces, tornPieces } from "../../../src/backup/torn-mailbox.ts";
import { fromText } from "../../../src/base/byte-string.ts";
import { codesOf, Site } from "./site.ts";

const WHOLE: MailboxPieces = {
  listed: { name: fromText("user.anna"), uniqueid: fromText("abc") },
  header: { name: fromText("user.anna"), uniqueId: fromText("abc") },
  isNamedByHeader: true,
  indexGeneration: 3,
  cacheGeneration: 3,
};

describe("pieces of a mailbox", () => {
  test.each<[string, Partial<MailboxPieces>]>([
    ["that go together", {}],
    [
      "of a server before 3.6, whose header has no name",
      { header: { name: undefined, uniqueId: undefined } },
    ],
    [
      "of a directory that is named by the mailbox, whose header keeps an old name",
      { isNamedByHeader: false, header: { name: fromText("user.old"), uniqueId: fromText("abc") } },
    ],
    ["that no list names", { listed: undefined }],
    ["without a cache", { cacheGeneration: undefined }],
    ["without a header or an index", { header: undefined, indexGeneration: undefined }],
  ])("%s are nothing to tell of", (_, change) => {
    expect(tornPieces({ ...WHOLE, ...change })).toEqual([]);
  });

  test.each<[string, Partial<MailboxPieces>, string]>([
    [
      "names",
      { header: { name: fromText("user.other"), uniqueId: fromText("abc") } },
      "header-list-mismatch",
    ],
    ["uniqueids", { header: { name: fromText("user.anna"), uniqueId: fromText("x") } }, "uniqueid-duplicate"],
    ["generations", { cacheGeneration: 2 }, "cache-generation-mismatch"],
  ])("of two %s are a finding", (_, change, code) => {
    expect(tornPieces({ ...WHOLE, ...change }).map((torn) => torn.code)).toEqual([code]);
  });
});

describe("a view that fell between two writes", () => {
  async function withAnna() {
    const site = await Site.make();
    const anna = site.server.add("user.anna", ["one", "two", "three"]);
    const file = (name: string) => join(site.server.directory(anna), name);
    return { site, anna, file, [Symbol.dispose]: () => site[Symbol.dispose]() };
  }

  test("of header and mailbox list, in a rename: named, and all mail is there", async () => {
    using it = await withAnna();
    const { site, anna } = it;
    site.server.rename(anna, "user.anna.Renamed");
    anna.name = "user.anna";
    site.server.mailboxes.set("user.anna", anna);
    site.server.mailboxes.delete("user.anna.Renamed");
    site.server.writeList();
    const result = await site.backUp();
    expect(codesOf(result)).toEqual(["header-list-mismatch"]);
    expect((await site.messages(result, "user.anna")).size).toBe(3);
  });

  test("of header and index, in a change of flag names: named", async () => {
    using it = await withAnna();
    it.site.server.writeIndex(it.anna, { headerFileCrc: 12345 });
    expect(codesOf(await it.site.backUp())).toEqual(["header-index-mismatch"]);
  });

  test("of index and cache, in a repack: named, and no reason to read the mailbox again", async () => {
    using it = await withAnna();
    writeFileSync(it.file("cyrus.cache"), Buffer.from([0, 0, 0, 9, 1, 2, 3, 4]));
    expect(codesOf(await it.site.backUp())).toEqual(["cache-generation-mismatch"]);
    expect((await it.site.backUp()).mailboxes).toMatchObject({ unchanged: 1 });
    writeFileSync(it.file("cyrus.cache"), Buffer.from([0, 0, 0, 1, 1, 2, 3, 4]));
    expect(codesOf(await it.site.backUp())).toEqual([]);
  });

  test("of index and message files, in an append: the record without a file is named, the parent's copy kept", async () => {
    using it = await withAnna();
    const { site, anna } = it;
    await site.backUp();
    rmSync(site.server.message(anna, 2));
    const second = await site.backUp();
    expect(codesOf(second)).toEqual(["message-missing"]);
    expect(second.findings[0]?.message).toContain("the copy of an earlier backup is kept");
    expect((await site.messages(second, "user.anna")).size).toBe(3);
  });

  test("of message files and index, in an append: the file without a record is named and kept", async () => {
    using it = await withAnna();
    it.site.server.append(it.anna, "four", false);
    const result = await it.site.backUp();
    expect(codesOf(result)).toEqual(["message-unlisted"]);
    expect((await it.site.messages(result, "user.anna")).size).toBe(4);
  });

  test("of spool and archive, in a move to the archive: the file is found where it is", async () => {
    using it = await withAnna();
    const { site, anna } = it;
    const { uniqueid } = anna;
    const archive = `var/spool/archive/uuid/${uniqueid[0]}/${uniqueid[1]}/${uniqueid}`;
    site.server.file(
      "etc/imapd.conf",
      `${CONF}archive_enabled: yes\narchivepartition-default: /var/spool/archive\n`,
    );
    site.server.file(`${archive}/placeholder`, "");
    renameSync(site.server.message(anna, 2), site.server.path(archive, "2."));
    const result = await site.backUp();
    expect(codesOf(result)).toEqual([]);
    expect((await site.messages(result, "user.anna")).size).toBe(3);
  });
});

const CONF = `configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
sievedir: /var/lib/cyrus/sieve
servername: tiny
`;
