import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { compileNamePattern, matchesPattern } from "../../../src/cyrus/mailbox-name-pattern.ts";

describe("compileNamePattern()", () => {
  test.each([
    ["*", "user.a.b", true],
    ["user.%", "user.a", true],
    ["user.%", "user.a.b", false],
    ["user.*", "user.a.b", true],
    ["user.a", "user.a", true],
    ["user.a", "user.ab", false],
    ["user.%.Work%", "user.fred.Work2024", true],
    ["%.b", "a.b", true],
    ["user/%", "user.fred^smith", true],
    ["user/fred.smith/*", "user.fred^smith.a.b", true],
    ["user/%@example.com", "example.com!user.bob", true],
    ["example.com!*", "example.com!user.bob", true],
    ["", "user.a", false],
  ])("%s on %s: %s", (pattern, name, matches) => {
    expect(compileNamePattern(fromText(pattern))(fromText(name))).toBe(matches);
  });

  test("agrees with a regular expression", () => {
    const char = fc.constantFrom("a", "b", ".");
    const pattern = fc.array(fc.oneof(char, fc.constantFrom("*", "%")), { maxLength: 8 });
    fc.assert(
      fc.property(pattern, fc.array(char, { maxLength: 10 }), (parts, chars) => {
        const source = parts
          .map((p) => (p === "*" ? "[^]*" : p === "%" ? "[^.]*" : p === "." ? "\\." : p))
          .join("");
        expect(matchesPattern(parts.join(""), chars.join(""), ".")).toBe(
          new RegExp(`^${source}$`).test(chars.join("")),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("a pattern of many wildcards costs no more than its length times the name's", () => {
    const started = performance.now();
    expect(matchesPattern(`${"*a".repeat(200)}b`, "a".repeat(2000), ".")).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
