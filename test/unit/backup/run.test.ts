import { readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Progress } from "../../../src/base/progress.ts";
import { codesOf, Site } from "./site.ts";
import { mail, mailWithAttachment } from "./tiny-server.ts";

async function twoMailboxes(): Promise<Site> {
  const site = await Site.make();
  site.server.add("user.anna", ["one", "two", "three"]);
  site.server.add("user.bob", ["four", "five"]);
  return site;
}

const NOTHING_READ = { new: 0, read: 0 };

describe("the first backup", () => {
  test("holds every message, file and mailbox of the server, byte for byte", async () => {
    using site = await twoMailboxes();
    const result = await site.backUp();
    expect(result).toMatchObject({
      parent: undefined,
      server: "tiny",
      mailboxes: { total: 2, new: 2, changed: 0, unchanged: 0, gone: 0 },
      messages: { total: 5, new: 5, read: 5 },
      findings: [],
      incomplete: false,
    });
    const messages = await site.messages(result, "user.anna");
    expect([...messages.keys()]).toEqual([1, 2, 3]);
    for (const { bytes, uid } of site.server.mailboxes.get("user.anna")?.messages ?? [])
      expect(messages.get(uid)?.text).toBe(bytes.toString("latin1"));
    const files = await site.files(result);
    expect(await site.fileText(files.get("/var/lib/cyrus/mailboxes.db"))).toBe(
      readFileSync(site.server.path("var/lib/cyrus/mailboxes.db"), "latin1"),
    );
    expect(await site.fileText(files.get("/var/lib/cyrus/user/a/anna.sub"))).toBe("user.anna\n");
    expect(await site.fileText(files.get("/etc/imapd.conf"))).toContain("servername: tiny");
    expect(files.has("/etc/cyrus.conf")).toBe(true);
  });

  test("keeps what the index and the list say of a mailbox, and its small files", async () => {
    using site = await twoMailboxes();
    const entry = (await site.mailboxes(await site.backUp())).get("user.anna");
    expect(entry).toMatchObject({
      partition: "default",
      mailboxType: "e",
      acl: "anna\tlrs\t",
      listed: true,
      uidvalidity: 1_700_000_000,
      lastUid: 3,
      highestModseq: 5n,
      indexVersion: 17,
      messages: 3,
      openFindings: 0,
      racy: false,
    });
    expect(entry?.files.map(({ name }) => name)).toEqual(["cyrus.header", "cyrus.index"]);
    expect(await site.fileText(entry?.files[1])).toBe(
      readFileSync(join(entryDirectory(site, "user.anna"), "cyrus.index"), "latin1"),
    );
  });

  test("names what was left out, and keeps the text mailbox list", async () => {
    using site = await twoMailboxes();
    const result = await site.backUp();
    const root = await site.root(result);
    const leftOut = root.leftOut.map(({ path }) => path);
    expect(leftOut).toContain("/var/lib/cyrus/proc");
    expect(leftOut).toContain("/var/lib/cyrus/deliver.db");
    expect(await site.fileText({ content: root.mailboxList as never })).toContain("user.anna");
  });

  test("stores an attachment once that two messages have", async () => {
    using site = await Site.make();
    const texts = [mailWithAttachment("first", "a.pdf"), mailWithAttachment("second", "a.pdf")];
    site.server.add("user.anna", texts);
    const result = await site.backUp();
    expect(result.bytes.added).toBeLessThan(70_000);
    const messages = await site.messages(result, "user.anna");
    expect([...messages.values()].map(({ text }) => text)).toEqual(
      texts.map((text) => text.toString("latin1")),
    );
  });

  test("stores a message once that lies in two mailboxes, and knows the links", async () => {
    using site = await twoMailboxes();
    const [anna, bob] = [site.server.mailboxes.get("user.anna"), site.server.mailboxes.get("user.bob")];
    if (anna === undefined || bob === undefined) throw new Error("no mailboxes");
    site.server.copy(anna, 1, bob);
    const result = await site.backUp();
    expect(result.messages).toEqual({ total: 6, new: 5, read: 6 });
    const [a, b] = [await site.messages(result, "user.anna"), await site.messages(result, "user.bob")];
    expect(a.get(1)?.entry).toMatchObject({ linked: true, inode: b.get(3)?.entry.inode });
    expect(a.get(1)?.entry.object).toEqual(b.get(3)?.entry.object);
    expect(a.get(2)?.entry.linked).toBe(false);
  });

  test("is the same with threads as without", async () => {
    using site = await Site.make();
    const texts = Array.from({ length: 300 }, (_, i) =>
      i % 10 === 0 ? mailWithAttachment(`m${i}`, `a${i % 3}`) : mail(`m${i}`),
    );
    site.server.add("user.anna", texts);
    site.server.add("user.bob", texts.slice(0, 50));
    const result = await site.backUp({ threads: 2 });
    expect(result.messages).toEqual({ total: 350, new: 300, read: 350 });
    for (const [mailbox, count] of [
      ["user.anna", 300],
      ["user.bob", 50],
    ] as const) {
      const messages = await site.messages(result, mailbox);
      expect([...messages.values()].map(({ text }) => text)).toEqual(
        texts.slice(0, count).map((text) => text.toString("latin1")),
      );
    }
  });
});

