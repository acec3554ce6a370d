import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { type ImapdConf, parseDuration, parseImapdConf, parseSwitch } from "../../../src/cyrus/imapd-conf.ts";

const MAIN = fromText("/etc/imapd.conf");

function parse(text: string, others: Record<string, string> = {}): ImapdConf {
  const files: Record<string, string> = { [MAIN]: text, ...others };
  return parseImapdConf(MAIN, (path) => {
    const content = files[path];
    return content === undefined ? undefined : Buffer.from(content, "latin1");
  });
}

function values(conf: ImapdConf): Record<string, string> {
  return Object.fromEntries([...conf.entries].map(([key, { value }]) => [key, value]));
}

describe("parseImapdConf()", () => {
  test("reads keys without regard to case, and trims values", () => {
    expect(values(parse("  ServerName:   mail.example.org \t\r\n\n\t\nSASL_pwcheck_method:auxprop"))).toEqual(
      {
        servername: "mail.example.org",
        sasl_pwcheck_method: "auxprop",
      },
    );
  });

  test("takes # as a comment only at the beginning of a line", () => {
    expect(values(parse("# a: b\n   # c: d\nadmins: cyrus # and root\n"))).toEqual({
      admins: "cyrus # and root",
    });
  });

  test("joins a line that ends in a backslash with the next one, whose leading blanks stay", () => {
    expect(values(parse("admins: a \\\n   b\\\nc\nx: 1"))).toEqual({ admins: "a    bc", x: "1" });
  });

  test("a comment goes on over a backslash too, and swallows the next line", () => {
    expect(values(parse("# old \\\npartition-a: /a\nb: c"))).toEqual({ b: "c" });
  });

  test("odd continuations end as in Cyrus", () => {
    expect(values(parse("a: b\\"))).toEqual({ a: "b\\" });
    expect(values(parse("x: y\na: b\\\n"))).toEqual({ x: "y" });
    expect(values(parse("a: b\\\\\n\n c\n"))).toEqual({ a: "b c" });
    expect(values(parse("a: b\\\r\nc: d\n"))).toEqual({ a: "b\\", c: "d" });
    expect(values(parse("a: b\0c\\\nd: e\n"))).toEqual({ a: "b", d: "e" });
  });

  test("keeps bytes that are not ASCII", () => {
    expect(values(parse("partition-x: /sp\xf6\xf6l"))).toEqual({ "partition-x": "/sp\xf6\xf6l" });
  });

  test("tells file and line, of a continued line the last", () => {
    const conf = parse("a: 1\\\n2\n@include: /etc/more.conf\n", { "/etc/more.conf": "\nb: 2\n" });
    expect(conf.entries.get("a")).toEqual({ value: "12", file: MAIN, line: 2 });
    expect(conf.entries.get("b")).toEqual({ value: "2", file: "/etc/more.conf", line: 2 });
  });

  test("reads included files at their place, and returns all files for keeping", () => {
    const conf = parse("a: 1\n@INCLUDE: /1\nd: 4", { "/1": "b: 2\n@include: /2\n", "/2": "c: 3" });
    expect(Object.keys(values(conf))).toEqual(["a", "b", "c", "d"]);
    expect(conf.files.map((file) => file.path)).toEqual([MAIN, "/1", "/2"]);
    expect(Buffer.from(conf.files[2]?.bytes ?? []).toString()).toBe("c: 3");
  });

  test.each([
    ["a circle of includes", "@include: /1", { "/1": "@include: /etc/imapd.conf" }, /included twice/],
    ["a file included twice", "@include: /1\n@include: /1", { "/1": "x: y" }, /included twice/],
    ["a missing include", "\n@include: /1", {}, /imapd.conf:2: there is no file \/1/],
    ["an option given twice", "a: 1\nA: 2", {}, /imapd.conf:2: a is given twice/],
    ["an option given twice over files", "a: 1\n@include: /1", { "/1": "a: 1" }, /\/1:1: a is given twice/],
    ["an empty value", "a:  \n", {}, /a has no value/],
    ["no colon", "hello\n", {}, /not `option: value`/],
    ["a blank before the colon", "a : b\n", {}, /not `option: value`/],
    ["a key with odd characters", "a.b: c\n", {}, /not `option: value`/],
    ["an unknown directive", "@set: a\n", {}, /unknown directive @set/],
  ])("refuses %s", (_, text, others, why) => {
    try {
      parse(text, others);
    } catch (error) {
      expect(isCyrvaultError(error, "CONFIG_INVALID")).toBe(true);
      expect(String(error)).toMatch(why);
      return;
    }
    expect.unreachable();
  });

  test("refuses a main file that is not there", () => {
    expect(() => parseImapdConf(MAIN, () => undefined)).toThrow(/there is no file/);
  });

  test("refuses includes without end", () => {
    let count = 0;
    const read = () => Buffer.from(`@include: /${count++}\n`);
    expect(() => parseImapdConf(MAIN, read)).toThrow(/too many included files/);
  });

  test("answers or throws its own error on any text, in linear time", () => {
    const piece = fc.constantFrom(
      "a",
      "B",
      ":",
      " ",
      "\n",
      "\\\n",
      "#",
      "@include",
      "/x",
      "\0",
      "\r\n",
      "_",
      "\xff",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        try {
          parse(pieces.join(""));
        } catch (error) {
          expect(isCyrvaultError(error, "CONFIG_INVALID")).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
    const started = performance.now();
    parse(`a: ${" \\\n".repeat(200_000)}b`);
    parse(`a: ${"\\\n".repeat(200_000)}b`);
    parse(`a: b${" ".repeat(500_000)}c`);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe("parseSwitch()", () => {
  test("judges by the first letters, as Cyrus does", () => {
    for (const yes of ["1", "yes", "on", "true", "y", "1x"]) expect(parseSwitch(yes), yes).toBe(true);
    for (const no of ["0", "no", "off", "false", "nope"]) expect(parseSwitch(no), no).toBe(false);
    for (const bad of ["Yes", "ON", "o", "2", ""]) expect(parseSwitch(bad), bad).toBeUndefined();
  });
});

describe("parseDuration()", () => {
  test.each([
    ["7", "d", 604_800],
    ["7", "s", 7],
    ["3d", "m", 259_200],
    ["1h30m", "s", 5400],
    ["1h30", "m", 5400],
    ["-5m", "s", -300],
    ["", "s", 0],
    ["5x", "s", undefined],
    ["m", "s", undefined],
    ["-", "s", undefined],
    ["1.5h", "s", undefined],
    ["100000d", "s", undefined],
  ] as const)("%j with default unit %s", (value, unit, seconds) => {
    expect(parseDuration(value, unit)).toBe(seconds);
  });

  test("a long row of digits is refused quickly", () => {
    expect(parseDuration(`${"9".repeat(100_000)}x` as ByteString, "s")).toBeUndefined();
  });
});
