import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromText } from "../../../src/base/byte-string.ts";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../../../src/cyrus/annotations.ts";
import { parseCounters } from "../../../src/cyrus/counters.ts";
import { readDatabase } from "../../../src/cyrus/database.ts";
import type { DatabaseRecord } from "../../../src/cyrus/database-record.ts";
import { encodeQuota, parseQuota } from "../../../src/cyrus/quota.ts";
import { parseSeenRecord } from "../../../src/cyrus/seen.ts";
import { readSubscriptions } from "../../../src/cyrus/subscriptions.ts";
import { fixture, record, unpackStore } from "./database-fixtures.ts";

const store = unpackStore();
const FRED = "conf/user/uuid/g/6/g6byen1vu96q3jihc5ujpjys";

function stored(path: string): Buffer {
  const bytes = store.get(path);
  if (bytes === undefined) throw new Error(`no ${path} in the store`);
  return bytes;
}

function recordsOf(path: string): DatabaseRecord[] {
  const reading = readDatabase(stored(path));
  if (!reading.readable) throw new Error(`${path} is ${reading.engine}`);
  return [...reading.records];
}

/** Answers or throws its own error, whatever the bytes. */
function survives(parse: (bytes: Buffer) => unknown, sample: Buffer): void {
  const check = (bytes: Buffer): void => {
    try {
      parse(bytes);
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
    }
  };
  for (let length = 0; length <= sample.length; length++) check(sample.subarray(0, length));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => check(Buffer.from(bytes))));
  fc.assert(
    fc.property(fc.nat(sample.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(sample);
      changed[at] = value;
      check(changed);
    }),
  );
}

describe("annotations", () => {
  test("are read as 3.6.1 wrote them", () => {
    const global = recordsOf("conf/annotations.db").map(({ key, value }) => ({
      ...parseAnnotationKey(key),
      ...parseAnnotationValue(value),
    }));
    expect(global.map(({ entry, user, value }) => [entry, user, value.toString()])).toMatchInlineSnapshot(`
      [
        [
          "/comment",
          "",
          "shared c",
        ],
        [
          "/comment",
          "[.OwNeR.]",
          "my private",
        ],
      ]
    `);
    const [first] = recordsOf("meta/uuid/g/6/g6byen1vu96q3jihc5ujpjys/cyrus.annotations");
    expect(first && parseAnnotationKey(first.key).subject).toBe("1");
    expect(first && parseAnnotationValue(first.value).modseq).toBe(22n);
  });

  test("of 32-bit servers and of 2.4 are read too", () => {
    const narrow = Buffer.concat([
      Buffer.from("00000002", "hex"),
      Buffer.from("hi\0text/plain\0"),
      Buffer.from("00000000000000000000000501", "hex"),
    ]);
    expect(parseAnnotationValue(narrow)).toMatchObject({ modseq: 5n, deleted: true });
    const old = Buffer.from("0000000200000000686900746578742f706c61696e000000000000000000", "hex");
    expect(parseAnnotationValue(old)).toEqual({ value: Buffer.from("hi"), modseq: 0n, deleted: false });
  });

  test("of the server have no mailbox", () => {
    expect(parseAnnotationKey(Buffer.from("\0/motd\0\0"))).toEqual({ subject: "", entry: "/motd", user: "" });
    expect(() => parseAnnotationKey(Buffer.from("x"))).toThrow(/annotation/);
  });

  test("of any bytes answer or throw their own error", () => {
    const [first] = recordsOf("conf/annotations.db");
    survives(parseAnnotationValue, first?.value as Buffer);
    survives(parseAnnotationKey, first?.key as Buffer);
  });
});

describe("seen records", () => {
  test("are read as 3.6.1 wrote them", () => {
    const [first] = recordsOf(`${FRED}/seen.db`);
    expect(first && parseSeenRecord(first.value)).toMatchInlineSnapshot(`
      {
        "lastChange": 1795290060,
        "lastRead": 1795290060,
        "lastUid": 1,
        "seenUids": "1",
      }
    `);
  });

  test("may have no UIDs", () => {
    expect(parseSeenRecord(Buffer.from("1 10 0 0 ")).seenUids).toBe("");
    expect(parseSeenRecord(Buffer.from("1 10 7 12 1:4,7"))).toEqual({
      lastRead: 10,
      lastUid: 7,
      lastChange: 12,
      seenUids: "1:4,7",
    });
    survives(parseSeenRecord, Buffer.from("1 10 7 12 1:4,7"));
  });
});

describe("subscriptions", () => {
  test("of 3.6 name the user's own mailboxes in full", () => {
    expect(readSubscriptions(recordsOf(`${FRED}/sub.db`), fromText("user.fred^smith"))).toEqual([
      "user.fred^smith",
      "user.fred^smith.Work^2024",
    ]);
  });

  test("of before are internal names", () => {
    const records = [record("INBOX.x", ""), record("user.bob", "")];
    expect(readSubscriptions(records, fromText("user.bob"))).toEqual(["INBOX.x", "user.bob"]);
  });

  test("of a version that is not known are refused", () => {
    expect(() => readSubscriptions([record("\x1fVER\x1f", "3")], fromText("user.a"))).toThrow(/version/);
  });
});

describe("quota roots", () => {
  test("are read as 3.6.1 wrote them, and written back the same", () => {
    const bytes = stored("conf/quota/f/user.fred^smith");
    const quota = parseQuota(bytes);
    expect(quota.resources.get("S")).toEqual({ used: 1241n, limit: 20000n });
    expect(quota.resources.get("M")).toEqual({ used: 7n });
    expect(quota.modseq).toBe(34n);
    expect(encodeQuota(quota).equals(bytes)).toBe(true);
  });

  test("are read as 2.4 wrote them", () => {
    const quota = parseQuota(fixture("quota_upgrade_v2_4.quota/user.cassandane"));
    expect([...quota.resources]).toMatchInlineSnapshot(`
      [
        [
          "S",
          {
            "limit": 100000n,
            "used": 8668n,
          },
        ],
      ]
    `);
    expect(parseQuota(Buffer.from("12\n-1\n")).resources.get("S")).toEqual({ used: 12n });
  });

  test("of any bytes answer or throw their own error", () => {
    survives(parseQuota, stored("conf/quota/f/user.fred^smith"));
    survives(parseQuota, Buffer.from("123\n456\n"));
  });
});

describe("counters", () => {
  test("are read as real servers wrote them", () => {
    expect(parseCounters(stored(`${FRED}/counters.db`))).toEqual({
      generation: 0x31,
      version: 9,
      highestModseq: 0x22n,
      uidvalidity: 1795290065,
    });
    for (const path of ["v19-a/conf/user/a/abc.counters", "v19-b/conf/user/c/cassandane.counters"])
      expect(parseCounters(fixture(path)).version).toBe(9);
  });

  test("a flipped byte is noticed", () => {
    const bytes = Buffer.from(stored(`${FRED}/counters.db`));
    bytes[100] = 1;
    expect(() => parseCounters(bytes)).toThrow(/CRC/);
    survives(parseCounters, stored(`${FRED}/counters.db`));
  });
});