describe("the second backup", () => {
  test("of an unchanged server reads no message, lists no directory, stores next to nothing", async () => {
    using site = await twoMailboxes();
    const first = await site.backUp();
    await site.reopen();
    const second = await site.backUp();
    expect(second).toMatchObject({
      parent: first.backup,
      mailboxes: { total: 2, new: 0, changed: 0, unchanged: 2, gone: 0 },
      messages: { total: 5, ...NOTHING_READ },
      directories: { listed: 0 },
    });
    expect(second.directories.total).toBe(first.directories.total);
    expect(second.bytes.read).toBe(0);
    expect(second.bytes.stored).toBeLessThan(64 * 1024);
    expect((await site.root(second)).mailboxes).toEqual((await site.root(first)).mailboxes);
    expect((await site.root(second)).files).toEqual((await site.root(first)).files);
  });

  test("looks again at what changed just before the first one's cut, by content", async () => {
    using site = await twoMailboxes();
    const first = await site.backUp({}, { aged: false });
    expect((await site.mailboxes(first)).get("user.anna")?.racy).toBe(true);
    const second = await site.backUp();
    expect(second.directories.listed).toBe(second.directories.total);
    expect(second).toMatchObject({ mailboxes: { changed: 2 }, messages: NOTHING_READ });
    const third = await site.backUp();
    expect(third).toMatchObject({ mailboxes: { unchanged: 2 }, directories: { listed: 0 } });
  });

  test("finds a change of the same size and times that came within the same tick as the cut", async () => {
    using site = await twoMailboxes();
    const path = site.server.path("var/lib/cyrus/annotations.db");
    await site.backUp({}, { aged: false });
    const { atime, mtime } = statSync(path);
    writeFileSync(path, "ANNOTATIONS");
    utimesSync(path, atime, mtime);
    const files = await site.files(await site.backUp());
    expect(await site.fileText(files.get("/var/lib/cyrus/annotations.db"))).toBe("ANNOTATIONS");
  });

  test("takes a changed flag without reading a message or listing the mailbox", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna?.messages[0] === undefined) throw new Error("no message");
    anna.messages[0].flagWord = 2;
    site.server.writeIndex(anna);
    const second = await site.backUp();
    expect(second).toMatchObject({
      mailboxes: { changed: 1, unchanged: 1 },
      messages: { total: 5, ...NOTHING_READ },
      directories: { listed: 0 },
      findings: [],
    });
    const entry = (await site.mailboxes(second)).get("user.anna");
    expect(await site.fileText(entry?.files[1])).toBe(
      readFileSync(join(entryDirectory(site, "user.anna"), "cyrus.index"), "latin1"),
    );
    expect((await site.messages(second, "user.anna")).size).toBe(3);
  });

  test("reads only the message that is new", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    site.server.append(anna, "six");
    const second = await site.backUp();
    expect(second).toMatchObject({ messages: { total: 6, new: 1, read: 1 }, directories: { listed: 1 } });
    expect((await site.messages(second, "user.anna")).get(4)?.text).toBe(mail("six").toString("latin1"));
  });

  test("drops an expunged message and keeps the others unread", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    rmSync(site.server.message(anna, 2));
    anna.messages.splice(1, 1);
    site.server.writeIndex(anna);
    const second = await site.backUp();
    expect(second).toMatchObject({ messages: { total: 4, ...NOTHING_READ }, findings: [] });
    expect([...(await site.messages(second, "user.anna")).keys()]).toEqual([1, 3]);
  });

  test("knows a renamed mailbox by its uniqueid and reads none of its messages", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    site.server.rename(anna, "user.zoe");
    const second = await site.backUp();
    expect(second.mailboxes).toMatchObject({ total: 2, new: 0, gone: 0, renamed: 1 });
    expect(second.messages).toEqual({ total: 5, ...NOTHING_READ });
    expect([...(await site.mailboxes(second)).keys()]).toEqual(["user.bob", "user.zoe"]);
  });

  test("knows a deleted mailbox whose name was taken by a new one", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    site.server.rename(anna, "DELETED.user.anna.5F000000");
    site.server.add("user.anna", ["brand new"], { uniqueid: "0123456789abcdef01234567" });
    const second = await site.backUp();
    expect(second.mailboxes).toMatchObject({ total: 3, new: 1, gone: 0, renamed: 1 });
    expect(second.messages).toEqual({ total: 6, new: 1, read: 1 });
    expect([...(await site.messages(second, "user.anna")).values()].map(({ text }) => text)).toEqual([
      mail("brand new").toString("latin1"),
    ]);
    expect((await site.messages(second, "DELETED.user.anna.5F000000")).size).toBe(3);
  });

  test("counts a mailbox as gone whose name was taken by a new one", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const bob = site.server.mailboxes.get("user.bob");
    if (bob === undefined) throw new Error("no mailbox");
    site.server.remove(bob);
    site.server.add("user.bob", ["brand new"], { uniqueid: "0123456789abcdef01234567" });
    expect((await site.backUp()).mailboxes).toMatchObject({ total: 2, new: 1, gone: 1, renamed: 0 });
  });

  test("no longer has a mailbox that was removed, and says how many are gone", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const bob = site.server.mailboxes.get("user.bob");
    if (bob === undefined) throw new Error("no mailbox");
    site.server.remove(bob);
    const second = await site.backUp();
    expect(second).toMatchObject({
      mailboxes: { total: 1, gone: 1, unchanged: 1 },
      messages: { total: 3, ...NOTHING_READ },
      findings: [],
    });
  });

  test("reads everything of a mailbox whose uidvalidity is another", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    anna.uidvalidity++;
    site.server.writeMailbox(anna);
    site.server.writeList();
    const second = await site.backUp();
    expect(second).toMatchObject({ messages: { total: 5, new: 0, read: 3 }, mailboxes: { changed: 1 } });
    expect((await site.messages(second, "user.anna")).size).toBe(3);
  });

  test("takes name, ACL and type of an unchanged mailbox from the list of today", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const { server } = site;
    const anna = server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    server.mailboxes.delete("user.anna");
    server.writeList([
      {
        name: "user.anna" as never,
        uniqueid: anna.uniqueid as never,
        uidvalidity: anna.uidvalidity,
        acl: [{ identifier: "carla" as never, rights: "lr" as never }],
      },
    ]);
    const second = await site.backUp();
    expect(second.mailboxes.unchanged).toBe(2);
    expect((await site.mailboxes(second)).get("user.anna")?.acl).toBe("carla\tlr\t");
  });

  test("with --scrub reads every message again and finds one that has rotted", async () => {
    using site = await twoMailboxes();
    await site.backUp();
    const anna = site.server.mailboxes.get("user.anna");
    if (anna === undefined) throw new Error("no mailbox");
    const path = site.server.message(anna, 2);
    const { atime, mtime } = statSync(path);
    const rotten = readFileSync(path);
    rotten[20] = (rotten[20] as number) ^ 1;
    writeFileSync(path, rotten);
    utimesSync(path, atime, mtime);
    expect((await site.backUp()).messages.read).toBe(0);
    const scrubbed = await site.backUp({ scrub: 1 });
    expect(scrubbed.messages.read).toBe(5);
    expect(codesOf(scrubbed)).toEqual(["message-guid-mismatch"]);
    const stored = (await site.messages(scrubbed, "user.anna")).get(2);
    expect(stored?.text).toBe(rotten.toString("latin1"));
    if (stored?.entry.good === undefined) throw new Error("no good copy");
    expect(await site.text(stored.entry.good)).toBe(mail("two").toString("latin1"));
  });
});

