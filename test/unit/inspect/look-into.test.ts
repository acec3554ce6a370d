import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { type IndexRecord, parseIndex } from "../../../src/cyrus/index-reader.ts";
import { encodeIndex } from "../../../src/cyrus/index-writer.ts";
import { encodeMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { addAcceptRules, readAcceptRules } from "../../../src/inspect/accepted.ts";
import { chooseBackup, listBackups } from "../../../src/inspect/backups.ts";
import { findMessage, messageBytes, parseUid } from "../../../src/inspect/cat.ts";
import { diffBackups, diffMessages } from "../../../src/inspect/diff.ts";
import { listFindings } from "../../../src/inspect/findings.ts";
import { listMailboxes, listMessages } from "../../../src/inspect/ls.ts";
import { findMailbox } from "../../../src/inspect/mailbox-selector.ts";
import { backupStats, repositoryStats } from "../../../src/inspect/stats.ts";
import type { Finding } from "../../../src/manifest/finding.ts";
import { newPlain } from "../store/repository-fixture.ts";
import { storeBackup, type TinyMailbox } from "./tiny-backup.ts";

const FIXTURE = join(import.meta.dirname, "../../fixtures/cyrus/v12/version12");
const SAMPLE = parseIndex(readFileSync(join(FIXTURE, "cyrus.index")));
const HEADER = encodeMailboxHeader({
  name: fromText("user.anna"),
  uniqueId: fromText("u1"),
  mailboxType: fromText("e"),
  jmapId: undefined,
  acl: fromText(""),
  quotaRoot: undefined,
  flagNames: [fromText("$Work"), undefined, fromText("Later")],
});
const OPTIONS = { server: undefined, nowMs: 1_770_000_000_000 };
const DAY_MS = 86_400_000;

const unreadable = () => {
  throw new Error("every backup can be read");
};

function index(...records: Partial<IndexRecord>[]): Buffer {
  const [template] = SAMPLE.records;
  if (template === undefined) throw new Error("the fixture has records");
  return encodeIndex(
    { ...SAMPLE.header, recordCount: records.length },
    records.map((record) => ({ ...template, flagWord: 0, userFlags: [0, 0, 0, 0], ...record })),
  );
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const anna: TinyMailbox = {
  name: "user.anna",
  uniqueid: "u1",
  messages: { 1: "Subject: one\r\n\r\n1", 3: "Subject: three\r\n\r\n3" },
  header: HEADER,
  index: index(
    { uid: 1, size: 17, flagWord: 0b10010, userFlags: [0b101, 0, 0, 0] },
    { uid: 2 },
    { uid: 3, flagWord: 0x8000_0000 },
  ),
};

describe("ls and cat", () => {
  test("mailboxes are listed by name, and by a pattern", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, {
      mailboxes: [anna, { name: "user.anna.Gr&APYA3w-e" }, { name: "user.berta" }],
    });
    const names = async (pattern?: string) =>
      (await all(listMailboxes(root, repository.objects, pattern))).map(({ mailbox }) => mailbox);
    expect(await names()).toEqual(["user.anna", "user.anna.Gr&APYA3w-e", "user.berta"]);
    expect(await names("user.%")).toEqual(["user.anna", "user.berta"]);
    expect(await names("user/anna/*")).toEqual(["user.anna.Gr&APYA3w-e"]);
    expect(await names("user.anna.Grö*")).toEqual(["user.anna.Gr&APYA3w-e"]);
    expect(await names("user.anna.Größe*")).toEqual(["user.anna.Gr&APYA3w-e"]);
    const [first] = await all(listMailboxes(root, repository.objects));
    expect(first).toEqual({
      mailbox: "user.anna",
      uniqueid: "u1",
      partition: "default",
      messages: 2,
      bytes: 36,
      uidvalidity: 7,
      lastUid: 3,
    });
  });

  test.each(["user.anna", "user/anna"])("a mailbox is found as %s", async (name) => {
    const repository = await newPlain();
    const root = await storeBackup(repository, { mailboxes: [anna] });
    expect((await findMailbox(root, repository.objects, name)).name).toBe("user.anna");
  });

  test("a mailbox is found by its name in UTF-8 and with its domain behind", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, {
      mailboxes: [{ name: "example.org!user.fred^smith.Gr&APYA3w-e" }],
    });
    const found = await findMailbox(root, repository.objects, "user/fred.smith/Größe@example.org");
    expect(found.name).toBe("example.org!user.fred^smith.Gr&APYA3w-e");
    await expect(findMailbox(root, repository.objects, "user.nobody")).rejects.toMatchObject({
      code: "MAILBOX_NOT_FOUND",
    });
  });

  test("messages come with what the index says of them", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, { mailboxes: [anna] });
    const mailbox = await findMailbox(root, repository.objects, "user.anna");
    const lines = await all(listMessages(mailbox, repository.objects));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({
      uid: 1,
      size: 17,
      flags: ["\\Flagged", "\\Seen", "$Work", "Later"],
      expunged: false,
      subject: "one",
      from: null,
    });
    expect(lines[0]?.guid).toMatch(/^[0-9a-f]{40}$/);
    expect(lines[0]?.internalDate).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(lines[1]).toMatchObject({ uid: 3, expunged: true, flags: [], subject: "three" });
  });

  test("an index that cannot be understood leaves the messages, without flags and dates", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, { mailboxes: [{ ...anna, index: Buffer.alloc(300, 7) }] });
    const mailbox = await findMailbox(root, repository.objects, "user.anna");
    const lines = await all(listMessages(mailbox, repository.objects));
    expect(lines.map(({ uid, internalDate, flags }) => ({ uid, internalDate, flags }))).toEqual([
      { uid: 1, internalDate: null, flags: [] },
      { uid: 3, internalDate: null, flags: [] },
    ]);
  });

  test("a message is given byte for byte, one that is not there is an error", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, { mailboxes: [anna] });
    const mailbox = await findMailbox(root, repository.objects, "user.anna");
    const entry = await findMessage(mailbox, 3, repository.objects);
    const bytes = Buffer.concat(await all(messageBytes(entry, repository.objects)));
    expect(bytes.toString("latin1")).toBe("Subject: three\r\n\r\n3");
    await expect(findMessage(mailbox, 2, repository.objects)).rejects.toMatchObject({
      code: "MESSAGE_NOT_FOUND",
    });
  });

  test.each(["", "0", "-1", "1.5", "4294967296", "1e3", "x"])("%j is no UID", (text) => {
    expect(() => parseUid(text)).toThrow("not a UID");
  });
});

