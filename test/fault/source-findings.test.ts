import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fromText } from "../../src/base/byte-string.ts";
import { CyrvaultError } from "../../src/base/errors.ts";
import { codesOf, Site } from "../unit/backup/site.ts";
import { mail, type TinyMailbox } from "../unit/backup/tiny-server.ts";

interface Anna {
  readonly site: Site;
  readonly anna: TinyMailbox;
  readonly index: string;
  readonly header: string;
}

async function withAnna(): Promise<Anna & Disposable> {
  const site = await Site.make();
  const anna = site.server.add("user.anna", ["one", "two", "three"]);
  site.server.add("user.bob", ["four"]);
  const directory = site.server.directory(anna);
  return {
    site,
    anna,
    index: join(directory, "cyrus.index"),
    header: join(directory, "cyrus.header"),
    [Symbol.dispose]: () => site[Symbol.dispose](),
  };
}

async function texts(site: Site, result: { backup: string }, mailbox = "user.anna"): Promise<string[]> {
  return [...(await site.messages(result, mailbox)).values()].map(({ text }) => text);
}

const ALL = ["one", "two", "three"].map((text) => mail(text).toString("latin1"));

function diskError(path: string): CyrvaultError {
  return new CyrvaultError("IO", `cannot read ${path}: EIO`);
}

/** Other bytes of the same length, with the same times: what rots on a disk. */
function rot(path: string): string {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] as number) ^ 0x20;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
  return bytes.toString("latin1");
}

describe("a damaged cyrus.index", () => {
  test("cut at any byte is a finding, and every message is kept all the same", async () => {
    using it = await withAnna();
    const { site, index } = it;
    const whole = readFileSync(index);
    const lengths = new Set([0, 1, 23, 24, 100, 159, 160, 161, 263, 264, 400, whole.length - 1]);
    for (const length of lengths) {
      writeFileSync(index, whole);
      truncateSync(index, length);
      const result = await site.backUp();
      expect(codesOf(result), `cut at ${length}`).toContain("index-damaged");
      expect(result.incomplete).toBe(true);
      expect((await texts(site, result)).sort(), `cut at ${length}`).toEqual([...ALL].sort());
      const entry = (await site.mailboxes(result)).get("user.anna");
      const kept = await site.fileText(entry?.files.find(({ name }) => name === "cyrus.index"));
      expect(kept).toBe(whole.subarray(0, length).toString("latin1"));
    }
  });

  test.each([
    ["the header's CRC", 30, "index-damaged"],
    ["a record's CRC", 128 + 104 + 40, "index-record-damaged"],
  ])("with %s wrong is a finding each day until it is put right", async (_, offset, code) => {
    using it = await withAnna();
    const { site, index } = it;
    await site.backUp();
    const whole = readFileSync(index);
    const broken = Buffer.from(whole);
    broken[offset] = (broken[offset] as number) ^ 1;
    writeFileSync(index, broken);
    for (const again of [await site.backUp(), await site.backUp()]) {
      expect(codesOf(again)).toContain(code);
      expect(await texts(site, again)).toEqual(ALL);
      expect(again.mailboxes.unchanged).toBe(1);
    }
    writeFileSync(index, whole);
    const healed = await site.backUp();
    expect(healed.findings).toEqual([]);
    expect((await site.backUp()).mailboxes.unchanged).toBe(2);
  });

  test("that is absent is a finding, and the messages are kept", async () => {
    using it = await withAnna();
    rmSync(it.index);
    const result = await it.site.backUp();
    expect(codesOf(result)).toContain("index-missing");
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test("with bytes of an append that was never committed is a note", async () => {
    using it = await withAnna();
    appendFileSync(it.index, Buffer.alloc(104, 7));
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "index-uncommitted-records", severity: "note" }]);
    expect(result.incomplete).toBe(false);
  });

  test("with records out of order keeps all messages, once each", async () => {
    using it = await withAnna();
    it.anna.messages.reverse();
    it.site.server.writeIndex(it.anna);
    const result = await it.site.backUp();
    expect(codesOf(result)).toEqual(["index-damaged"]);
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test("with GUIDs of zero is a note, and every message is kept", async () => {
    using it = await withAnna();
    for (const message of it.anna.messages) message.guid = new Uint8Array(20);
    it.site.server.writeIndex(it.anna);
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "guid-absent", severity: "note" }]);
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test("of another moment than cyrus.header is a warning", async () => {
    using it = await withAnna();
    it.site.server.writeIndex(it.anna, { headerFileCrc: 12345 });
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "header-index-mismatch", severity: "warning" }]);
  });

  test("with a sync checksum that does not come out is a warning", async () => {
    using it = await withAnna();
    it.site.server.writeIndex(it.anna, { syncCrcBasic: 12345 });
    expect(codesOf(await it.site.backUp())).toEqual(["sync-crc-mismatch"]);
  });
});

