import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isCyrvaultError } from "../../../src/base/errors.ts";
import { INTERNAL_EXPUNGED, systemFlagNames, userFlagNames } from "../../../src/cyrus/flags.ts";
import { indexFormat, MAX_HEADER_BYTES } from "../../../src/cyrus/index-format.ts";
import {
  forEachRecord,
  indexExtent,
  parseIndex,
  parseIndexHeader,
  recordOffset,
} from "../../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../../src/cyrus/index-record.ts";
import { encodeIndexHeader, encodeIndexRecord } from "../../../src/cyrus/index-writer.ts";
import { parseMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { mailboxFixture, mailboxFixtures } from "./mailbox-fixtures.ts";

const fixtures = mailboxFixtures();
const v17 = mailboxFixture("reconstruct-3.6.1/v17");

function failure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("index formats", () => {
  test("have the offsets that the format document states", () => {
    const at = (version: number, name: string) =>
      indexFormat(version)?.header.find((field) => field.name === name)?.offset;
    expect([8, 17, 19, 20].map((version) => at(version, "highestModseq"))).toEqual([68, 68, 72, 72]);
    expect([12, 17, 19, 20].map((version) => at(version, "syncCrcBasic"))).toEqual([100, 100, 100, 100]);
    expect([17, 18, 19, 20].map((version) => at(version, "changesEpochNs"))).toEqual([136, 136, 152, 160]);
    expect([18, 19, 20].map((version) => at(version, "quotaExpungedUsed"))).toEqual([148, 144, 144]);
    expect(at(20, "recentUid")).toBe(184);
    const recordAt = (version: number, name: string) =>
      indexFormat(version)?.record.find((field) => field.name === name)?.offset;
    expect([8, 9, 10, 17, 20].map((version) => recordAt(version, "modseq"))).toEqual([72, 72, 80, 80, 80]);
    expect([12, 13, 16, 20].map((version) => recordAt(version, "cacheCrc"))).toEqual([88, 96, 104, 136]);
    expect([13, 20].map((version) => recordAt(version, "threadId"))).toEqual([88, 88]);
    expect(recordAt(20, "saveDateNs")).toBe(120);
  });

  test("leave no room between the last field and the CRC of a record", () => {
    for (const version of [12, 13, 16, 19, 20]) {
      const format = indexFormat(version);
      expect((format?.record.at(-1)?.offset ?? 0) + 8).toBe(format?.recordBytes);
    }
  });
});

describe("parseIndex() on mailboxes of real servers", () => {
  test("there are mailboxes of versions 6 to 19", () => {
    const versions = new Set(fixtures.map((it) => parseIndexHeader(it.index).version));
    expect([...versions].sort((a, b) => a - b)).toEqual([6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19]);
  });

  test.each(fixtures.map((it) => [it.name, it] as const))(
    "%s: every CRC, size and GUID is right",
    (_, it) => {
      const { header, records, badRecords, extent } = parseIndex(it.index);
      expect(header.crcOk).toBe(true);
      expect(badRecords).toEqual([]);
      expect(extent).toEqual({
        recordsPresent: header.recordCount,
        recordsMissing: 0,
        recordsBeyond: 0,
        oddBytes: 0,
      });
      if (header.version >= 12) {
        expect(header.headerFileCrc).toBe(crc32(it.header));
        expect(records.filter((record) => (record.flagWord & INTERNAL_EXPUNGED) === 0)).toHaveLength(
          header.exists,
        );
      }
      expect(records.map((record) => record.uid)).toEqual([...it.messages.keys()].sort((a, b) => a - b));
      for (const record of records) {
        const message = it.messages.get(record.uid) ?? Buffer.alloc(0);
        expect(record.size).toBe(message.length);
        if (header.version >= 10)
          expect(Buffer.from(record.guid ?? [])).toEqual(createHash("sha1").update(message).digest());
        else expect(record.guid).toBeUndefined();
        expect(record.uid).toBeLessThanOrEqual(header.lastUid);
      }
    },
  );

  test("reads dates, flags and flag names of a version 17 mailbox", () => {
    const { records, header } = parseIndex(v17.index);
    const { flagNames } = parseMailboxHeader(v17.header);
    const seen = records.map((record) => ({
      uid: record.uid,
      date: record.internalDateNs / 1_000_000_000n,
      flags: [...systemFlagNames(record.flagWord), ...userFlagNames(record.userFlags, flagNames).names],
      expunged: (record.flagWord & INTERNAL_EXPUNGED) !== 0,
    }));
    // The one who marked 1 and 5 as seen was not the owner: that is in his seen database, not here.
    expect(seen).toEqual([
      { uid: 1, date: 1704189600n, flags: ["$Label1"], expunged: false },
      { uid: 2, date: 1704276000n, flags: ["\\Answered", "\\Flagged", "Later"], expunged: false },
      { uid: 3, date: 1704362400n, flags: ["\\Draft", "$Label1", "Later"], expunged: false },
      { uid: 4, date: 1704448800n, flags: ["\\Deleted"], expunged: true },
      { uid: 5, date: 1704535200n, flags: ["$Forwarded"], expunged: false },
    ]);
    expect(header).toMatchObject({ exists: 4, recordCount: 5, lastUid: 5, deletedCount: 0 });
  });

  test("the same mailbox says the same in every version that can say it", () => {
    const basics = [6, 7, 8, 13, 14, 15, 16, 17].map((version) =>
      parseIndex(mailboxFixture(`reconstruct-3.6.1/v${version}`).index).records.map((record) => [
        record.uid,
        record.internalDateNs,
        record.size,
        record.headerSize,
        record.userFlags,
      ]),
    );
    for (const other of basics) expect(other).toEqual(basics[0]);
  });

  test("gives what old versions lack: counts and modseqs that stand for it", () => {
    const old = parseIndexHeader(mailboxFixture("v9/version9").index);
    expect(old).toMatchObject({ exists: old.recordCount, deletedModseq: old.highestModseq });
    expect(old.headerFileCrc).toBeUndefined();
    expect(parseIndexHeader(mailboxFixture("reconstruct-3.6.1/v6").index).highestModseq).toBe(1n);
    const v16 = parseIndexHeader(mailboxFixture("reconstruct-3.6.1/v16").index);
    expect(v16.changesEpochNs).toBe(v16.lastRepackNs);
  });
});

describe("parseIndexHeader()", () => {
  test("needs no more than the first 192 bytes", () => {
    for (const { index } of fixtures)
      expect(parseIndexHeader(index.subarray(0, MAX_HEADER_BYTES))).toEqual(parseIndexHeader(index));
  });

  test("refuses every shorter prefix of a good header", () => {
    for (const { index } of fixtures) {
      const { headerBytes } = parseIndexHeader(index);
      for (let length = 0; length < headerBytes; length++) {
        const error = failure(() => parseIndexHeader(index.subarray(0, length)));
        expect(isCyrvaultError(error, "CYRUS_BAD_FORMAT"), `${length}`).toBe(true);
      }
    }
  });

  test("refuses a header in which any one bit has flipped, from version 12 on", () => {
    fc.assert(
      fc.property(fc.nat(160 * 8 - 1), (bit) => {
        const damaged = Buffer.from(v17.index);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(isCyrvaultError(failure(() => parseIndexHeader(damaged)))).toBe(true);
      }),
    );
  });

  test("takes a wrong CRC on request, and says so", () => {
    const damaged = Buffer.from(v17.index);
    damaged.writeUInt32BE(77, 28);
    expect(
      isCyrvaultError(
        failure(() => parseIndexHeader(damaged)),
        "CYRUS_BAD_CHECKSUM",
      ),
    ).toBe(true);
    expect(parseIndexHeader(damaged, { acceptBadCrc: true })).toMatchObject({ crcOk: false, lastUid: 77 });
  });

  test.each([0, 5, 11, 21, 0xffff_ffff])("refuses version %i", (version) => {
    const other = Buffer.from(v17.index);
    other.writeUInt32BE(version, 8);
    expect(() => parseIndexHeader(other)).toThrow(/unknown version/);
  });

  test("refuses sizes that are not the version's", () => {
    for (const offset of [12, 16]) {
      const other = Buffer.from(v17.index);
      other.writeUInt32BE(144, offset);
      expect(() => parseIndexHeader(other)).toThrow(/sizes do not fit/);
    }
  });

  test("takes version 19 with records of 144 bytes, and reads them by the 19 layout", () => {
    const { header, records } = parseIndex(mailboxFixture("v19-a/data/user/cassandane").index);
    const odd = Buffer.concat([
      encodeIndexHeader(header, 144),
      ...records.map((record) => encodeIndexRecord(record, 19, 144)),
    ]);
    expect(odd.length).toBe(160 + 4 * 144);
    const read = parseIndex(odd);
    expect(read.header.recordBytes).toBe(144);
    expect(read.badRecords).toEqual([]);
    expect(read.records).toEqual(records);
  });
});

describe("records", () => {
  test("a wrong record CRC is told of that record, and the others are read", () => {
    const { header, records } = parseIndex(v17.index);
    const damaged = Buffer.from(v17.index);
    damaged[recordOffset(header, 2) + 12] = 0xff;
    const read = parseIndex(damaged);
    expect(read.badRecords).toEqual([2]);
    expect(read.records.filter((_, i) => i !== 2)).toEqual(records.filter((_, i) => i !== 2));
  });

  test("any one flipped bit in a record is noticed", () => {
    const { header } = parseIndex(v17.index);
    fc.assert(
      fc.property(fc.nat(5 * 112 * 8 - 1), (bit) => {
        const damaged = Buffer.from(v17.index);
        const at = header.headerBytes + (bit >> 3);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (bit & 7));
        expect(parseIndex(damaged).badRecords).toEqual([Math.floor((bit >> 3) / 112)]);
      }),
    );
  });

  test("records after the committed ones are counted and not read", () => {
    const { header } = parseIndex(v17.index);
    const appended = Buffer.concat([v17.index, v17.index.subarray(160, 160 + 112), Buffer.alloc(7)]);
    const read = parseIndex(appended);
    expect(read.records).toHaveLength(5);
    expect(read.extent).toEqual({ recordsPresent: 5, recordsMissing: 0, recordsBeyond: 1, oddBytes: 7 });
    expect(indexExtent(header, 160 + 111)).toMatchObject({ recordsPresent: 0, recordsMissing: 5 });
  });

  test("a file cut short anywhere after its header gives its whole records and what is missing", () => {
    for (let length = 160; length < v17.index.length; length++) {
      const { records, extent } = parseIndex(v17.index.subarray(0, length));
      expect(records).toHaveLength(Math.floor((length - 160) / 112));
      expect(extent.recordsMissing).toBe(5 - records.length);
    }
  });

  test("can be visited in stretches, with the file's own indexes", () => {
    const header = parseIndexHeader(v17.index);
    const seen: [number, number][] = [];
    const visit = (from: number, to: number) =>
      forEachRecord(
        v17.index.subarray(160 + from * 112, 160 + to * 112),
        header,
        from,
        ({ index, uid }) => void seen.push([index, uid]),
      );
    expect([visit(0, 2), visit(2, 5), visit(5, 5)]).toEqual([2, 3, 0]);
    expect(seen).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ]);
    expect(() => forEachRecord(v17.index.subarray(160, 200), header, 0, () => {})).toThrow(RangeError);
  });

  test("a GUID of zeros and a GUID that the version lacks are both no GUID", () => {
    const { header, records } = parseIndex(v17.index);
    const zero = encodeIndexRecord({ ...(records[0] as IndexRecord), guid: Buffer.alloc(20) }, 17);
    const v9 = mailboxFixture("v9/version9").index;
    const flags: boolean[] = [];
    forEachRecord(zero, header, 0, (view) => flags.push(view.hasGuid, view.guid !== undefined));
    forEachRecord(v9.subarray(96, 176), parseIndexHeader(v9), 0, (view) =>
      flags.push(view.hasGuid, view.guid !== undefined),
    );
    forEachRecord(v17.index.subarray(160, 272), header, 0, (view) => flags.push(view.hasGuid));
    expect(flags).toEqual([false, true, false, false, true]);
  });

  test("random bytes after a good header never throw", () => {
    const header = { ...parseIndexHeader(v17.index), recordCount: 1000 };
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 112, maxLength: 112 }), (bytes) => {
        forEachRecord(bytes, header, 0, (view) => {
          expect(view.crcOk).toBe(false);
          view.toRecord();
        });
      }),
    );
  });
});

test("random bytes are an index or a CyrvaultError", () => {
  const prefix = Buffer.from(v17.index.subarray(0, 24));
  fc.assert(
    fc.property(fc.boolean(), fc.uint8Array({ maxLength: 400 }), (withPrefix, bytes) => {
      const input = withPrefix ? Buffer.concat([prefix, bytes]) : bytes;
      const error = failure(() => parseIndex(input));
      expect(error === undefined || isCyrvaultError(error)).toBe(true);
      const lenient = failure(() => parseIndex(input, { acceptBadCrc: true }));
      expect(lenient === undefined || isCyrvaultError(lenient)).toBe(true);
    }),
  );
});
