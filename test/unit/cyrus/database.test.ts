import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { readDatabase, sniffEngine } from "../../../src/cyrus/database.ts";
import { encodeTwoskip } from "../../../src/cyrus/twoskip-encode.ts";
import { databaseFixtures, pairs, record } from "./database-fixtures.ts";

function withMagic(offset: number, magic: number, littleEndian: boolean): Buffer {
  const bytes = Buffer.alloc(512);
  if (littleEndian) bytes.writeUInt32LE(magic, offset);
  else bytes.writeUInt32BE(magic, offset);
  return bytes;
}

describe("sniffEngine()", () => {
  test.each([
    ["empty", Buffer.alloc(0)],
    ["twom", Buffer.from("\xa1\x02\x8b\x0dtwomfile\0\0\0\0rest of the header", "latin1")],
    ["zeroskip", Buffer.from("\xa1\x02\x8b\x0dzeroskip", "latin1")],
    ["sqlite", Buffer.from("SQLite format 3\0\x10\0", "latin1")],
    ["berkeley", withMagic(12, 0x053162, true)],
    ["berkeley", withMagic(12, 0x061561, false)],
    ["lmdb", withMagic(16, 0xbeefc0de, true)],
    ["flat", Buffer.from("user.fred\t\n")],
    ["flat", Buffer.from("\x1fVER\x1f\t2\nNINBOX\t\n", "latin1")],
    ["unknown", Buffer.alloc(100)],
    ["unknown", Buffer.from("some text\nwithout a tab\n")],
  ])("knows %s", (engine, bytes) => {
    expect(sniffEngine(bytes)).toBe(engine);
  });

  test("finds the engines of a real store", () => {
    const found = new Map([...databaseFixtures()].map(([path, bytes]) => [path, sniffEngine(bytes)]));
    expect(found.get("conf/mailboxes.db")).toBe("twoskip");
    expect(found.get("v19-c/conf/user/c/cassandane.conversations")).toBe("skiplist");
    expect([...found].find(([path]) => path.endsWith("/dav.db"))?.[1]).toBe("sqlite");
    expect([...found].find(([path]) => path.endsWith("/sub.db"))?.[1]).toBe("flat");
  });
});

describe("readDatabase()", () => {
  test("reads by what the file is", () => {
    const reading = readDatabase(encodeTwoskip([record("k", "v")]));
    expect(reading.engine).toBe("twoskip");
    expect(reading.readable && pairs(reading)).toEqual([["k", "v"]]);
  });

  test("says which engine it cannot read", () => {
    expect(readDatabase(withMagic(12, 0x053162, true))).toEqual({ readable: false, engine: "berkeley" });
  });

  test("answers or throws its own error on any bytes behind any magic", () => {
    const magics = [
      "",
      "\xa1\x02\x8b\x0dtwoskip file\0\0\0\0",
      "\xa1\x02\x8b\x0dskiplist file\0\0\0\0\0\0\x01",
    ];
    fc.assert(
      fc.property(fc.constantFrom(...magics), fc.uint8Array({ maxLength: 300 }), (magic, bytes) => {
        try {
          const reading = readDatabase(Buffer.concat([Buffer.from(magic, "latin1"), bytes]));
          if (reading.readable) expect(pairs(reading)).toHaveLength(reading.recordCount);
        } catch (error) {
          if (!isCyrvaultError(error)) throw error;
        }
      }),
    );
  });
});
