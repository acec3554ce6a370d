import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { isSkiplist, readSkiplist } from "../../../src/cyrus/skiplist.ts";
import { databaseFixtures, pairs } from "./database-fixtures.ts";

const files = [...databaseFixtures()].filter(([, bytes]) => isSkiplist(bytes));
const END = u32(0xffff_ffff);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function padded(text: string): Buffer {
  const bytes = Buffer.alloc(Math.ceil(text.length / 4) * 4);
  bytes.write(text, "latin1");
  return bytes;
}

function node(type: number, key: string, value: string, pointers: number[] = [0]): Buffer {
  const parts = [u32(type), u32(key.length), padded(key), u32(value.length), padded(value)];
  return Buffer.concat([...parts, ...pointers.map(u32), END]);
}

const COMMIT = u32(255);
const remove = (offset: number): Buffer => Buffer.concat([u32(4), u32(offset)]);

/** The offset at which each part begins comes back with the file. */
function skiplist(sorted: Buffer[], log: Buffer[]): { file: Buffer; offsets: number[] } {
  const dummy = node(257, "", "", new Array<number>(20).fill(0));
  const parts = [dummy, ...sorted, ...log];
  const offsets: number[] = [];
  let at = 48;
  for (const part of parts) {
    offsets.push(at);
    at += part.length;
  }
  const header = Buffer.alloc(48);
  header.write("\xa1\x02\x8b\x0dskiplist file\0\0\0", "latin1");
  header.writeUInt32BE(1, 20);
  header.writeUInt32BE(2, 24);
  header.writeUInt32BE(20, 28);
  header.writeUInt32BE(48 + Buffer.concat([dummy, ...sorted]).length, 40);
  return { file: Buffer.concat([header, ...parts]), offsets };
}

describe("readSkiplist()", () => {
  test("reads the conversations databases of real servers", () => {
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const [path, bytes] of files) {
      const reading = readSkiplist(bytes);
      expect([path, reading.damage]).toEqual([path, []]);
      expect(reading.recordCount).toBeGreaterThan(0);
      const keys = pairs(reading).map(([key]) => key);
      expect([...keys].sort()).toEqual(keys);
    }
  });

  test("replays additions, replacements and deletions of the log", () => {
    const sorted = [node(1, "a", "1"), node(1, "b", "2"), node(1, "c", "3")];
    const { offsets } = skiplist(sorted, []);
    const log = [
      remove(offsets[2] as number),
      COMMIT,
      remove(offsets[3] as number),
      node(2, "c", "three"),
      node(2, "d", "4"),
      COMMIT,
    ];
    expect(pairs(readSkiplist(skiplist(sorted, log).file))).toEqual([
      ["a", "1"],
      ["c", "three"],
      ["d", "4"],
    ]);
  });

  test("a key that was deleted and added again is there", () => {
    const sorted = [node(1, "a", "1")];
    const { offsets } = skiplist(sorted, []);
    const log = [remove(offsets[1] as number), COMMIT, node(2, "a", "again"), COMMIT];
    expect(pairs(readSkiplist(skiplist(sorted, log).file))).toEqual([["a", "again"]]);
  });

  test("leaves out what follows the last commit", () => {
    const { file, offsets } = skiplist(
      [node(1, "a", "1")],
      [node(2, "b", "2"), COMMIT, node(2, "c", "3"), Buffer.from("0000000400000000", "hex")],
    );
    file.writeUInt32BE(offsets[1] as number, file.length - 4);
    expect(pairs(readSkiplist(file))).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
  });

  test("skips stray zero words and does not follow pointers", () => {
    const { file } = skiplist(
      [node(1, "a", "1", [0x7fff_fffc])],
      [u32(0), node(2, "b", "2", [3, 4, 5]), u32(0), COMMIT],
    );
    expect(pairs(readSkiplist(file)).map(([key]) => key)).toEqual(["a", "b"]);
  });

  test("keeps the order of mailbox names in which a full stop sorts first", () => {
    const sorted = ["user.a", "user.a.x", "user.a b"].map((key) => node(1, key, "0 default "));
    const { file } = skiplist(sorted, [node(2, "user.a.y", "0 default "), COMMIT]);
    expect(pairs(readSkiplist(file)).map(([key]) => key)).toEqual([
      "user.a",
      "user.a.x",
      "user.a.y",
      "user.a b",
    ]);
  });

  test("tells where the log could not be read further", () => {
    const { file } = skiplist([node(1, "a", "1")], [node(2, "b", "2"), COMMIT, u32(77), u32(78)]);
    const reading = readSkiplist(file);
    expect(reading.recordCount).toBe(2);
    expect(reading.damage).toHaveLength(1);
  });

  test("answers or throws its own error on every truncation and on any flipped byte", () => {
    const bytes = files[0]?.[1] as Buffer;
    const check = (candidate: Buffer): void => {
      try {
        const reading = readSkiplist(candidate);
        expect(pairs(reading)).toHaveLength(reading.recordCount);
      } catch (error) {
        if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      }
    };
    for (let length = 0; length < Math.min(bytes.length, 2000); length++) check(bytes.subarray(0, length));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(bytes);
        changed[at] = value;
        check(changed);
      }),
    );
  });
});
