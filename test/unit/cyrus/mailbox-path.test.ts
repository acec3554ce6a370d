import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import {
  directoryHash,
  legacyMailboxPath,
  legacyMailboxPaths,
  legacySieveDirectory,
  legacyUserFilePath,
  mailboxFromPath,
  quotaFilePath,
  quotaRootFromPath,
  userFromPath,
  uuidMailboxPath,
  uuidUserFilePath,
} from "../../../src/cyrus/mailbox-path.ts";
import { unpackStore } from "./database-fixtures.ts";

const PLAIN = { hashImapSpool: false, fullDirHash: false, virtualDomains: true };
const HASHED = { ...PLAIN, hashImapSpool: true };
const FULL = { ...HASHED, fullDirHash: true };

describe("legacyMailboxPath()", () => {
  test.each([
    ["user.fred.Work", "f/user/fred/Work"],
    ["user.fred^smith", "f/user/fred^smith"],
    ["shared", "s/shared"],
    ["shared.pub", "p/shared/pub"],
    ["user.7up", "q/user/7up"],
    ["user.Anna", "a/user/Anna"],
    ["DELETED.user.fred.Foo.5F3A1B2C", "u/DELETED/user/fred/Foo/5F3A1B2C"],
    ["example.com!user.bob", "domain/e/example.com/b/user/bob"],
  ])("%s lies in %s with hashimapspool", (name, path) => {
    expect(legacyMailboxPath(fromText(name), HASHED)).toBe(path);
    expect(mailboxFromPath(fromText(path), HASHED)).toEqual({ layout: "legacy", name, expected: true });
  });

  test("without hashimapspool there are no letters", () => {
    expect(legacyMailboxPath(fromText("example.com!user.bob.x"), PLAIN)).toBe(
      "domain/example.com/user/bob/x",
    );
  });

  test("with fulldirhash the letter of a dotted name depends on the version", () => {
    const [newer, older] = legacyMailboxPaths(fromText("user.fred^smith"), FULL);
    expect(newer).toBe(`${directoryHash("fred", true)}/user/fred^smith`);
    expect(older).toBe(`${directoryHash("fred^smith", true)}/user/fred^smith`);
    expect(newer).not.toBe(older);
    expect(legacyMailboxPaths(fromText("user.fred"), FULL)).toHaveLength(1);
  });

  test("the full hash is that of Cyrus", () => {
    // As mbpath of 3.6.1 answers with fulldirhash on.
    const letters = ["fred", "anna", "cassandane", "longer-name-than-eight"].map((text) =>
      directoryHash(text, true),
    );
    expect(letters.join("")).toBe("EBOK");
  });
});

describe("mailboxFromPath()", () => {
  test("undoes the path of any name, in any layout", () => {
    const names = fc
      .tuple(
        fc.boolean(),
        fc.array(fc.stringMatching(/^[A-Za-z0-9 ^+_-]{1,8}$/), { minLength: 1, maxLength: 4 }),
      )
      .map(([domain, parts]) => fromText(`${domain ? "example.com!" : ""}x${parts.join(".")}`));
    fc.assert(
      fc.property(names, fc.constantFrom(PLAIN, HASHED, FULL), (name, rules) => {
        for (const path of legacyMailboxPaths(name, rules))
          expect(mailboxFromPath(path, rules)).toEqual({ layout: "legacy", name, expected: true });
      }),
    );
  });

  test("says when Cyrus would look elsewhere", () => {
    expect(mailboxFromPath(fromText("z/user/fred"), HASHED)).toEqual({
      layout: "legacy",
      name: "user.fred",
      expected: false,
    });
  });

  test.each([
    "stage.",
    "sync./123",
    "",
    "f",
    "f/user/../x",
    "f//user",
    "user/fred",
    "f/user/a.b",
    "domain",
    "domain/e",
  ])("%j is no mailbox's directory", (path) => {
    expect(mailboxFromPath(fromText(path), HASHED)).toBeUndefined();
  });

  test("knows the uuid layout, and only with the right letters", () => {
    expect(mailboxFromPath(fromText("uuid/g/6/g6byen1vu96q3jihc5ujpjys"), HASHED)).toEqual({
      layout: "uuid",
      uniqueid: "g6byen1vu96q3jihc5ujpjys",
    });
    expect(mailboxFromPath(fromText("uuid/x/6/g6byen1vu96q3jihc5ujpjys"), HASHED)).toBeUndefined();
  });

  test("finds every mailbox directory of a real store", () => {
    const directories = new Set(
      [...unpackStore().keys()].flatMap((path) => /^meta\/(.*)\/cyrus\.header$/.exec(path)?.[1] ?? []),
    );
    expect(directories.size).toBe(8);
    for (const path of directories) {
      const place = mailboxFromPath(fromText(path), HASHED);
      expect(place?.layout === "uuid" && uuidMailboxPath(place.uniqueid)).toBe(path);
    }
  });
});

describe("uuidMailboxPath()", () => {
  test.each(["", "x", "../../etc", "a/b", "a b c", "ab\0c"])("%j is no uniqueid", (id) => {
    expect(uuidMailboxPath(id as ByteString)).toBeUndefined();
  });
});

describe("files of users", () => {
  test("lie where 3.6.1 puts them", () => {
    expect(legacyUserFilePath(fromText("fred.smith"), "counters", HASHED)).toBe("user/f/fred.smith.counters");
    expect(legacyUserFilePath(fromText("bob@example.com"), "sub", PLAIN)).toBe(
      "domain/e/example.com/user/b/bob.sub",
    );
    expect(uuidUserFilePath(fromText("g6byen1vu96q3jihc5ujpjys"), "seen")).toBe(
      "user/uuid/g/6/g6byen1vu96q3jihc5ujpjys/seen.db",
    );
    expect(legacySieveDirectory(fromText("bob@example.com"), PLAIN)).toBe("domain/e/example.com/b/bob");
  });

  test("name their user", () => {
    expect(userFromPath(fromText("domain/e/example.com/user/b/bob.x.sub"))).toEqual({
      layout: "legacy",
      user: "bob.x@example.com",
      suffix: "sub",
    });
    for (const path of unpackStore().keys()) {
      const user = /^conf\/(user\/.*)$/.exec(path)?.[1];
      if (user !== undefined) expect(userFromPath(fromText(user))?.layout).toBe("uuid");
    }
    expect(userFromPath(fromText("mailboxes.db"))).toBeUndefined();
    expect(userFromPath(fromText("user/f/fred.sub.NEW"))).toBeUndefined();
  });
});

describe("quota files", () => {
  test.each([
    ["user.fred^smith", "quota/f/user.fred^smith"],
    ["shared", "quota/s/shared"],
    ["example.com!user.bob", "domain/e/example.com/quota/b/user.bob"],
    ["example.com!", "domain/e/example.com/quota/root"],
  ])("%s is in %s", (root, path) => {
    expect(quotaFilePath(fromText(root), HASHED)).toBe(path);
    expect(quotaRootFromPath(fromText(path))).toBe(root);
  });

  test("a half written one is no quota root", () => {
    expect(quotaRootFromPath(fromText("quota/f/user.fred.NEW"))).toBeUndefined();
  });
});
