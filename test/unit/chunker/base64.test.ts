import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodedLength, WrappedDecoder, WrappedEncoder, type Wrapping } from "../../../src/chunker/base64.ts";
import { wrap } from "./mail-arbitrary.ts";

const wrapping: fc.Arbitrary<Wrapping> = fc.record({
  lineChars: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 60, 73, 76),
  lineEnd: fc.constantFrom("crlf", "lf"),
});

const endOf = ({ lineEnd }: Wrapping): string => (lineEnd === "crlf" ? "\r\n" : "\n");

/** What the decoder takes of `text`, given in stretches, and what it makes of it. */
function decode(text: string, layout: Wrapping, stretch: number): { taken: string; bytes: Buffer } {
  const source = Buffer.from(text, "latin1");
  const decoder = new WrappedDecoder(layout);
  const target = Buffer.alloc(source.length + 3);
  let from = 0;
  let at = 0;
  for (let to = Math.min(stretch, source.length); ; to = Math.min(to + stretch, source.length)) {
    at = decoder.decode(source, from, to, target, at);
    from = decoder.position;
    if (decoder.ended || to === source.length) break;
  }
  return { taken: text.slice(0, from), bytes: target.subarray(0, at) };
}

describe("base64 in lines", () => {
  test("is encoded as Buffer and a line breaker do it, in any stretches", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 90 })), wrapping, (stretches, layout) => {
        const encoder = new WrappedEncoder(layout);
        const made = Buffer.concat([
          ...stretches.map((bytes) => encoder.push(bytes)),
          encoder.end(),
        ]).toString();
        const whole = Buffer.concat(stretches);
        expect(made).toBe(wrap(whole.toString("base64"), layout.lineChars, endOf(layout)));
        expect(encodedLength(whole.length, layout)).toBe(made.length);
      }),
    );
  });

  test("is decoded as a whole when it is exact, in any stretches", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        wrapping,
        fc.integer({ min: 1, max: 50 }),
        (bytes, layout, stretch) => {
          const text = wrap(Buffer.from(bytes).toString("base64"), layout.lineChars, endOf(layout));
          const { taken, bytes: decoded } = decode(text, layout, stretch);
          expect(taken).toBe(text);
          expect(Buffer.compare(decoded, bytes)).toBe(0);
        },
      ),
    );
  });

  test("is decoded up to a mistake, never beyond: what was taken is what the encoder makes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        wrapping,
        fc.nat(),
        fc.constantFrom("", "=", "!", "\r", "\n", "-", "_", "\x00", "\xff", "B", "=="),
        fc.integer({ min: 1, max: 90 }),
        (bytes, layout, where, damage, stretch) => {
          const text = wrap(Buffer.from(bytes).toString("base64"), layout.lineChars, endOf(layout));
          const at = where % text.length;
          const damaged = text.slice(0, at) + damage + text.slice(at + 1);
          const { taken, bytes: decoded } = decode(damaged, layout, stretch);
          expect(taken).toBe(wrap(decoded.toString("base64"), layout.lineChars, endOf(layout)));
          expect(damaged.startsWith(taken)).toBe(true);
          // Nothing before the group that was damaged is lost.
          const charsBefore = text.slice(0, at).replace(/[\r\n]/g, "").length;
          expect(decoded.length).toBeGreaterThanOrEqual(Math.floor(charsBefore / 4) * 3 - 3);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("takes no group with something after a padding, with unused bits, or padded too early", () => {
    const layout = { lineChars: 0, lineEnd: "crlf" } as const;
    for (const group of ["QQ=A", "QQ=Q", "Q===", "====", "=QQQ", "QR==", "QUJ=", "QU\xffD", "QU D"]) {
      expect(decode(`QUJD${group}QUJD`, layout, 100)).toEqual({ taken: "QUJD", bytes: Buffer.from("ABC") });
    }
    expect(decode("QUJDQUI=QUJD", layout, 100)).toEqual({ taken: "QUJDQUI=", bytes: Buffer.from("ABCAB") });
  });
});
