import { expect, test } from "vitest";
import { type ByteString, fromBytes } from "../../../src/base/byte-string.ts";
import type { DatabaseRecord } from "../../../src/cyrus/database-record.ts";
import { withoutMailboxes } from "../../../src/cyrus/mailbox-list-without.ts";

const record = (key: string, value: string): DatabaseRecord => ({
  key: Buffer.from(key, "latin1"),
  value: Buffer.from(value, "latin1"),
});

function kept(
  records: readonly DatabaseRecord[],
  style: "text" | "dlist" | "dlist-by-id",
  ...gone: string[]
) {
  const isGone = (name: ByteString) => gone.includes(name);
  return [...withoutMailboxes(records, style, isGone)].map(({ key }) => fromBytes(key));
}

test("since 3.6 the records by name, by uniqueid and of its ACL go, and nobody else's", () => {
  const list = [
    record("$RACL$U$anna$user\x1fanna\x1fSpam", ""),
    record("$RACL$U$anna$user\x1fanna", ""),
    record("Aanna$user\x1fanna\x1fSpam", ""),
    record("I111", "%(T e N user\x1fanna P default)"),
    record("I222", "%(T e N user\x1fanna\x1fSpam P default)"),
    record("I333", "%(T e N user\x1fanna\x1fSpammers P default)"),
    record("I444", "damaged"),
    record("Nuser\x1fanna", "%(T e I 111)"),
    record("Nuser\x1fanna\x1fSpam", "%(T e I 222)"),
    record("Nuser\x1fanna\x1fSpammers", "%(T e I 333)"),
    record("Nexample.com\x1duser\x1fb.b\x1fSpam", "%(T e I 555)"),
  ];
  expect(kept(list, "dlist-by-id", "user.anna.Spam", "example.com!user.b^b.Spam")).toEqual([
    "$RACL$U$anna$user\x1fanna",
    "I111",
    "I333",
    "I444",
    "Nuser\x1fanna",
    "Nuser\x1fanna\x1fSpammers",
  ]);
  expect(kept(list, "dlist-by-id")).toHaveLength(list.length);
});

test.each(["text", "dlist"] as const)("before 3.6, style %s, the key is the name", (style) => {
  const list = [
    record("$RACL$U$anna$user.anna.Spam", ""),
    record("user.anna", "0 default anna\tlrs\t"),
    record("user.anna.Spam", "0 default anna\tlrs\t"),
  ];
  expect(kept(list, style, "user.anna.Spam")).toEqual(["user.anna"]);
});
