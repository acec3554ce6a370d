import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import type { DatabaseRecord } from "../../../src/cyrus/database-record.ts";
import { type MailboxListItem, mailboxListStyle, readMailboxList } from "../../../src/cyrus/mailbox-list.ts";
import { encodeMailboxList } from "../../../src/cyrus/mailbox-list-encode.ts";
import { type MailboxListEntry, splitAcl } from "../../../src/cyrus/mailbox-list-entry.ts";
import { normalizeType, typeFromNumber, typeNumber } from "../../../src/cyrus/mailbox-type.ts";
import { readTwoskip } from "../../../src/cyrus/twoskip.ts";
import { fixture, pairs, record, unpackStore } from "./database-fixtures.ts";

const real = readTwoskip(unpackStore().get("conf/mailboxes.db") as Buffer);

function entriesOf(items: Iterable<MailboxListItem>): MailboxListEntry[] {
  return [...items].map((item) => {
    if (item.kind === "bad") throw new Error(`${item.key}: ${item.reason}`);
    return item.entry;
  });
}

function reasons(records: DatabaseRecord[]): string[] {
  return [...readMailboxList(records)].flatMap((item) => (item.kind === "bad" ? [item.reason] : []));
}

describe("readMailboxList() of 3.6", () => {
  test("reads the list of a real server", () => {
    const entries = entriesOf(readMailboxList(real.records));
    expect(mailboxListStyle(real.records)).toBe("dlist-by-id");
    expect(entries.map(({ name }) => name)).toEqual([
      "DELETED.user.fred^smith.Old.6B01F3CC",
      "example.com!user.bob",
      "shared",
      "shared.pub",
      "user.fred^smith",
      "user.fred^smith.Old",
      "user.fred^smith.Renamed",
      "user.fred^smith.Restored",
      "user.fred^smith.Work^2024",
    ]);
    expect(entries[3]).toEqual({
      name: "shared.pub",
      mailboxType: "e",
      acl: [
        { identifier: "anyone", rights: "lrs" },
        { identifier: "fred.smith", rights: "lrswip" },
      ],
      uniqueid: "1tfc17jn0higrn4016p2734p",
      partition: "default",
      uidvalidity: 1795290062,
      createdModseq: 2n,
      folderModseq: 3n,
      mtime: 1795290060,
      legacyDirectories: false,
      remote: false,
      tombstone: false,
      intermediate: false,
      reserved: false,
      history: [],
    });
  });

  test("gives the history of names, and tombstones as such", () => {
    const entries = entriesOf(readMailboxList(real.records));
    expect(entries[6]?.history).toEqual([
      {
        name: "user.fred^smith.Work^2024",
        mailboxType: "ed",
        mtime: 1795290060,
        uidvalidity: 1795290062,
        createdModseq: 4n,
        folderModseq: 30n,
      },
    ]);
    expect(entries[8]).toMatchObject({ tombstone: true, acl: [], history: [] });
    expect(entries[8]?.partition).toBeUndefined();
  });

  test("reads the lists of 3.10 and knows their mailboxes for legacy ones", () => {
    for (const name of ["v19-a", "v19-b", "v19-c"]) {
      const { records } = readTwoskip(fixture(`${name}/conf/mailboxes.db`));
      const entries = entriesOf(readMailboxList(records));
      expect(entries.map((entry) => entry.name)).toContain("user.cassandane");
      for (const entry of entries) expect(entry.legacyDirectories).toBe(true);
    }
  });

  test("skips reverse ACLs and names families that it does not know", () => {
    const items = [
      ...readMailboxList([
        ...real.records,
        record("AU\x1efred\x1e\x1f", ""),
        record("Jabc", "%(N x)"),
        record("Zwhat", "x"),
      ]),
    ];
    expect(items.filter(({ kind }) => kind === "bad")).toEqual([
      { kind: "bad", key: "Zwhat", reason: "its key is of no known family" },
    ]);
    expect(items).toHaveLength(10);
  });

  test("tells remote, reserved and intermediate ones", () => {
    const records = [
      record("Iabc", "%(T e N x H ())"),
      record("Na", "%(T er I ab S imap2 P default A %(anyone lrs))"),
      record("Nb", "%(T ez I ac P default A %())"),
      record("Nc", "%(T eil I ad M 12)"),
      record("Nd", "%(T e I ae S front P default)"),
    ];
    const [a, b, c, d] = entriesOf(readMailboxList(records));
    expect(a).toMatchObject({ remote: true, server: "imap2" });
    expect(b).toMatchObject({ reserved: true, remote: false });
    expect(c).toMatchObject({ intermediate: true, legacyDirectories: true });
    expect(d?.remote).toBe(true);
  });

  test.each([
    ["not a list", "x"],
    ["a list cut short", "%(T e I"],
    ["an unknown type", "%(T e? I abc)"],
    ["a number that is none", "%(T e V soon)"],
    ["a number beyond all bounds", `%(T e V ${"9".repeat(20)})`],
    ["an ACL that is none", "%(T e A (x))"],
    ["nothing", ""],
  ])("reports %s and goes on", (_, value) => {
    const items = [...readMailboxList([...real.records, record("Nzzz", value)])];
    expect(items.at(-1)).toMatchObject({ kind: "bad", key: "Nzzz" });
    expect(items).toHaveLength(10);
  });

  test("refuses names that would leave the spool", () => {
    for (const name of ["Nuser\x1f\x1fx", "Na/b", "Nuser\x1f../..\x1fx", "N..\x1duser\x1fx"])
      expect(reasons([...real.records, record(name, "%(T e I abc P default)")])).toHaveLength(1);
  });
});

