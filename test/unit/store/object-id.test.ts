import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { KIND_BYTES, type ObjectKind } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { CONTEXTS, filled, KEYED } from "./pack-fixture.ts";

const KINDS = Object.keys(KIND_BYTES) as ObjectKind[];

describe.each(CONTEXTS)("ObjectHasher, %s", (_, context) => {
  const hasher = new ObjectHasher(context);

  test("gives one content four different ids in the four domains", () => {
    const ids = KINDS.map((kind) => toHex(hasher.id(kind, Buffer.from("the same"))));
    expect(new Set(ids).size).toBe(4);
  });

  test("gives a stream the id of its concatenation, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), fc.constantFrom(...KINDS), (parts, kind) => {
        const stream = hasher.stream(kind);
        for (const part of parts) stream.update(part);
        expect(toHex(stream.digest())).toBe(toHex(hasher.id(kind, Buffer.concat(parts))));
      }),
    );
  });

  test("agrees with the portable implementation", () => {
    const portable = new ObjectHasher(context, "portable");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...KINDS), (bytes, kind) => {
        const expected = toHex(hasher.id(kind, bytes));
        expect(toHex(portable.id(kind, bytes))).toBe(expected);
        const stream = portable.stream(kind);
        stream.update(bytes);
        expect(toHex(stream.digest())).toBe(expected);
      }),
    );
  });
});

test("another id key gives other ids", () => {
  const other = new ObjectHasher({ ...KEYED, idKey: filled(9) });
  expect(toHex(other.id("data", filled(0)))).not.toBe(toHex(new ObjectHasher(KEYED).id("data", filled(0))));
});