describe("a cyrus.header", () => {
  test.each([
    ["that is absent", (path: string) => rmSync(path), "header-missing"],
    ["that is none", (path: string) => writeFileSync(path, "rubbish"), "header-damaged"],
    ["that is empty", (path: string) => truncateSync(path, 0), "header-damaged"],
  ])("%s is a finding, and the mailbox keeps its name, index and messages", async (_, harm, code) => {
    using it = await withAnna();
    harm(it.header);
    const result = await it.site.backUp();
    expect(codesOf(result)).toContain(code);
    expect((await it.site.mailboxes(result)).get("user.anna")).toMatchObject({ messages: 3, lastUid: 3 });
    expect(await texts(it.site, result)).toEqual(ALL);
  });
});

describe("a message", () => {
  test("that is not what its GUID says is kept as read; there is no earlier copy", async () => {
    using it = await withAnna();
    const rotten = rot(it.site.server.message(it.anna, 2));
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "message-guid-mismatch", severity: "error", uid: 2 }]);
    expect(result.findings[0]?.message).toContain("no earlier backup has a good copy");
    const stored = (await it.site.messages(result, "user.anna")).get(2);
    expect(stored?.text).toBe(rotten);
    expect(stored?.entry.good).toBeUndefined();
    expect(stored?.entry.size).toBe(rotten.length);
  });

  test("that is no longer what its GUID says keeps the good copy beside, and goes on doing so", async () => {
    using it = await withAnna();
    const { site } = it;
    await site.backUp();
    const rotten = rot(site.server.message(it.anna, 2));
    site.server.writeMailbox(it.anna);
    for (const result of [await site.backUp({ scrub: 1 }), await site.backUp(), await site.backUp()]) {
      expect(codesOf(result)).toEqual(["message-guid-mismatch"]);
      const stored = (await site.messages(result, "user.anna")).get(2);
      expect(stored?.text).toBe(rotten);
      if (stored?.entry.good === undefined) throw new Error("the good copy was lost");
      expect(await site.text(stored.entry.good)).toBe(ALL[1]);
    }
  });

  test("whose file is gone is an error, and there is nothing to keep", async () => {
    using it = await withAnna();
    rmSync(it.site.server.message(it.anna, 2));
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "message-missing", severity: "error", uid: 2 }]);
    expect([...(await it.site.messages(result, "user.anna")).keys()]).toEqual([1, 3]);
  });

  test("whose file is gone keeps the copy of an earlier backup, day after day, until it is back", async () => {
    using it = await withAnna();
    const { site } = it;
    await site.backUp();
    const path = site.server.message(it.anna, 2);
    const bytes = readFileSync(path);
    rmSync(path);
    for (const result of [await site.backUp(), await site.backUp(), await site.backUp()]) {
      expect(result.findings).toMatchObject([{ code: "message-missing", uid: 2 }]);
      expect(result.findings[0]?.message).toContain("the copy of an earlier backup is kept");
      expect(await texts(site, result)).toEqual(ALL);
      expect((await site.messages(result, "user.anna")).get(2)?.entry.size).toBe(bytes.length);
    }
    writeFileSync(path, bytes);
    const healed = await site.backUp();
    expect(healed.findings).toEqual([]);
    expect((await site.messages(healed, "user.anna")).get(2)?.entry.size).toBeUndefined();
  });

  test("that the index does not know is kept, with a note", async () => {
    using it = await withAnna();
    writeFileSync(it.site.server.message(it.anna, 9), "From: x\r\n\r\nleft over\r\n");
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "message-unlisted", severity: "note", uid: 9 }]);
    expect((await it.site.messages(result, "user.anna")).get(9)?.text).toContain("left over");
  });

  test("of another size than the index says is an error even where the GUID is right", async () => {
    using it = await withAnna();
    const message = it.anna.messages[1];
    if (message === undefined) throw new Error("no message");
    message.size = 7;
    it.site.server.writeIndex(it.anna);
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([{ code: "message-size-mismatch", uid: 2 }]);
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test.each([
    ["a directory", (path: string) => mkdirSync(path)],
    ["a symbolic link", (path: string) => symlinkSync("/etc/imapd.conf", path)],
  ])("in whose place there is %s counts as missing", async (_, make) => {
    using it = await withAnna();
    await it.site.backUp();
    const path = it.site.server.message(it.anna, 2);
    rmSync(path);
    make(path);
    const result = await it.site.backUp();
    expect(codesOf(result)).toContain("message-missing");
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test("that cannot be read is tried again each time, though its directory has not changed", async () => {
    using it = await withAnna();
    const { site, anna } = it;
    const path = site.server.message(anna, 2);
    const { SourceFile } = await import("../../src/source/read-file.ts");
    const read = SourceFile.prototype.readInto;
    SourceFile.prototype.readInto = function (target, offset) {
      if (this.path.endsWith("/2.")) throw diskError(path);
      return read.call(this, target, offset);
    };
    try {
      const result = await site.backUp();
      expect(result.findings).toMatchObject([{ code: "file-unreadable", severity: "error", uid: 2 }]);
      expect([...(await site.messages(result, "user.anna")).keys()]).toEqual([1, 3]);
    } finally {
      SourceFile.prototype.readInto = read;
    }
    const healed = await site.backUp();
    expect(healed.findings).toEqual([]);
    expect(await texts(site, healed)).toEqual(ALL);
  });

  test("that could not be read and was accepted is read as soon as its mailbox changes", async () => {
    using it = await withAnna();
    const { site, anna } = it;
    const { SourceFile } = await import("../../src/source/read-file.ts");
    const read = SourceFile.prototype.readInto;
    SourceFile.prototype.readInto = function (target, offset) {
      if (this.path.endsWith("/2.")) throw diskError(this.path);
      return read.call(this, target, offset);
    };
    try {
      await site.backUp({}, { acceptRules: ["file-unreadable"] });
    } finally {
      SourceFile.prototype.readInto = read;
    }
    if (anna.messages[0]) anna.messages[0].flagWord = 2;
    site.server.writeIndex(anna);
    const result = await site.backUp({}, { acceptRules: ["file-unreadable"] });
    expect(codesOf(result)).not.toContain("message-missing");
    expect(await texts(site, result)).toEqual(ALL);
  });

  test("that was kept from an earlier backup survives its record's damage, with its size", async () => {
    using it = await withAnna();
    const { site, index } = it;
    await site.backUp();
    rmSync(site.server.message(it.anna, 2));
    const broken = readFileSync(index);
    const at = broken.readUInt32BE(12) + broken.readUInt32BE(16) + 40;
    broken[at] = (broken[at] as number) ^ 1;
    writeFileSync(index, broken);
    const result = await site.backUp();
    expect(codesOf(result)).toEqual(expect.arrayContaining(["index-record-damaged", "message-missing"]));
    const stored = (await site.messages(result, "user.anna")).get(2);
    expect(stored?.text).toBe(ALL[1]);
    expect(stored?.entry.size).toBe(ALL[1]?.length);
  });
});

describe("the mailbox list", () => {
  test.each([
    ["of an unknown engine", "this is no database that anybody knows"],
    [
      "of Berkeley DB",
      Buffer.concat([Buffer.alloc(12), Buffer.from([0x62, 0x31, 0x05, 0]), Buffer.alloc(496)]),
    ],
    ["that is empty", ""],
  ])(
    "%s is kept raw, said to be unreadable, and mailboxes are found by their directories",
    async (_, content) => {
      using it = await withAnna();
      it.site.server.file("var/lib/cyrus/mailboxes.db", content);
      const result = await it.site.backUp();
      if (content !== "") {
        expect(codesOf(result).some((code) => code.startsWith("database-"))).toBe(true);
        expect(result.incomplete).toBe(true);
      }
      expect([...(await it.site.mailboxes(result)).keys()]).toEqual(["user.anna", "user.bob"]);
      const files = await it.site.files(result);
      expect(await it.site.fileText(files.get("/var/lib/cyrus/mailboxes.db"))).toBe(
        content.toString("latin1"),
      );
      expect(await texts(it.site, result)).toEqual(ALL);
    },
  );

  test.each([
    ["absent", (path: string) => rmSync(path)],
    [
      "a directory",
      (path: string) => {
        rmSync(path);
        mkdirSync(path);
      },
    ],
    ["cut", (path: string) => truncateSync(path, statSync(path).size - 20)],
    ["cut in its header", (path: string) => truncateSync(path, 30)],
  ])("that is %s ends nothing, and loses no mailbox", async (_, harm) => {
    using it = await withAnna();
    harm(it.site.server.path("var/lib/cyrus/mailboxes.db"));
    const result = await it.site.backUp();
    expect(result.incomplete).toBe(true);
    expect([...(await it.site.mailboxes(result)).keys()]).toEqual(["user.anna", "user.bob"]);
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test("with two names for one uniqueid keeps the directory once and says so", async () => {
    using it = await withAnna();
    it.site.server.writeList([
      { name: fromText("user.anna2"), uniqueid: fromText(it.anna.uniqueid), uidvalidity: 1 },
    ]);
    const result = await it.site.backUp();
    expect(codesOf(result)).toContain("uniqueid-duplicate");
    expect((await it.site.mailboxes(result)).size).toBe(2);
    expect(await texts(it.site, result)).toEqual(ALL);
  });

  test.each([["user...etc"], ["user.a/../../etc"], ["user.x\x01y"]])(
    "with the name %j, which leads nowhere, is an error and the rest is kept",
    async (name) => {
      using it = await withAnna();
      it.site.server.writeList([{ name: fromText(name), uniqueid: fromText("ffffffffffff") }]);
      const result = await it.site.backUp();
      expect(codesOf(result)).toContain("mailbox-name-invalid");
      expect([...(await it.site.mailboxes(result)).keys()]).toEqual(["user.anna", "user.bob"]);
    },
  );

  test("that names a mailbox without a directory is an error", async () => {
    using it = await withAnna();
    it.site.server.writeList([{ name: fromText("user.lost"), uniqueid: fromText("eeeeeeee") }]);
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([
      { code: "mailbox-missing", severity: "error", mailbox: "user.lost" },
    ]);
  });

  test("that names a mailbox of another server of a Murder says nothing of it", async () => {
    using it = await withAnna();
    it.site.server.writeList([
      {
        name: fromText("user.far"),
        uniqueid: fromText("dddddddd"),
        mailboxType: fromText("er"),
        server: fromText("other.example.com"),
        remote: true,
      },
    ]);
    const result = await it.site.backUp();
    expect(result.findings).toEqual([]);
  });

  test("that does not name a directory keeps that mailbox by its header's name, with a warning", async () => {
    using it = await withAnna();
    it.site.server.mailboxes.delete("user.bob");
    it.site.server.writeList();
    const result = await it.site.backUp();
    expect(result.findings).toMatchObject([
      { code: "mailbox-unlisted", severity: "warning", mailbox: "user.bob" },
    ]);
    expect((await it.site.mailboxes(result)).get("user.bob")).toMatchObject({ listed: false, messages: 1 });
  });
});

describe("findings", () => {
  test("are repeated while they hold, and know since when", async () => {
    using it = await withAnna();
    const { site } = it;
    rmSync(site.server.message(it.anna, 2));
    const [first, second] = [await site.backUp(), await site.backUp()];
    expect(second.findings[0]?.sinceMs).toBe(first.timeMs);
  });

  test("of a mailbox that is taken over unread are kept", async () => {
    using it = await withAnna();
    const { site } = it;
    writeFileSync(site.server.message(it.anna, 9), "From: x\r\n\r\nleft over\r\n");
    await site.backUp();
    const second = await site.backUp();
    expect(second).toMatchObject({ mailboxes: { unchanged: 2 }, messages: { read: 0 } });
    expect(codesOf(second)).toEqual(["message-unlisted"]);
  });

  test("that were accepted are counted, do not make the backup incomplete, and cost nothing each day", async () => {
    using it = await withAnna();
    const { site } = it;
    rmSync(site.server.message(it.anna, 2));
    const accepted = { acceptRules: ["message-missing"] };
    const first = await site.backUp({}, accepted);
    expect(first).toMatchObject({ incomplete: false, findings: [{ accepted: true }] });
    const second = await site.backUp({}, accepted);
    expect(second).toMatchObject({
      incomplete: false,
      findings: [{ accepted: true }],
      mailboxes: { unchanged: 2 },
    });
  });
});

describe("odd files of the server", () => {
  test("sockets and pipes are noted each day and left out", async () => {
    using it = await withAnna();
    const { site } = it;
    const path = site.server.path("var/lib/cyrus/user/odd");
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(path, resolve));
    for (const result of [await site.backUp(), await site.backUp()]) {
      expect(result.findings).toMatchObject([{ code: "special-file", severity: "note" }]);
      expect((await site.files(result)).has("/var/lib/cyrus/user/odd")).toBe(false);
    }
    await new Promise((resolve) => listener.close(resolve));
    rmSync(path, { force: true });
    expect((await site.backUp()).findings).toEqual([]);
  });

  test("a name that is not UTF-8 comes back byte for byte", async () => {
    using it = await withAnna();
    const name = Buffer.concat([
      Buffer.from(`${it.site.server.path("var/lib/cyrus/user")}/`),
      Buffer.from([0xfc]),
    ]);
    writeFileSync(name, "umlaut");
    const files = await it.site.files(await it.site.backUp());
    expect(await it.site.fileText(files.get("/var/lib/cyrus/user/\xfc"))).toBe("umlaut");
  });

  test("a directory that cannot be listed is an error, and is looked at again next time", async () => {
    using it = await withAnna();
    const { site } = it;
    // Root reads everything: an unlistable directory is made by a listing that fails once.
    const directory = site.server.path("var/lib/cyrus/user");
    const fs = (await import("node:fs")).default;
    const { syncBuiltinESMExports } = await import("node:module");
    const read = fs.readdirSync;
    fs.readdirSync = ((path: never, options: never) => {
      if (String(path) === directory) throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
      return read(path, options);
    }) as never;
    syncBuiltinESMExports();
    try {
      const result = await site.backUp();
      expect(result.findings).toMatchObject([{ code: "file-unreadable", path: "/var/lib/cyrus/user" }]);
    } finally {
      fs.readdirSync = read;
      syncBuiltinESMExports();
    }
    const healed = await site.backUp();
    expect(healed.findings).toEqual([]);
    expect((await site.files(healed)).has("/var/lib/cyrus/user/a/anna.sub")).toBe(true);
  });

  test("a file that becomes another is read anew", async () => {
    using it = await withAnna();
    const { site } = it;
    await site.backUp();
    site.server.file("var/lib/cyrus/annotations.db", "other bytes");
    chmodSync(site.server.path("var/lib/cyrus/user/a/anna.sub"), 0o600);
    const files = await site.files(await site.backUp());
    expect(await site.fileText(files.get("/var/lib/cyrus/annotations.db"))).toBe("other bytes");
    expect((files.get("/var/lib/cyrus/user/a/anna.sub")?.stat.mode ?? 0) & 0o777).toBe(0o600);
  });
});