describe("readMailboxList() of older versions", () => {
  test("reads the lists of 2.5 to 3.4, also where names begin like families of 3.6", () => {
    const records = [
      record("$RACL$U$fred$user.bob", ""),
      record("$RUNQ$abc", "user.bob"),
      record("Interesting", "%(A %(anyone lrs) I 12ab P default V 5 C 7 F 8 M 9)"),
      record("News.x", "%(A %(anyone lrs) P default T n)"),
      record("user.bob", "%(A %(bob lrswipkxtecda) I 34cd P fast S back1 T r V 5 M 9)"),
    ];
    expect(mailboxListStyle(records)).toBe("dlist");
    const entries = entriesOf(readMailboxList(records));
    expect(entries.map(({ name, mailboxType }) => [name, mailboxType])).toEqual([
      ["Interesting", "e"],
      ["News.x", "n"],
      ["user.bob", "er"],
    ]);
    expect(entries[0]).toMatchObject({ createdModseq: 7n, folderModseq: 8n, legacyDirectories: true });
    expect(entries[2]).toMatchObject({ remote: true, server: "back1", partition: "fast" });
  });

  test("reads the text records of 2.x", () => {
    const records = [
      record("user.a", "0 default a\tlrswipcda\tanyone\tlr\t"),
      record("user.b", "1 back1!fast b\tlrs\t"),
      record("user.c", "(uniqueid 12ab specialuse \\Sent) 0 default c\tlrs\t"),
      record("user.d", "0 default "),
      record("user.e", "0 default broken acl without rights"),
    ];
    expect(mailboxListStyle(records)).toBe("text");
    const [a, b, c, d, e] = entriesOf(readMailboxList(records));
    expect(a?.acl).toEqual([
      { identifier: "a", rights: "lrswipcda" },
      { identifier: "anyone", rights: "lr" },
    ]);
    expect(a?.aclText).toBeUndefined();
    expect(b).toMatchObject({ remote: true, server: "back1", partition: "fast", mailboxType: "er" });
    expect(c).toMatchObject({ uniqueid: "12ab", legacySpecialUse: "\\Sent" });
    expect(d?.acl).toEqual([]);
    expect(e).toMatchObject({ acl: [], aclText: "broken acl without rights" });
  });

  test("reports text records that are none", () => {
    expect(
      reasons([record("a", "0 default x\tlrs\t"), record("b", "default"), record("c", "2048 default ")]),
    ).toEqual(["it is neither a list nor `type partition acl`", "its type 2048 is not known"]);
  });

  test("an empty list has the style of today", () => {
    expect(mailboxListStyle([])).toBe("dlist-by-id");
    expect([...readMailboxList([])]).toEqual([]);
  });

  test("answers on any bytes", () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => Buffer.from(value));
    const value = fc.oneof(
      bytes,
      fc.string({ maxLength: 40 }).map((text) => Buffer.from(`%(T e ${text})`)),
      fc.string({ maxLength: 40 }).map((text) => Buffer.from(`0 ${text}`)),
    );
    const style = fc.constantFrom("text" as const, "dlist" as const, "dlist-by-id" as const, undefined);
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, value)), style, (list, given) => {
        const records = list.map(([key, one]) => ({ key, value: one }));
        try {
          for (const item of readMailboxList(records, given)) expect(item.kind).toMatch(/entry|bad/);
        } catch (error) {
          if (!isCyrvaultError(error)) throw error;
        }
      }),
    );
  });
});

