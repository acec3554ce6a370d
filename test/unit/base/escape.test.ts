import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escapeForTerminal, escapeLinesForTerminal } from "../../../src/base/escape.ts";

/** Written out again, by hand, from the Unicode tables: what must never reach a terminal. */
const DANGEROUS =
  /[\0-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\u{e0001}\u{e0020}-\u{e007f}]/u;

describe("escapeForTerminal()", () => {
  test("shows what a hostile subject is made of", () => {
    expect(escapeForTerminal("\x1b]0;owned\x07")).toBe("\\x1b]0;owned\\x07");
    expect(escapeForTerminal("\x9b2J")).toBe("\\x9b2J");
    expect(escapeForTerminal("a\r\nb\tc\0\x7f")).toBe("a\\r\\nb\\tc\\x00\\x7f");
    expect(escapeForTerminal("invoice\u202efdp.exe")).toBe("invoice\\u{202e}fdp.exe");
    expect(escapeForTerminal("\u2066x\u2069\u2028\ufeff\u{e0041}")).toBe(
      "\\u{2066}x\\u{2069}\\u{2028}\\u{feff}\\u{e0041}",
    );
    expect(escapeForTerminal("\ud800")).toBe("\\u{d800}");
  });

  test("leaves the words of every language as they are", () => {
    const words = "Grüße, 你好, שלום, مرحبا, می\u200cخواهم, 👩\u200d🔧, naïve \\x1b, e\u0301";
    expect(escapeForTerminal(words)).toBe(words);
  });

  test("lets nothing dangerous through, whatever the text", () => {
    const odd = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.string());
    fc.assert(
      fc.property(odd, (text) => {
        const escaped = escapeForTerminal(text);
        expect(escaped).not.toMatch(DANGEROUS);
        expect(escapeForTerminal(escaped)).toBe(escaped);
      }),
      { numRuns: 200 },
    );
    for (let code = 0; code < 0xe1000; code = code === 0x1ffff ? 0xe0000 : code + 1) {
      const character = String.fromCodePoint(code);
      if (DANGEROUS.test(character) && escapeForTerminal(character) === character)
        expect.fail(`U+${code.toString(16)} came through`);
    }
  });
});

test("escapeLinesForTerminal() keeps line feeds and tabs, and nothing else of the kind", () => {
  expect(escapeLinesForTerminal("a\n\tb\r\x1b[1m")).toBe("a\n\tb\\r\\x1b[1m");
});
