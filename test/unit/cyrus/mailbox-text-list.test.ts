import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { readMailboxList } from "../../../src/cyrus/mailbox-list.ts";
import type { MailboxListEntry } from "../../../src/cyrus/mailbox-list-entry.ts";
import {
  familyOf,
  isOfNewerFamily,
  printTextList,
  type TextListFamily,
  versionFamily,
} from "../../../src/cyrus/mailbox-text-list.ts";
import { readTwoskip } from "../../../src/cyrus/twoskip.ts";
import { fixture, record, unpackStore } from "./database-fixtures.ts";

const plain: MailboxListEntry = {
  name: fromText("user.bob"),
  mailboxType: fromText("e"),
  acl: [{ identifier: fromText("bob"), rights: fromText("lrs") }],
  uniqueid: fromText("abc"),
  partition: fromText("default"),
  legacyDirectories: true,
  remote: false,
  tombstone: false,
  intermediate: false,
  reserved: false,
  history: [],
};

function print(entries: MailboxListEntry[], family: TextListFamily, options = {}): string {
  return Buffer.concat([...printTextList(entries, family, options)]).toString("latin1");
}

function* entriesOf(items: ReturnType<typeof readMailboxList>): Generator<MailboxListEntry> {
  for (const item of items) if (item.kind === "entry") yield item.entry;
}

describe("printTextList() of 3.6", () => {
  test("is byte for byte what a real 3.6.1 prints", () => {
    const { records } = readTwoskip(unpackStore().get("conf/mailboxes.db") as Buffer);
    const printed = Buffer.concat([...printTextList(entriesOf(readMailboxList(records)), "3.6")]);
    expect(printed.equals(fixture("3.6.1/dump.json"))).toBe(true);
  });

  test("escapes as the JSON library of Cyrus does, and leaves UTF-8 as it is", () => {
    const identifier = `a"b\\c\x01\x1f${fromText("ü")}` as ByteString;
    const text = print([{ ...plain, acl: [{ identifier, rights: fromText("\t") }] }], "3.6");
    expect(text).toContain(`"acl": {"a\\"b\\\\c\\u0001\\u001F\xc3\xbc": "\\t"}`);
  });

  test("leaves out what is not UTF-8", () => {
    const latin = "j\xfcrgen" as ByteString;
    expect(print([{ ...plain, acl: [{ identifier: latin, rights: fromText("l") }] }], "3.6")).toContain(
      '"acl": {}',
    );
    expect(
      print([{ ...plain, name: latin }, plain], "3.6")
        .split("\n")
        .slice(0, 2),
    ).toEqual(["{", ","]);
  });

  test("a repeated identifier keeps its place and its last rights", () => {
    const acl = ["a", "b", "a"].map((id, i) => ({ identifier: fromText(id), rights: fromText(String(i)) }));
    expect(print([{ ...plain, acl }], "3.6")).toContain('"acl": {"a": "2", "b": "1"}');
  });

  test("an empty list is an empty object", () => {
    expect(print([], "3.6")).toBe("{\n\n}\n");
  });

  test("is JSON, with jmapId since 3.13", () => {
    const entry = { ...plain, jmapId: fromText("P1"), server: fromText("s") };
    expect(JSON.parse(print([entry], "3.13"))["user.bob"]).toMatchObject({ jmapId: "P1", server: "s" });
    expect(print([entry], "3.6")).not.toContain("jmapId");
  });

  test("names that only have children are printed on request", () => {
    const entry = { ...plain, intermediate: true };
    expect(print([entry], "3.6")).toBe("{\n\n}\n");
    expect(print([entry], "3.6", { intermediate: true })).toContain("user.bob");
  });

  test("a long list comes in pieces", () => {
    function* many(): Generator<MailboxListEntry> {
      for (let i = 0; i < 5000; i++) yield { ...plain, name: fromText(`user.u${i}`) };
    }
    const pieces = [...printTextList(many(), "3.6")];
    expect(pieces.length).toBeGreaterThan(10);
    for (const piece of pieces) expect(piece.length).toBeLessThan(70_000);
    expect(Object.keys(JSON.parse(Buffer.concat(pieces).toString()))).toHaveLength(5000);
  });
});

describe("printTextList() of older versions", () => {
  const remote = { ...plain, mailboxType: fromText("er"), server: fromText("back1") };
  const moved = { ...plain, server: fromText("back1") };
  const { partition: _, ...withoutPartition } = plain;
  const tombstone = { ...withoutPartition, mailboxType: fromText("ed"), acl: [], tombstone: true };

  test.each<[TextListFamily, MailboxListEntry, string]>([
    ["2.2", plain, "user.bob\tdefault\tbob\tlrs\t\n"],
    ["2.4", plain, "user.bob\t0 default bob\tlrs\t\n"],
    ["2.4", remote, "user.bob\t1 back1!default bob\tlrs\t\n"],
    ["2.5", remote, "user.bob\t1 back1!default bob\tlrs\t\n"],
    ["2.5", moved, "user.bob\t0 default bob\tlrs\t\n"],
    ["3.4", moved, "user.bob\t0 back1!default bob\tlrs\t\n"],
    ["3.4", tombstone, "user.bob\t16 (null) \n"],
    ["2.4", { ...plain, aclText: fromText("odd") }, "user.bob\t0 default odd\n"],
  ])("%s prints its line", (family, entry, line) => {
    expect(print([entry], family)).toBe(line);
  });

  test("the records of 2.x come out as they went in", () => {
    const records = [
      record("user.a", "0 default a\tlrswipcda\tanyone\tlr\t"),
      record("user.b", "1 back1!fast b\tlrs\t"),
      record("user.c", "0 default"),
      record("user.d", "8 default odd acl"),
    ];
    expect(print([...entriesOf(readMailboxList(records, "text"))], "2.4")).toBe(
      "user.a\t0 default a\tlrswipcda\tanyone\tlr\t\nuser.b\t1 back1!fast b\tlrs\t\nuser.d\t8 default odd acl\n",
    );
  });
});

describe("families", () => {
  test.each([
    ["2.1.18", "2.2"],
    ["2.2.13", "2.2"],
    ["2.3.16", "2.4"],
    ["2.4.17-fastmail", "2.4"],
    ["2.5.11", "2.5"],
    ["3.0.0", "3.4"],
    ["3.4.4", "3.4"],
    ["3.6.1-4+deb12u5", "3.6"],
    ["3.12.3", "3.6"],
    ["3.13.7", "3.13"],
    ["1.6", undefined],
    ["unknown", undefined],
  ])("%s prints like %s", (version, family) => {
    expect(versionFamily(version)).toBe(family);
  });

  test("are guessed from the records", () => {
    expect(familyOf("text", isOfNewerFamily("text", plain))).toBe("2.4");
    for (const [style, older, newer, entry] of [
      ["dlist", "2.5", "3.4", { ...plain, createdModseq: 1n }],
      ["dlist-by-id", "3.6", "3.13", { ...plain, jmapId: fromText("P1") }],
    ] as const) {
      expect(familyOf(style, isOfNewerFamily(style, plain))).toBe(older);
      expect(familyOf(style, isOfNewerFamily(style, entry))).toBe(newer);
    }
  });
});