describe("what is asked to be left out", () => {
  test("mailboxes by pattern, and the manifest says so", async () => {
    using site = await twoMailboxes();
    const result = await site.backUp({ excludeMailboxes: ["user.b*"] });
    expect(result.messages).toEqual({ total: 3, new: 3, read: 3 });
    expect((await site.mailboxes(result)).get("user.bob")).toMatchObject({ messages: 0 });
    expect((await site.root(result)).leftOut).toContainEqual(
      expect.objectContaining({ path: "user.bob", reason: expect.stringContaining("--exclude-mailbox") }),
    );
    const second = await site.backUp();
    expect(second.mailboxes).toMatchObject({ total: 2, changed: 1, unchanged: 1 });
    expect(second.messages).toMatchObject({ total: 5, read: 2 });
  });

  test("derivable files, which come back once they are asked for again", async () => {
    using site = await twoMailboxes();
    const cache = join(entryDirectory(site, "user.anna"), "cyrus.cache");
    writeFileSync(cache, "cache");
    const without = await site.backUp({ withoutDerivable: true });
    const fileOf = async (result: typeof without) =>
      (await site.mailboxes(result)).get("user.anna")?.files.find(({ name }) => name === "cyrus.cache");
    expect(await fileOf(without)).toMatchObject({ leftOut: expect.stringContaining("--without-derivable") });
    expect((await fileOf(without))?.content).toBeUndefined();
    const withIt = await site.backUp();
    expect(await site.fileText(await fileOf(withIt))).toBe("cache");
    expect(withIt.messages.read).toBe(0);
  });

  test("search indexes, unless --with-search", async () => {
    using site = await twoMailboxes();
    writeFileSync(
      site.server.path("etc/imapd.conf"),
      `${readFileSync(site.server.path("etc/imapd.conf"), "utf8")}t1searchpartition-default: /var/search\n`,
    );
    site.server.file("var/search/a/index", "xapian");
    expect(
      [...(await site.files(await site.backUp())).keys()].filter((path) => path.includes("search")),
    ).toEqual([]);
    const files = await site.files(await site.backUp({ withSearch: true }));
    expect(await site.fileText(files.get("/var/search/a/index"))).toBe("xapian");
  });
});