describe("encodeMailboxList()", () => {
  test("writes what 3.6.1 wrote but for the quotes around names", () => {
    const unquoted = (list: [string, string][]) =>
      list.map(([key, value]) => [key, value.replace(/N "([^"]*)"/g, "N $1")]);
    const entries = entriesOf(readMailboxList(real.records));
    expect(unquoted(pairs({ records: encodeMailboxList(entries) }))).toEqual(unquoted(pairs(real)));
  });

  test("what it writes is read back", () => {
    const part = fc.stringMatching(/^[A-Za-z0-9 &+_%*()"\\{-]{1,8}$/).map((text) => text as ByteString);
    const entry = fc.record({
      name: fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => fromText(parts.join("."))),
      mailboxType: fc.constantFrom("e", "el", "c", "fl", "er").map(fromText),
      acl: fc.array(fc.record({ identifier: part, rights: part }), { maxLength: 3 }),
      uniqueid: fc.stringMatching(/^[a-z0-9]{24}$/).map(fromText),
      partition: part,
      uidvalidity: fc.nat(),
      createdModseq: fc.bigInt({ min: 1n, max: 2n ** 63n }),
      folderModseq: fc.bigInt({ min: 1n, max: 2n ** 63n }),
      mtime: fc.nat(),
    });
    const byName = (list: readonly MailboxListEntry[]) =>
      [...list].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    fc.assert(
      fc.property(fc.uniqueArray(entry, { selector: ({ name }) => name, maxLength: 10 }), (list) => {
        const entries = list.map((one) => ({
          ...one,
          legacyDirectories: one.mailboxType.includes("l"),
          remote: one.mailboxType.includes("r"),
          tombstone: false,
          intermediate: false,
          reserved: false,
          history: [],
        }));
        expect(byName(entriesOf(readMailboxList(encodeMailboxList(entries))))).toEqual(byName(entries));
      }),
    );
  });
});

describe("a record as nearly all are", () => {
  const atom: fc.Arbitrary<string> = fc.constantFrom(
    "default",
    "NIL",
    "nil",
    "a",
    "*x",
    "x*",
    "{1",
    "%(",
    "\\\\x",
    'a"b',
    "é",
    "anna@x.org",
    "0",
  );
  const number: fc.Arbitrary<string> = fc.constantFrom(
    "0",
    "7",
    "1736121600",
    "999999999999999",
    "9999999999999999",
    "-1",
    "x",
    "01",
  );
  const acl = fc.array(atom, { maxLength: 5 }).map((words) => ` A %(${words.join(" ")})`);
  const value: fc.Arbitrary<[string, string]> = fc
    .tuple(
      fc.constantFrom<string[]>("e", "el", "le", "de", "i", "r", "ze", "q", "E"),
      atom,
      atom,
      number,
      number,
      number,
      number,
    )
    .chain(([t, i, p, v, c, f, m]) =>
      fc
        .oneof(acl, fc.constantFrom<string[]>("", " A NIL", " A ()", " A %()", " A x", " S s!", " H ()"))
        .map((a) => [t, ` I ${i} P ${p} V ${v} C ${c} F ${f} M ${m}${a})`]),
    );

  test("says the same as by way of its list, or is refused for the same reason", () => {
    fc.assert(
      fc.property(value, ([type, rest]) => {
        const key = Buffer.from("Nuser\x1fanna.b\x1fWork");
        const read = (text: string) => [
          ...readMailboxList([{ key, value: Buffer.from(text, "latin1") }], "dlist-by-id"),
        ];
        // Quotes mean nothing, and a record with them is read by way of its list.
        expect(read(`%(T ${type}${rest}`)).toStrictEqual(read(`%(T "${type}"${rest}`));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("types of mailboxes", () => {
  test.each([
    ["", "e"],
    ["d", "ed"],
    ["le", "el"],
    ["c", "c"],
    ["lc", "cl"],
    ["zrmd", "edmrz"],
  ])("%j is %j in 3.6", (older, newer) => {
    expect(normalizeType(older)).toBe(newer);
  });

  test("the numbers of 2.x to 3.4 become letters and go back", () => {
    for (let number = 0; number < 1 << 11; number++)
      expect(typeNumber(typeFromNumber(number) as string)).toBe(number);
    expect(typeFromNumber(1)).toBe("er");
    expect(typeFromNumber(16 | 32)).toBe("cd");
    expect(typeFromNumber(1 << 11)).toBeUndefined();
    expect(normalizeType("eX")).toBeUndefined();
  });
});

test("splitAcl() takes pairs and leaves out a last one that is half", () => {
  expect(splitAcl(fromText("a\tlrs\tb"))).toEqual([{ identifier: "a", rights: "lrs" }]);
});
