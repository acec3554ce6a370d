import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { DamageList } from "../../../src/cyrus/database-record.ts";
import { isTwoskip, readTwoskip } from "../../../src/cyrus/twoskip.ts";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";
import { keyBytesOf, nextOffset, readRecordHead } from "../../../src/cyrus/twoskip-layout.ts";
import { scanTwoskip } from "../../../src/cyrus/twoskip-scan.ts";
import { databaseFixtures, pairs, record, unpackStore } from "./database-fixtures.ts";

const files = [...databaseFixtures()].filter(([, bytes]) => isTwoskip(bytes));
const mailboxes = unpackStore().get("conf/mailboxes.db") as Buffer;
const recordsArbitrary = fc
  .uniqueArray(fc.tuple(fc.string({ minLength: 1, maxLength: 20, unit: "binary-ascii" }), fc.string()), {
    selector: ([key]) => key,
    maxLength: 40,
  })
  .map((list) => list.map(([key, value]) => record(key, value)).sort((a, b) => Buffer.compare(a.key, b.key)));

function rewriteHeader(file: Buffer, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(file);
  change(copy);
  copy.writeUInt32BE(crc32(copy.subarray(0, 60)), 60);
  return copy;
}

describe("readTwoskip()", () => {
  test("reads the mailbox list of a real 3.6.1", () => {
    const reading = readTwoskip(mailboxes);
    expect(reading.damage).toEqual([]);
    expect(reading.recovered).toBe(false);
    const keys = pairs(reading).map(([key]) => key);
    expect(keys).toHaveLength(17);
    expect(keys).toContain("Nuser\x1ffred.smith\x1fWork.2024");
    expect([...keys].sort()).toEqual(keys);
  });

  test("reads every twoskip file of the fixtures without damage", () => {
    expect(files.length).toBeGreaterThan(10);
    for (const [path, bytes] of files) {
      const reading = readTwoskip(bytes);
      expect([path, reading.damage, reading.recovered]).toEqual([path, [], false]);
      expect(pairs(reading)).toHaveLength(reading.recordCount);
    }
  });

  test("ignores what lies beyond the committed size", () => {
    const longer = Buffer.concat([
      mailboxes,
      Buffer.from("+\x01\0\x04half a transaction"),
      Buffer.alloc(100),
    ]);
    expect(pairs(readTwoskip(longer))).toEqual(pairs(readTwoskip(mailboxes)));
  });

  test("reads the state before an unfinished transaction of a dirty file", () => {
    const before = encodeTwoskip([record("a", "1"), record("c", "3")]);
    const committed = before.length;
    const appended = encodeTwoskip([record("b", "2")]).subarray(336, 336 + 48);
    const torn = rewriteHeader(Buffer.concat([before, appended]), (header) => header.writeUInt32BE(1, 56));
    // The new record is linked from `a` through the older of its two links, as a writer does before it commits.
    const first = readRecordHead(torn, 336, committed);
    if (first === undefined) throw new Error("no first record");
    torn.writeBigUInt64BE(BigInt(committed), first.linkOffset + 8);
    torn.writeUInt32BE(crc32(torn.subarray(336, first.keyOffset - 8)), first.keyOffset - 8);
    const reading = readTwoskip(torn);
    expect(reading.header?.dirty).toBe(true);
    expect(reading.recovered).toBe(false);
    expect(pairs(reading)).toEqual([
      ["a", "1"],
      ["c", "3"],
    ]);
  });

  test("falls back to a scan when a link is broken, and says so", () => {
    for (const [path, bytes] of files) {
      const whole = pairs(readTwoskip(bytes));
      if (whole.length === 0) continue;
      const broken = Buffer.from(bytes);
      broken.fill(0xee, 64 + 8, 64 + 24);
      const reading = readTwoskip(broken);
      expect(reading.recovered).toBe(true);
      expect(reading.damage.length).toBeGreaterThan(0);
      expect([path, pairs(reading)]).toEqual([path, whole]);
    }
  });

  test("scans the whole file when the header's CRC is wrong", () => {
    const broken = Buffer.from(mailboxes);
    broken[50] = 0xff;
    const reading = readTwoskip(broken);
    expect(reading.header).toBeUndefined();
    expect(reading.recovered).toBe(true);
    expect(pairs(reading)).toEqual(pairs(readTwoskip(mailboxes)));
  });

  test("tells of a circle of links", () => {
    const file = encodeTwoskip([record("a", "1"), record("b", "2")]);
    const second = readRecordHead(file, 376, file.length);
    if (second === undefined || keyBytesOf(file, second).toString() !== "b") throw new Error("layout moved");
    file.writeBigUInt64BE(336n, second.linkOffset);
    file.writeUInt32BE(crc32(file.subarray(376, second.keyOffset - 8)), second.keyOffset - 8);
    const circular = readRecordHead(file, 376, file.length);
    expect(circular && nextOffset(file, circular, file.length)).toBe(336);
    const reading = readTwoskip(file);
    expect(reading.recovered).toBe(true);
    expect(reading.recordCount).toBe(2);
  });

  test("gives no record whose value is damaged, and names the loss", () => {
    const file = encodeTwoskip([record("a", "one"), record("b", "two")]);
    file[file.lastIndexOf("two")] = 0x54;
    const reading = readTwoskip(file);
    expect(pairs(reading)).toEqual([["a", "one"]]);
    expect(reading.damage.map(({ reason }) => reason).join()).toMatch(/counts 2 records/);
  });

  test("answers or throws its own error on every truncation and any flipped byte", () => {
    const whole = new Map(pairs(readTwoskip(mailboxes)));
    const check = (bytes: Buffer): void => {
      try {
        const reading = readTwoskip(bytes);
        expect(pairs(reading)).toHaveLength(reading.recordCount);
        if (!reading.recovered) for (const [key, value] of pairs(reading)) expect(whole.get(key)).toBe(value);
      } catch (error) {
        if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      }
    };
    for (let length = 0; length < mailboxes.length; length += length < 700 ? 1 : 13)
      check(mailboxes.subarray(0, length));
    fc.assert(
      fc.property(fc.nat(mailboxes.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const flipped = Buffer.from(mailboxes);
        flipped[at] = (flipped[at] as number) ^ mask;
        check(flipped);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) =>
        check(Buffer.concat([mailboxes.subarray(0, 64), bytes])),
      ),
    );
  });
});