describe("an interrupted backup", () => {
  test("leaves a checkpoint, and the next one reads again no more than one interval", async () => {
    using site = await Site.make();
    for (let box = 0; box < 30; box++)
      site.server.add(
        `user.u${String(box).padStart(2, "0")}`,
        ["a", "b", "c", "d"].map((t) => `${t}${box}`),
      );
    const stop = new AbortController();
    const progress = progressThat((mailboxes) => {
      if (mailboxes === 25) stop.abort(new Error("stopped"));
    });
    const interrupted = site.backUp({ checkpointBytes: 1 }, { progress, signal: stop.signal });
    await expect(interrupted).rejects.toThrow("stopped");
    expect(await site.repository.listBackups()).toEqual([]);
    expect((await site.repository.readCheckpoints()).length).toBe(1);
    await site.reopen();
    const next = await site.backUp();
    expect(next.messages.total).toBe(120);
    expect(next.mailboxes.unchanged).toBeGreaterThanOrEqual(24);
    expect(next.messages.read).toBeLessThanOrEqual(120 - 24 * 4);
    expect(await site.repository.readCheckpoints()).toEqual([]);
    for (let box = 0; box < 30; box++)
      expect((await site.messages(next, `user.u${String(box).padStart(2, "0")}`)).size).toBe(4);
  });

  test("in the middle of a mailbox that the parent has whole costs the new messages only", async () => {
    using site = await Site.make();
    const anna = site.server.add(
      "user.anna",
      Array.from({ length: 100 }, (_, i) => `m${i}`),
    );
    await site.backUp();
    site.server.append(anna, "new");
    let asked = 0;
    const stop = { throwIfAborted: () => assertLess(++asked, 80) } as unknown as AbortSignal;
    await expect(site.backUp({ checkpointMs: 0 }, { signal: stop })).rejects.toThrow("stopped");
    expect((await site.repository.readCheckpoints()).length).toBe(1);
    await site.reopen();
    const next = await site.backUp();
    expect(next.messages).toMatchObject({ total: 101, read: 1 });
  });

  test("in the middle of its first mailbox goes on from the last checkpoint", async () => {
    using site = await Site.make();
    const texts = Array.from({ length: 150 }, (_, i) => `m${i}`);
    site.server.add("user.anna", texts);
    let asked = 0;
    const stop = { throwIfAborted: () => assertLess(++asked, 100) } as unknown as AbortSignal;
    await expect(site.backUp({ checkpointMs: 0 }, { signal: stop })).rejects.toThrow("stopped");
    await site.reopen();
    const next = await site.backUp();
    expect(next.messages.total).toBe(150);
    // Some twenty of the questions were asked while the server was looked over.
    expect(next.messages.read).toBeLessThan(80);
    const messages = await site.messages(next, "user.anna");
    expect([...messages.values()].map(({ text }) => text)).toEqual(
      texts.map((text) => mail(text).toString("latin1")),
    );
  });

  test("two mailboxes at a time make one checkpoint at a time", async () => {
    using site = await Site.make();
    for (const name of ["user.anna", "user.bob", "user.carla"])
      site.server.add(
        name,
        Array.from({ length: 150 }, (_, i) => `${name} ${i}`),
      );
    const result = await site.backUp({ checkpointMs: 0 });
    expect(result).toMatchObject({ messages: { total: 450, read: 450 }, findings: [] });
    expect(await site.repository.readCheckpoints()).toEqual([]);
  });

  test("without a checkpoint leaves no backup, and the next one is whole", async () => {
    using site = await twoMailboxes();
    await expect(site.backUp({}, { signal: AbortSignal.abort(new Error("stopped")) })).rejects.toThrow(
      "stopped",
    );
    expect(await site.repository.listBackups()).toEqual([]);
    await site.reopen();
    expect((await site.backUp()).messages.total).toBe(5);
  });
});

