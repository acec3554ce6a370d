import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteString } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import {
  aclEntries,
  encodeMailboxHeader,
  encodeOldMailboxHeader,
  type MailboxHeaderValues,
  parseMailboxHeader,
} from "../../../src/cyrus/mailbox-header.ts";
import { mailboxFixture, mailboxFixtures } from "./mailbox-fixtures.ts";

const fixtures = mailboxFixtures();
const b = (value: string): ByteString => value as ByteString;
const MAGIC = mailboxFixture("v9/version9").header.subarray(0, 0x73);
const withPayload = (payload: string): Buffer => Buffer.concat([MAGIC, Buffer.from(payload, "latin1")]);

const SAMPLE: MailboxHeaderValues = {
  name: b("user.fred^smith.A &AOQ- b"),
  uniqueId: b("g6byen1vu96q3jihc5ujpjys"),
  mailboxType: b("el"),
  jmapId: undefined,
  acl: b("fred.smith\tlrswipkxtecdan\tgroup:some people\tlrs\t"),
  quotaRoot: b("user.fred^smith"),
  flagNames: [b("$Label1"), undefined, b("Other")],
};

function failure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("parseMailboxHeader()", () => {
  test("reads the header of a 3.6.1 inbox", () => {
    expect(parseMailboxHeader(mailboxFixture("3.6.1/uuid/g/6/g6byen1vu96q3jihc5ujpjys").header)).toEqual({
      form: "dlist",
      name: "user.fred^smith",
      uniqueId: "g6byen1vu96q3jihc5ujpjys",
      mailboxType: "e",
      jmapId: undefined,
      acl: "fred.smith\tlrswipkxtecdan\t",
      quotaRoot: "user.fred^smith",
      flagNames: ["$Label1", "MyFlag", "Other"],
    });
  });

  test("reads a header in three lines", () => {
    const header = parseMailboxHeader(mailboxFixture("quota_upgrade_v2_4.user/cassandane").header);
    expect(header).toMatchObject({ form: "lines", name: undefined, mailboxType: undefined });
    expect(header.uniqueId).toMatch(/^[0-9a-f-]{16,36}$/);
    expect(aclEntries(header.acl).length).toBeGreaterThan(0);
  });

  test.each(fixtures.map((it) => [it.name, it.header] as const))(
    "writes %s back byte for byte",
    (_, bytes) => {
      const header = parseMailboxHeader(bytes);
      const encode = header.form === "dlist" ? encodeMailboxHeader : encodeOldMailboxHeader;
      expect(encode(header).equals(bytes)).toBe(true);
    },
  );

  test("a file without a unique id, from the first versions, has none", () => {
    const header = parseMailboxHeader(withPayload("user.a\n\nanyone\tlrs\t\n"));
    expect(header).toMatchObject({ quotaRoot: "user.a", uniqueId: undefined, flagNames: [] });
  });

  test("two blanks in the line of flags are a free slot", () => {
    const header = parseMailboxHeader(withPayload("\tabc\nOne  Three \n\n"));
    expect(header).toMatchObject({ quotaRoot: undefined, flagNames: ["One", undefined, "Three"], acl: "" });
  });

  test("takes at most 128 flags from a line, and refuses more in a list", () => {
    expect(parseMailboxHeader(withPayload(`\tabc\n${"f ".repeat(200)}\n\n`)).flagNames).toHaveLength(128);
    expect(() => parseMailboxHeader(withPayload(`%(U (${"f ".repeat(129)}))\n`))).toThrow(/too many/);
  });

  test("a flag name that is itself NIL is told from a free slot", () => {
    const header = { ...SAMPLE, flagNames: [b("NIL"), undefined, b("x")] };
    expect(parseMailboxHeader(encodeMailboxHeader(header)).flagNames).toEqual(header.flagNames);
  });

  test.each([
    ["", "cut short"],
    ["%(N a", "cut short"],
    ["%(N a)", "does not end the line"],
    ["(N a)\n", "cut short"],
    ["%(A x)\n", "not a list with keys"],
    ["%(U x)\n", "not a list"],
    ["%(U ((a)))\n", "not a name"],
    ["\t\n\n\n", "unique id is empty"],
  ])("refuses %j after the magic text", (payload, why) => {
    expect(() => parseMailboxHeader(withPayload(payload))).toThrow(why);
  });

  test("refuses every shorter prefix of a good file", () => {
    for (const { header } of [
      mailboxFixture("v9/version9"),
      mailboxFixture("3.6.1/uuid/g/6/g6byen1vu96q3jihc5ujpjys"),
    ]) {
      for (let length = 0; length < header.length; length++) {
        const error = failure(() => parseMailboxHeader(header.subarray(0, length)));
        expect(isCyrvaultError(error, "CYRUS_BAD_FORMAT"), `${length}`).toBe(true);
      }
    }
  });

  test("answers or throws its own error on random bytes after the magic text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (payload, list) => {
        const error = failure(() =>
          parseMailboxHeader(Buffer.concat([MAGIC, Buffer.from(list ? "%(" : ""), payload])),
        );
        expect(error === undefined || isCyrvaultError(error)).toBe(true);
      }),
    );
  });
});

describe("encoding a header", () => {
  test("both forms are read back equal, as far as they can say it", () => {
    expect(parseMailboxHeader(encodeMailboxHeader(SAMPLE))).toEqual({ form: "dlist", ...SAMPLE });
    expect(parseMailboxHeader(encodeOldMailboxHeader(SAMPLE))).toEqual({
      form: "lines",
      ...SAMPLE,
      name: undefined,
      mailboxType: undefined,
    });
  });

  test("an identifier that is not ASCII survives", () => {
    const header = { ...SAMPLE, acl: b("j\xc3\xb6rg\tlrs\t") };
    expect(parseMailboxHeader(encodeMailboxHeader(header)).acl).toBe(header.acl);
  });

  test("any name, id and flags of printable bytes are read back equal", () => {
    const word = fc.stringMatching(/^[!-~]{1,20}$/).map(b);
    fc.assert(
      fc.property(
        word,
        word,
        fc.array(fc.option(word, { nil: undefined }), { maxLength: 12 }),
        (name, id, flags) => {
          const flagNames = [...flags, b("last")];
          const read = parseMailboxHeader(
            encodeMailboxHeader({ ...SAMPLE, name, uniqueId: id, flagNames, quotaRoot: undefined }),
          );
          expect(read).toMatchObject({ name, uniqueId: id, flagNames, quotaRoot: undefined });
        },
      ),
    );
  });

  test("refuses what cannot be written", () => {
    expect(() => encodeMailboxHeader({ ...SAMPLE, name: undefined })).toThrow(RangeError);
    expect(() => encodeOldMailboxHeader({ ...SAMPLE, acl: b("a\nb") })).toThrow(RangeError);
    expect(() => encodeMailboxHeader({ ...SAMPLE, flagNames: [b("a b")] })).toThrow(RangeError);
    expect(() => encodeMailboxHeader({ ...SAMPLE, flagNames: new Array(129).fill(b("a")) })).toThrow(
      RangeError,
    );
  });

  test("an ACL's text comes apart into identifiers and rights", () => {
    expect(aclEntries(b("a\tlrs\tb\t\tlast"))).toEqual([
      { identifier: "a", rights: "lrs" },
      { identifier: "b", rights: "" },
    ]);
  });
});
