import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { laneOfPart, looksLikeText, TEXT_PART_BYTES_MAX } from "../../../src/store/part-lane.ts";

const prose = (count: number) =>
  Buffer.from("Grüße aus Köln,\r\n\tand more of it. ".repeat(count / 20)).subarray(0, count);

describe("laneOfPart", () => {
  test("texts go among the texts, up to a size", () => {
    expect(laneOfPart(prose(20_000))).toBe("text");
    expect(laneOfPart(prose(TEXT_PART_BYTES_MAX))).toBe("text");
    expect(laneOfPart(prose(TEXT_PART_BYTES_MAX + 1))).toBe("part");
  });

  test("what does not shrink goes to the dense blocks from 16 KiB on", () => {
    expect(laneOfPart(randomBytes(16_384))).toBe("dense");
    expect(laneOfPart(randomBytes(16_383))).toBe("part");
  });

  test("a control character at the start, in the middle or at the end is no text", () => {
    for (const at of [0, 10_000, 19_999]) {
      const bytes = Buffer.from(prose(20_000));
      bytes[at] = 0;
      expect(laneOfPart(bytes)).toBe("part");
    }
  });

  test("Japanese mail with escapes is text, UTF-16 is none", () => {
    expect(looksLikeText(Buffer.from("\x1b$B8@\x1b(B\n", "latin1"))).toBe(true);
    expect(looksLikeText(Buffer.from("Grüße", "utf16le"))).toBe(false);
    expect(looksLikeText(new Uint8Array())).toBe(true);
  });
});