describe("backups", () => {
  test("they are listed oldest first and chosen by id, time and latest", async () => {
    const repository = await newPlain();
    const late = await storeBackup(repository, { mailboxes: [anna], timeMs: OPTIONS.nowMs - DAY_MS });
    const early = await storeBackup(repository, { mailboxes: [], timeMs: OPTIONS.nowMs - 3 * DAY_MS });
    const listed = await listBackups(repository, unreadable);
    expect(listed.map(({ backup }) => backup)).toEqual([early.backup, late.backup]);
    const chosen = async (selector: string) =>
      (await chooseBackup(repository, selector, OPTIONS, unreadable)).backup;
    expect(await chosen("latest")).toBe(late.backup);
    expect(await chosen("@2d")).toBe(early.backup);
    expect(await chosen(early.backup)).toBe(early.backup);
    expect(await chosen(early.backup.slice(0, 14))).toBe(early.backup);
    await expect(chosen("1999")).rejects.toMatchObject({ code: "BACKUP_NOT_FOUND" });
    await expect(chosen("20")).rejects.toMatchObject({ code: "BACKUP_AMBIGUOUS" });
  });

  test("latest of several servers is an error unless one is named", async () => {
    const repository = await newPlain();
    await storeBackup(repository, { mailboxes: [], server: "a" });
    const b = await storeBackup(repository, { mailboxes: [], server: "b" });
    await expect(chooseBackup(repository, "latest", OPTIONS, unreadable)).rejects.toMatchObject({
      code: "USAGE",
    });
    const chosen = await chooseBackup(repository, "latest", { ...OPTIONS, server: "b" }, unreadable);
    expect(chosen.backup).toBe(b.backup);
    await expect(
      chooseBackup(repository, b.backup, { ...OPTIONS, server: "a" }, unreadable),
    ).rejects.toMatchObject({ code: "BACKUP_NOT_FOUND" });
  });
});

