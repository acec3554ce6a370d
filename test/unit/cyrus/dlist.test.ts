import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromBytes } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import {
  type Dlist,
  pairText,
  pairValue,
  parseDlist,
  parseWholeDlist,
  printDlist,
} from "../../../src/cyrus/dlist.ts";

const bytes = (value: string): Buffer => Buffer.from(value, "latin1");
const parse = (value: string): Dlist => parseWholeDlist(bytes(value));
const printed = (value: Dlist): string => printDlist(value).toString("latin1");
const text = (value: string): Dlist => ({ kind: "string", value: value as ByteString });

const byteString = (maxLength: number): fc.Arbitrary<ByteString> =>
  fc.uint8Array({ maxLength }).map((value) => fromBytes(value));

const { value: anyDlist } = fc.letrec<{ value: Dlist }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant<Dlist>({ kind: "nil" }),
    byteString(30).map((value): Dlist => ({ kind: "string", value })),
    fc
      .constantFrom("\\Seen", "\\Expunged", "\\Flagged")
      .map((value): Dlist => ({ kind: "flag", value: value as ByteString })),
    fc.uint8Array({ maxLength: 20 }).map(
      (content): Dlist => ({
        kind: "file",
        partition: "default" as ByteString,
        guid: "ab".repeat(20) as ByteString,
        content: Buffer.from(content),
      }),
    ),
    fc.array(tie("value"), { maxLength: 4 }).map((items): Dlist => ({ kind: "list", items })),
    fc
      .array(fc.record({ key: byteString(10), value: tie("value") }), { maxLength: 4 })
      .map((entries): Dlist => ({ kind: "pairs", entries })),
  ),
}));

describe("parseDlist()", () => {
  test("reads each kind of value", () => {
    expect(parse('(atom "quo\\"ted\\\\" {5}\r\na b\r\n {2+}\r\n() NIL "NIL" \\Seen () 12)')).toEqual({
      kind: "list",
      items: [
        text("atom"),
        text('quo"ted\\'),
        text("a b\r\n"),
        text("()"),
        { kind: "nil" },
        text("NIL"),
        { kind: "flag", value: "\\Seen" },
        { kind: "list", items: [] },
        text("12"),
      ],
    });
  });

  test("reads pairs in order, repeated keys too", () => {
    const list = parse("%(A %(fred lrs bob lr) U ($Label1 NIL) A x)");
    expect(pairValue(list, "A")).toEqual({
      kind: "pairs",
      entries: [
        { key: "fred", value: text("lrs") },
        { key: "bob", value: text("lr") },
      ],
    });
    expect(list.kind === "pairs" && list.entries.map((entry) => entry.key)).toEqual(["A", "U", "A"]);
    expect(pairText(list, "A")).toBeUndefined();
    expect(pairText(text("A"), "A")).toBeUndefined();
  });

  test("takes a message file's bytes as they are", () => {
    const value = parse(`%{default ${"0f".repeat(20)} 4}\r\n)\0\r\n`);
    expect(value).toMatchObject({ kind: "file", partition: "default", content: bytes(")\0\r\n") });
  });

  test("says where the value ended, and begins where it is told", () => {
    expect(parseDlist(bytes("xx(a b)\r\n"), { offset: 2 })).toMatchObject({ end: 7 });
    expect(() => parse("(a) ")).toThrow(/after the end/);
  });

  test.each([
    ["", "cut short"],
    ["(a", "cut short"],
    ["%(a)", "a value was expected"],
    ["%x", "expected ( or {"],
    ['"a\r\n"', "a line ends"],
    ["{5}\r\nab", "cut short"],
    ["{99999999999}\r\n", "a length"],
    ["{}\r\n", "a length"],
    ["{2}\nab", "a line end"],
    ["%{p 00 1}\r\nx", "40 hex"],
    [")", "a value was expected"],
  ])("refuses %j", (input, why) => {
    expect(() => parse(input)).toThrow(why);
  });

  test("bounds its depth", () => {
    expect(() => parse("(".repeat(100_000))).toThrow(/too deeply/);
  });

  test("bounds a literal by the bytes that are there", () => {
    expect(() => parse("{4294967295}\r\n")).toThrow(/cut short/);
  });

  test("answers or throws its own error on random bytes and on every truncation", () => {
    const alphabet = fc.constantFrom(...'()%{}"\\ \r\n\t+ab1N'.split(""));
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 60 }), (chars) => {
        try {
          parse(chars.join(""));
        } catch (error) {
          expect(isCyrvaultError(error, "CYRUS_BAD_FORMAT")).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(anyDlist, fc.nat(), (value, cut) => {
        const whole = printDlist(value);
        try {
          parseWholeDlist(whole.subarray(0, cut % (whole.length + 1)));
        } catch (error) {
          expect(isCyrvaultError(error, "CYRUS_BAD_FORMAT")).toBe(true);
        }
      }),
    );
  });
});

describe("printDlist()", () => {
  test("prints as Cyrus does: bare, quoted or literal by content", () => {
    expect(
      printed({ kind: "list", items: ["a", "", "NIL", "a b", 'a"b', "\xe4", "a\r", "(x"].map(text) }),
    ).toBe('(a "" "NIL" "a b" {3}\r\na"b {1}\r\n\xe4 {2}\r\na\r "(x")');
    expect(printed(text("y".repeat(1023)))).toBe("y".repeat(1023));
    expect(printed(text("y".repeat(1024)))).toBe(`{1024}\r\n${"y".repeat(1024)}`);
    expect(printDlist(text("\xe4"), { clientLiterals: true }).toString("latin1")).toBe("{1+}\r\n\xe4");
  });

  test("what is printed is read back equal", () => {
    fc.assert(
      fc.property(anyDlist, (value) => {
        expect(parseWholeDlist(printDlist(value))).toEqual(value);
      }),
    );
  });

  test.each(["\\", "\\{", "\\a*b", "\\\\Seen", `\\${"x".repeat(2000)}`, "\\\u00e9\u0000"])(
    "prints an odd flag, as it was read: %j",
    (flag) => {
      const read = parseDlist(Buffer.from(`(${flag} NIL)`, "latin1"));
      expect(read.value).toEqual({ kind: "list", items: [{ kind: "flag", value: flag }, { kind: "nil" }] });
      expect(printed(read.value)).toBe(`(${flag} NIL)`);
    },
  );

  test("refuses a flag that is none", () => {
    expect(() => printed({ kind: "flag", value: "Seen" as ByteString })).toThrow(RangeError);
    expect(() => printed({ kind: "flag", value: "\\a b" as ByteString })).toThrow(RangeError);
  });
});
