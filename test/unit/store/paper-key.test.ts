import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { type KeySet, newKeySet } from "../../../src/store/key-set.ts";
import { decodePaperKey, encodePaperKey, isPaperKey } from "../../../src/store/paper-key.ts";
import { readSecretFile, requireRandom } from "../../../src/store/secret.ts";

const REPOSITORY = "5a".repeat(16);
const read = (lines: readonly string[], end = "\n") => decodePaperKey(Buffer.from(lines.join(end)), "paper");
const USAGE = expect.objectContaining({ code: "USAGE" });

describe("a paper key", () => {
  test("gives the keys back, however it was typed", () => {
    const keySet = newKeySet();
    const lines = encodePaperKey(REPOSITORY, keySet);
    const expected = { repository: REPOSITORY, keySet };
    expect(read(lines)).toEqual(expected);
    expect(read(lines, "\r\n\r\n")).toEqual(expected);
    expect(read(["", ...lines.map((line) => `  ${line.toLowerCase()}\t`), ""])).toEqual(expected);
    const body = (line: string, change: (text: string) => string) =>
      line.replace(/^( *\d+:|end )(.*)$/, (_, number, text) => number + change(text));
    expect(read(lines.map((line) => body(line, (text) => text.replaceAll(" ", ""))))).toEqual(expected);
    const asDigits = (text: string) => text.replaceAll("O", "0").replaceAll("I", "1").replaceAll("B", "8");
    expect(read(lines.map((line) => body(line, asDigits)))).toEqual(expected);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(60);
  });

  test("holds several epochs", () => {
    const keySet: KeySet = { ...newKeySet(), epochs: [1, 2, 7].map((number) => ({ ...epochOf(), number })) };
    expect(read(encodePaperKey(REPOSITORY, keySet)).keySet).toEqual(keySet);
  });

  test("names the line with a mistake, for each letter of each line, and shows nothing of it", () => {
    const lines = encodePaperKey(REPOSITORY, newKeySet());
    for (let at = 2; at < lines.length - 1; at++) {
      const line = lines[at] as string;
      for (let column = line.indexOf(":") + 1; column < line.length; column++) {
        if (line[column] === " ") continue;
        const typed = `${line.slice(0, column)}${line[column] === "X" ? "Y" : "X"}${line.slice(column + 1)}`;
        let error: unknown;
        try {
          read(lines.with(at, typed));
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toMatchObject({
          code: "USAGE",
          message: `paper: line ${at - 1} is not as it was printed`,
        });
      }
    }
  });

  test("is refused with lines lacking, doubled, swapped, or of another repository", () => {
    const lines = encodePaperKey(REPOSITORY, newKeySet());
    for (let at = 0; at < lines.length; at++) {
      expect(() => read(lines.toSpliced(at, 1)), `without line ${at}`).toThrow(USAGE);
      expect(() => read(lines.toSpliced(at, 0, lines[at] as string)), `line ${at} twice`).toThrow(USAGE);
    }
    const swapped = lines.with(2, lines[3] as string).with(3, lines[2] as string);
    expect(() => read(swapped)).toThrow(USAGE);
    expect(() => read(lines.with(1, `repository ${"5b".repeat(16)}`))).toThrow(USAGE);
    const other = encodePaperKey(REPOSITORY, newKeySet());
    expect(() => read(lines.with(5, other[5] as string))).toThrow(USAGE);
  });

  test("of any other text is an error of ours", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (lines) => {
        try {
          read(["cyrvault paper key 1", `repository ${REPOSITORY}`, ...lines]);
        } catch (error) {
          expect(isCyrvaultError(error)).toBe(true);
        }
      }),
    );
  });
});

describe("what --key-file names", () => {
  test("is a paper key when it begins as one, otherwise random bytes of a sensible number", () => {
    const keySet = newKeySet();
    const paper = Buffer.from(encodePaperKey(REPOSITORY, keySet).join("\n"));
    expect(isPaperKey(paper)).toBe(true);
    expect(readSecretFile(paper, "f")).toEqual({ kind: "paper", repository: REPOSITORY, keySet });
    expect(readSecretFile(new Uint8Array(32), "f")).toEqual({
      kind: "secret-file",
      bytes: new Uint8Array(32),
    });
    for (const bytes of [0, 1, 31, 65_537])
      expect(() => readSecretFile(new Uint8Array(bytes), "f")).toThrow(USAGE);
  });

  test("must be random before anything is wrapped with it", () => {
    const check = (bytes: Uint8Array) => requireRandom({ kind: "secret-file", bytes }, "f");
    for (let i = 0; i < 200; i++) check(randomBytes(32));
    check(Buffer.from(randomBytes(40).toString("hex")));
    const poor = [
      new Uint8Array(1000),
      Buffer.from("ab".repeat(60)),
      Buffer.from("password password password password"),
    ];
    for (const bytes of poor) expect(() => check(bytes), bytes.toString()).toThrow(USAGE);
  });
});

function epochOf() {
  const [epoch] = newKeySet().epochs;
  if (epoch === undefined) throw new Error("a key set has an epoch");
  return epoch;
}