describe("a symbolic link below a root", () => {
  test("to a directory elsewhere in the snapshot is walked as part of the partition", async () => {
    using site = await twoMailboxes();
    const { server } = site;
    server.file("disk2/keep", "");
    const from = server.path("var/spool/cyrus/uuid");
    renameSync(from, server.path("disk2/uuid"));
    symlinkSync("/disk2/uuid", from);
    const first = await site.backUp();
    expect(first).toMatchObject({ findings: [], mailboxes: { total: 2 }, messages: { total: 5 } });
    expect((await site.files(first)).get("/var/spool/cyrus/uuid")?.target).toBe("/disk2/uuid");
    const second = await site.backUp();
    expect(second).toMatchObject({ mailboxes: { unchanged: 2 }, directories: { listed: 0 } });
  });

  test("in a partition that leads out of the snapshot is refused", async () => {
    using site = await twoMailboxes();
    symlinkSync("/disk9/mail", site.server.path("var/spool/cyrus/b"));
    await expect(site.backUp()).rejects.toMatchObject({
      code: "SOURCE_INVALID",
      hint: expect.stringContaining("--map"),
    });
  });
});

function assertLess(asked: number, limit: number): void {
  if (asked > limit) throw new Error("stopped");
}

/** @param onMailbox - called with the number of mailboxes that are done. */
function progressThat(onMailbox: (done: number) => void): Progress {
  const progress = new Progress();
  let done: number | undefined;
  const [begin, add] = [progress.beginPhase.bind(progress), progress.add.bind(progress)];
  progress.beginPhase = (phase, ...rest) => {
    if (phase === "mailboxes") done = 0;
    begin(phase, ...rest);
  };
  progress.add = (amount, nowMs) => {
    add(amount, nowMs);
    if (done === undefined || !amount.items) return;
    done += amount.items;
    onMailbox(done);
  };
  return progress;
}

function entryDirectory(site: Site, mailbox: string): string {
  const found = site.server.mailboxes.get(mailbox);
  if (found === undefined) throw new Error(`no mailbox ${mailbox}`);
  return site.server.directory(found);
}
