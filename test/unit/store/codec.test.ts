import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CODEC, type Compression, compress, decompress, encodeWith } from "../../../src/store/codec.ts";

const COMPRESSIONS: readonly Compression[] = ["fast", "auto", "max"];

describe("compress()", () => {
  test("gives bytes that decompress to the same, at every level", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.constantFrom(...COMPRESSIONS),
        (raw, compression) => {
          const { codec, bytes } = compress(raw, compression);
          expect(Buffer.from(decompress(codec, bytes, raw.length)).equals(raw)).toBe(true);
          expect(bytes.length).toBeLessThanOrEqual(raw.length);
        },
      ),
    );
  });

  test("shrinks text, and the more the higher the level", () => {
    const text = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${i * i} of a mail\n`).join(""));
    const [fast, auto, max] = COMPRESSIONS.map((compression) => compress(text, compression));
    expect([fast?.codec, auto?.codec, max?.codec]).toEqual([CODEC.brotli, CODEC.brotli, CODEC.brotli]);
    expect(auto?.bytes.length).toBeLessThan(fast?.bytes.length ?? 0);
    expect(max?.bytes.length).toBeLessThan(auto?.bytes.length ?? 0);
    expect(fast?.bytes.length).toBeLessThan(text.length / 2);
  });

  test("leaves incompressible bytes alone, without a copy", () => {
    for (const length of [0, 10, 1000, 300_000]) {
      const raw = randomBytes(length);
      const { codec, bytes } = compress(raw, "auto");
      expect(codec).toBe(CODEC.none);
      expect(bytes === raw).toBe(true);
    }
  });

  test("is not misled by headers in front of images, nor by an image in front of texts", () => {
    const text = Buffer.from("Received: from a by b; Mon, 1 Jan 2024\r\n".repeat(300));
    const image = randomBytes(2_000_000);
    expect(compress(Buffer.concat([text, image]), "auto").codec).toBe(CODEC.none);
    expect(compress(Buffer.concat([image.subarray(0, 40_000), ...Array(60).fill(text)]), "auto").codec).toBe(
      CODEC.brotli,
    );
  });

  test("finds a repetition as far away as a block is long", () => {
    const half = Buffer.from(randomBytes(700_000).toString("base64"));
    const { bytes } = compress(Buffer.concat([half, half]), "auto");
    expect(bytes.length).toBeLessThan(half.length * 0.8);
  });
});

describe("decompress()", () => {
  const raw = Buffer.from("abcdefgh".repeat(5000));

  test("reads deflate and brotli", () => {
    for (const codec of [CODEC.none, CODEC.deflate, CODEC.brotli])
      expect(Buffer.from(decompress(codec, encodeWith(codec, raw, 5), raw.length)).equals(raw)).toBe(true);
  });

  test("refuses any other length than it was told, and never makes more", () => {
    for (const codec of [CODEC.none, CODEC.deflate, CODEC.brotli]) {
      const stored = encodeWith(codec, raw, 5);
      for (const length of [0, 1, raw.length - 1, raw.length + 1, raw.length + 70_000])
        expect(() => decompress(codec, stored, length)).toThrow(
          expect.objectContaining({ code: "REPOSITORY_DAMAGED" }),
        );
    }
  });

  test("refuses random bytes and every truncation with its own error", () => {
    const codecs = fc.constantFrom(CODEC.deflate, CODEC.brotli);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), codecs, fc.nat(5000), (bytes, codec, length) => {
        try {
          expect(decompress(codec, bytes, length)).toHaveLength(length);
        } catch (error) {
          expect(error).toMatchObject({ code: "REPOSITORY_DAMAGED" });
        }
      }),
    );
    for (const codec of [CODEC.deflate, CODEC.brotli]) {
      const stored = encodeWith(codec, raw, 5);
      for (let length = 0; length < stored.length; length++)
        expect(() => decompress(codec, stored.subarray(0, length), raw.length)).toThrow(
          expect.objectContaining({ code: "REPOSITORY_DAMAGED" }),
        );
    }
  });

  test("refuses zstd and unknown codecs as another version's", () => {
    for (const codec of [CODEC.zstdReserved, 4, 255])
      expect(() => decompress(codec, raw, raw.length)).toThrow(
        expect.objectContaining({ code: "REPOSITORY_VERSION" }),
      );
  });
});
