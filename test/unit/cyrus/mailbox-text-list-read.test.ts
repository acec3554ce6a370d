import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { joinAcl, type MailboxListEntry } from "../../../src/cyrus/mailbox-list-entry.ts";
import { printTextList, type TextListFamily } from "../../../src/cyrus/mailbox-text-list.ts";
import { readTextList } from "../../../src/cyrus/mailbox-text-list-read.ts";

const entry = (name: string, more: Partial<MailboxListEntry> = {}): MailboxListEntry => ({
  name: fromText(name),
  mailboxType: fromText("e"),
  acl: [{ identifier: fromText("anna"), rights: fromText("lrswipkxtecda") }],
  partition: fromText("default"),
  legacyDirectories: false,
  remote: false,
  tombstone: false,
  intermediate: false,
  reserved: false,
  history: [],
  ...more,
});

const print = (entries: MailboxListEntry[], family: TextListFamily): Buffer =>
  Buffer.concat([...printTextList(entries, family)]);

describe("readTextList()", () => {
  const entries = [
    entry("user.anna", { uniqueid: fromText("g6byen1vu96q3jihc5ujpjys"), uidvalidity: 1_795_000_000 }),
    entry("user.anna.B&APw-cher"),
    entry("user.bert", { acl: [] }),
  ];

  test("gives back what 3.6 prints: names, uniqueids, uidvalidity, ACLs", () => {
    const read = readTextList(print(entries, "3.6"));
    expect(read.map((item) => item.kind)).toEqual(["entry", "entry", "entry"]);
    const first = read[0]?.kind === "entry" ? read[0].entry : undefined;
    expect(first).toMatchObject({
      name: "user.anna",
      uniqueid: "g6byen1vu96q3jihc5ujpjys",
      partition: "default",
      uidvalidity: 1_795_000_000,
      remote: false,
    });
    expect(joinAcl(first?.acl ?? [])).toBe("anna\tlrswipkxtecda\t");
  });

  test.each(["2.2", "2.4", "2.5", "3.4"] as const)("gives back the lines of %s", (family) => {
    const read = readTextList(print(entries, family));
    expect(read.map((item) => (item.kind === "entry" ? item.entry.name : item.reason))).toEqual([
      "user.anna",
      "user.anna.B&APw-cher",
      "user.bert",
    ]);
    for (const item of read) {
      expect(item.kind === "entry" && item.entry.partition).toBe("default");
    }
  });

  test("knows a mailbox of another server of a Murder", () => {
    const remote = entry("shared", {
      server: fromText("other.example.org"),
      mailboxType: fromText("er"),
      remote: true,
    });
    const [read] = readTextList(print([remote], "3.4"));
    expect(read).toMatchObject({ kind: "entry", entry: { server: "other.example.org", remote: true } });
  });

  test("names what it does not understand, and reads on", () => {
    const read = readTextList(
      Buffer.from("nonsense\nuser.anna\t0 default anna\tlrs\t\nuser.x..y\t0 default \n"),
    );
    expect(read.map(({ kind }) => kind)).toEqual(["bad", "entry", "bad"]);
  });

  test("refuses broken JSON", () => {
    try {
      readTextList(Buffer.from('{"user.anna": {'));
      expect.unreachable();
    } catch (error) {
      expect(isCyrvaultError(error, "CYRUS_BAD_FORMAT")).toBe(true);
    }
  });
});
