import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeFlat, readFlat } from "../../../src/cyrus/flat.ts";
import { pairs, record } from "./database-fixtures.ts";

describe("readFlat()", () => {
  test("reads lines and undoes the escapes", () => {
    const reading = readFlat(Buffer.from("a\t1\nb\xff\x8ac\t\xff\x89\xff\xff\xff\x80\n", "latin1"));
    expect(pairs(reading)).toEqual([
      ["a", "1"],
      ["b\nc", "\t\xff\0"],
    ]);
    expect(reading.damage).toEqual([]);
  });

  test("a last line without its end is not a record", () => {
    const reading = readFlat(Buffer.from("a\t1\nb\t2"));
    expect(pairs(reading)).toEqual([["a", "1"]]);
    expect(reading.damage).toHaveLength(1);
  });

  test("an empty file has no records", () => {
    expect(readFlat(Buffer.alloc(0)).recordCount).toBe(0);
  });

  test("answers on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const reading = readFlat(bytes);
        expect(pairs(reading)).toHaveLength(reading.recordCount);
      }),
    );
  });
});

describe("encodeFlat()", () => {
  test("what it writes is read back, whatever the bytes", () => {
    const binary = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    fc.assert(
      fc.property(fc.array(fc.tuple(binary, binary)), (list) => {
        const records = list.map(([key, value]) => record(key, value));
        expect(pairs(readFlat(encodeFlat(records)))).toEqual(pairs({ records }));
      }),
    );
  });
});