describe("diff", () => {
  test("mailboxes that came, went, changed and were renamed are told apart", async () => {
    const repository = await newPlain();
    const before = await storeBackup(repository, {
      mailboxes: [anna, { name: "user.b" }, { name: "user.c", uniqueid: "moved" }, { name: "user.same" }],
    });
    const after = await storeBackup(repository, {
      mailboxes: [
        { ...anna, acl: "anna\tlrswip\t", messages: { 3: "Subject: three\r\n\r\n3", 4: "new" } },
        { name: "user.d", uniqueid: "moved" },
        { name: "user.e" },
        { name: "user.same" },
      ],
    });
    expect(await diffBackups(before, after, repository.objects)).toEqual([
      {
        change: "changed",
        mailbox: "user.anna",
        aspects: ["messages", "acl"],
        messages: { added: 1, removed: 1 },
      },
      { change: "removed", mailbox: "user.b", aspects: [], messages: { added: 0, removed: 0 } },
      {
        change: "renamed",
        mailbox: "user.d",
        from: "user.c",
        aspects: [],
        messages: { added: 0, removed: 0 },
      },
      { change: "added", mailbox: "user.e", aspects: [], messages: { added: 0, removed: 0 } },
    ]);
    expect(await diffBackups(before, before, repository.objects)).toEqual([]);
  });

  test("a mailbox is named as renamed where another one has its name now, and another one in its place is changed", async () => {
    const repository = await newPlain();
    const before = await storeBackup(repository, {
      mailboxes: [
        { name: "user.a", uniqueid: "1" },
        { name: "user.b", uniqueid: "2" },
        { name: "user.c", uniqueid: "3" },
        { name: "user.d", uniqueid: "4" },
      ],
    });
    const after = await storeBackup(repository, {
      mailboxes: [
        { name: "DELETED.user.a", uniqueid: "1" },
        { name: "user.a", uniqueid: "9" },
        { name: "user.b", uniqueid: "3" },
        { name: "user.c", uniqueid: "2" },
        { name: "user.d", uniqueid: "8" },
      ],
    });
    const changes = await diffBackups(before, after, repository.objects);
    expect(changes.map(({ change, mailbox, from, aspects }) => [change, mailbox, from, aspects])).toEqual([
      ["renamed", "DELETED.user.a", "user.a", []],
      ["added", "user.a", undefined, []],
      ["renamed", "user.b", "user.c", []],
      ["renamed", "user.c", "user.b", []],
      ["changed", "user.d", undefined, ["uniqueid"]],
    ]);
  });

  test("messages that came and went, and flags, are named", async () => {
    const repository = await newPlain();
    const before = await storeBackup(repository, { mailboxes: [anna] });
    const after = await storeBackup(repository, {
      mailboxes: [
        {
          ...anna,
          messages: { 3: "Subject: three\r\n\r\n3", 4: "new" },
          index: index({ uid: 3, flagWord: 0b10000 }, { uid: 4 }),
        },
      ],
    });
    const [then, now] = await Promise.all([
      findMailbox(before, repository.objects, "user.anna"),
      findMailbox(after, repository.objects, "user.anna"),
    ]);
    expect(await all(diffMessages(then, now, repository.objects))).toEqual([
      { change: "removed", uid: 1 },
      { change: "flags", uid: 3, flagsAdded: ["\\Seen"], flagsRemoved: ["expunged"] },
      { change: "added", uid: 4 },
    ]);
    expect(await all(diffMessages(then, then, repository.objects))).toEqual([]);
    expect(await all(diffMessages(undefined, now, repository.objects))).toHaveLength(2);
    const anew = { ...now, uidvalidity: 8 };
    expect(await all(diffMessages(then, anew, repository.objects))).toHaveLength(4);
  });
});

describe("findings", () => {
  const finding: Finding = {
    code: "guid-absent",
    severity: "error",
    path: fromText("/spool/user/anna/1."),
    mailbox: fromText("user.anna"),
    uid: 1,
    message: "no GUID",
    sinceMs: 5,
    accepted: false,
  };

  test("what is accepted is kept for the server, sealed, and shown with the findings that are there", async () => {
    const repository = await newPlain();
    const root = await storeBackup(repository, { mailboxes: [], findings: [finding] });
    expect(await readAcceptRules(repository, "mail")).toEqual([]);
    const shown = async () =>
      await all(listFindings(root, repository.objects, await readAcceptRules(repository, "mail")));
    expect((await shown())[0]?.accepted).toBe(false);
    await addAcceptRules(repository, "mail", ["file-changed", "guid-absent:user.anna"]);
    await addAcceptRules(repository, "mail", ["file-changed"]);
    expect(await readAcceptRules(repository, "mail")).toEqual(["file-changed", "guid-absent:user.anna"]);
    expect(await shown()).toEqual([{ ...finding, accepted: true }]);
    expect(await readAcceptRules(repository, "another")).toEqual([]);
    await expect(addAcceptRules(repository, "mail", ["Not A Rule"])).rejects.toMatchObject({ code: "USAGE" });
  });
});

describe("stats", () => {
  const context = {
    signal: new AbortController().signal,
    onUnreadable: unreadable,
    onProgress: () => undefined,
  };

  test("objects are counted by kind, once however many backups need them", async () => {
    const repository = await newPlain();
    await storeBackup(repository, { mailboxes: [anna] });
    const root = await storeBackup(repository, { mailboxes: [anna], timeMs: OPTIONS.nowMs });
    const whole = await repositoryStats(repository, context);
    expect(whole).toMatchObject({ backups: 2, mailboxes: 2, messages: 4 });
    expect(whole.bytes.source).toBe(20_000);
    expect(whole.kinds.message).toMatchObject({ objects: 2, bytes: 38 });
    expect(whole.dedupRatio).toBeCloseTo(20_000 / whole.bytes.unique, 2);
    const one = await backupStats(repository, root, context);
    expect(one).toMatchObject({ backups: 1, mailboxes: 1, messages: 2 });
    expect(one.kinds.message.objects).toBe(2);
    expect(one.kinds.manifest.objects).toBe(whole.kinds.manifest.objects);
    expect(one.bytes.stored).toBeLessThan(whole.bytes.stored);
  });
});