describe("encodeTwoskip()", () => {
  test("what it writes is read back, whatever the keys and values", () => {
    fc.assert(
      fc.property(recordsArbitrary, (records) => {
        const reading = readTwoskip(encodeTwoskip(records));
        expect(reading.damage).toEqual([]);
        expect(pairs(reading)).toEqual(pairs({ records }));
      }),
    );
  });

  test("writes keys beyond 64 KiB and values beyond a block", () => {
    const records = [record("k".repeat(70_000), "v"), record("l", "w".repeat(200_000))];
    expect(pairs(readTwoskip(encodeTwoskip(records)))).toEqual(pairs({ records }));
  });

  test("links every level in order", () => {
    const records = Array.from({ length: 100 }, (_, i) => record(String(i).padStart(3, "0"), ""));
    const file = encodeTwoskip(records);
    for (let level = 1; level < 7; level++) {
      let at = Number(file.readBigUInt64BE(64 + 8 + 8 * (level + 1)));
      let seen = 0;
      while (at !== 0) {
        const head = readRecordHead(file, at, file.length);
        if (head === undefined) throw new Error(`level ${level} leads nowhere`);
        expect(head.level).toBeGreaterThan(level);
        seen++;
        at = Number(file.readBigUInt64BE(head.linkOffset + 8 * (level + 1)));
      }
      expect(seen).toBe(Math.floor(100 / 2 ** level));
    }
  });

  test("refuses records out of order as a bug of the caller", () => {
    expect(() => encodeTwoskip([record("b", ""), record("a", "")])).toThrow(TypeError);
  });
});

test("the worked example in docs/formats/cyrus-databases.md is what is written and read", () => {
  const page = readFileSync(new URL("../../../docs/formats/cyrus-databases.md", import.meta.url), "utf8");
  const dump = /```twoskip-example\n([^`]*)```/.exec(page)?.[1]?.trim().split("\n") ?? [];
  const parts = dump.flatMap((line, i) => {
    if (line !== "*") return [Buffer.from(line.slice(4).replaceAll(" ", ""), "hex")];
    const [from, to] = [dump[i - 1], dump[i + 1]].map((around) =>
      Number.parseInt(around?.slice(0, 4) ?? "", 16),
    );
    return [Buffer.alloc((to as number) - (from as number) - 16)];
  });
  const file = encodeTwoskip([record("Nshared", "%(T e)"), record("Nuser\x1fanna", "%(T el)")]);
  expect(file.toString("hex")).toBe(Buffer.concat(parts).toString("hex"));
  expect(readTwoskip(Buffer.concat(parts)).recordCount).toBe(2);
});

describe("scanTwoskip()", () => {
  test("agrees with the links in files that hold deletions", () => {
    const withDeletions = files.filter(([, bytes]) => bytes.includes(Buffer.from("2d000000000000", "hex")));
    expect(withDeletions.length).toBeGreaterThan(0);
    for (const [path, bytes] of files) {
      const reading = readTwoskip(bytes);
      const damage = new DamageList();
      const found = scanTwoskip(bytes, reading.header?.committedBytes, damage);
      expect(damage.entries).toEqual([]);
      expect([path, found.map((one) => keyBytesOf(bytes, one).toString("latin1"))]).toEqual([
        path,
        pairs(reading).map(([key]) => key),
      ]);
    }
  });
});
