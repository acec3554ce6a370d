import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteString, compareBytes, fromBytes } from "../../../src/base/byte-string.ts";
import { BigIntColumn, ByteColumn, KeyTable, NumberColumn } from "../../../src/base/columns.ts";

const byteString = fc.uint8Array({ maxLength: 40 }).map(fromBytes);

test("numbers come back from where they were put, and are 0 where nothing was", () => {
  const numbers = new NumberColumn("f64");
  const large = new BigIntColumn();
  for (const at of [0, 5, 1023, 1024, 40_000]) {
    numbers.set(at, at + 0.5);
    large.set(at, -(2n ** 62n) + BigInt(at));
  }
  expect([0, 5, 1023, 1024, 40_000].map((at) => numbers.get(at) - at)).toEqual([0.5, 0.5, 0.5, 0.5, 0.5]);
  expect([numbers.get(7), numbers.get(1e6), large.get(7), large.get(1e6)]).toEqual([0, 0, 0n, 0n]);
  expect(large.get(40_000)).toBe(-(2n ** 62n) + 40_000n);
});

describe("byte strings in a column", () => {
  test("come back as they are, and compare as they do alone", () => {
    fc.assert(
      fc.property(fc.array(byteString, { minLength: 1, maxLength: 50 }), (values) => {
        const column = new ByteColumn();
        const ids = values.map((value) => column.add(value));
        expect(ids.map((id) => column.get(id))).toEqual(values);
        for (const [i, id] of ids.entries()) {
          const [value, first] = [values[i] as ByteString, values[0] as ByteString];
          expect(Math.sign(column.compare(ids[0] as number, id))).toBe(compareBytes(first, value));
          expect(Math.sign(column.compareWith(id, first))).toBe(compareBytes(value, first));
          expect(column.equals(id, first)).toBe(value === first);
        }
      }),
    );
  });

  test("may be many, long, and longer than a chunk", () => {
    const column = new ByteColumn();
    const values = [1, 600_000, 700_000, 3_000_000, 0, 5].map(
      (length, i) => String.fromCharCode(0xf0 + i).repeat(length) as ByteString,
    );
    for (const value of values) column.add(value);
    expect(values.every((value, id) => column.get(id) === value)).toBe(true);
  });
});

test("a table of keys finds what was added and nothing else, however many there are", () => {
  fc.assert(
    fc.property(fc.uniqueArray(byteString, { maxLength: 60 }), byteString, (keys, other) => {
      const table = new KeyTable();
      const isKey = (key: ByteString) => (row: number) => keys[row] === key;
      for (const [row, key] of keys.entries()) table.add(key, row);
      for (const [row, key] of keys.entries()) expect(table.find(key, isKey(key))).toBe(row);
      if (!keys.includes(other)) expect(table.find(other, isKey(other))).toBeUndefined();
    }),
  );
  const table = new KeyTable();
  const name = (i: number) => `user.u${i}` as ByteString;
  for (let i = 0; i < 20_000; i++) table.add(name(i), i);
  const found = Array.from({ length: 20_000 }, (_, i) => table.find(name(i), (row) => row === i));
  expect(found.every((row, i) => row === i)).toBe(true);
  expect(table.find("user.x" as ByteString, () => true)).toBeUndefined();
});
