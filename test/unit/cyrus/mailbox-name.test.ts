import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import {
  dbnameOf,
  deletedName,
  externalName,
  inboxOf,
  nameFromDbname,
  nameFromExternal,
  nameProblem,
  parseDeletedName,
  userOf,
} from "../../../src/cyrus/mailbox-name.ts";

const UNIX = { unixHierarchySeparator: true, virtualDomains: true };
const NETNEWS = { unixHierarchySeparator: false, virtualDomains: true };
const names = fc
  .tuple(
    fc.option(fc.constantFrom("example.com", "a.b.c"), { nil: undefined }),
    fc.array(fc.stringMatching(/^[A-Za-z0-9 &^+_-]{1,8}$/), { minLength: 1, maxLength: 5 }),
  )
  .map(([domain, parts]) =>
    fromText(domain === undefined ? parts.join(".") : `${domain}!${parts.join(".")}`),
  );

describe("names", () => {
  test.each([
    ["user.fred^smith.Work", "user/fred.smith/Work", "user.fred^smith.Work"],
    ["shared", "shared", "shared"],
    ["example.com!user.bob", "user/bob@example.com", "user.bob@example.com"],
    ["DELETED.user.a.5F3A1B2C", "DELETED/user/a/5F3A1B2C", "DELETED.user.a.5F3A1B2C"],
  ])("%s is %s with unixhierarchysep and %s without", (internal, unix, netnews) => {
    expect(externalName(fromText(internal), UNIX)).toBe(unix);
    expect(externalName(fromText(internal), NETNEWS)).toBe(netnews);
    expect(nameFromExternal(fromText(unix), UNIX)).toBe(internal);
    expect(nameFromExternal(fromText(netnews), NETNEWS)).toBe(internal);
  });

  test("the keys of mailboxes.db are the components with separators of their own", () => {
    expect(dbnameOf(fromText("example.com!user.bob^x.Work"))).toBe("example.com\x1duser\x1fbob.x\x1fWork");
  });

  test("every form leads back to the internal name", () => {
    fc.assert(
      fc.property(names, (name) => {
        expect(nameFromDbname(dbnameOf(name))).toBe(name);
        for (const style of [UNIX, NETNEWS])
          expect(nameFromExternal(externalName(name, style), style)).toBe(name);
      }),
    );
  });

  test("external names that no mailbox can have are none", () => {
    expect(nameFromExternal(fromText("user/a^b"), UNIX)).toBeUndefined();
    expect(nameFromExternal(fromText("user.a/b"), NETNEWS)).toBeUndefined();
  });

  test("without virtual domains an @ belongs to the name", () => {
    const style = { unixHierarchySeparator: true, virtualDomains: false };
    expect(nameFromExternal(fromText("user/a@b.c"), style)).toBe("user.a@b^c");
  });
});

describe("parseDeletedName()", () => {
  test("gives the old name and the time, within its domain", () => {
    expect(parseDeletedName(fromText("d.org!DELETED.user.fred.Foo.5F3A1B2C"))).toEqual({
      originalName: "d.org!user.fred.Foo",
      deletedAt: 0x5f3a1b2c,
    });
  });

  test.each([
    "user.fred",
    "DELETED",
    "DELETED.user",
    "DELETED.5F3A1B2C",
    "DELETED.user.fred.Foo",
    "DELETEDx.a.5F",
  ])("%s is no deleted mailbox", (name) => {
    expect(parseDeletedName(fromText(name))).toBeUndefined();
  });

  test("undoes deletedName()", () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 0xffff_ffff }), (name, deletedAt) => {
        expect(parseDeletedName(deletedName(name, deletedAt))).toEqual({ originalName: name, deletedAt });
      }),
    );
  });
});

describe("userOf()", () => {
  test.each([
    ["user.fred^smith.Work", "fred.smith"],
    ["example.com!user.bob", "bob@example.com"],
    ["DELETED.user.fred.Foo.5F3A1B2C", "fred"],
    ["DELETED.user.fred.5F3A1B2C", "fred"],
    ["shared.user.x", undefined],
    ["user", undefined],
  ])("%s belongs to %s", (name, user) => {
    expect(userOf(fromText(name))).toBe(user);
  });

  test("a user's INBOX is his", () => {
    expect(inboxOf(fromText("fred.smith@example.com"), true)).toBe("example.com!user.fred^smith");
    expect(userOf(inboxOf(fromText("a@b"), false))).toBe("a@b");
  });
});

describe("nameProblem()", () => {
  test.each([
    "",
    "user..x",
    ".user",
    "user.",
    "user.a/b",
    "user.a\0",
    "user.\x1b[31m",
    "..!user.x",
    "!user.x",
    "a/b!user.x",
    "x".repeat(1025),
  ])("refuses %j", (name) => {
    expect(nameProblem(name as ByteString)).toEqual(expect.any(String));
  });

  test("lets through whatever names real mailboxes have", () => {
    for (const name of [
      "user.fred^smith",
      "user.a.Entw&APw-rfe",
      "user.a.b c!d",
      "user.a.^^",
      "#news.x",
      "a.com!b",
    ])
      expect(nameProblem(fromText(name))).toBeUndefined();
    expect(nameProblem("user.\xfc" as ByteString)).toBeUndefined();
  });
});
