import { describe, expect, test } from "vitest";
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { forEachRecord, parseIndex } from "../../../src/cyrus/index-reader.ts";
import type { IndexRecord } from "../../../src/cyrus/index-record.ts";
import { encodeIndex } from "../../../src/cyrus/index-writer.ts";
import { parseMailboxHeader } from "../../../src/cyrus/mailbox-header.ts";
import { type MessageAnnotation, SyncCrc } from "../../../src/cyrus/sync-crc.ts";
import { readTwoskip } from "../../../src/cyrus/twoskip.ts";
import { type MailboxFixture, mailboxFixture, mailboxFixtures } from "./mailbox-fixtures.ts";

const FRED = "3.6.1/uuid/g/6/g6byen1vu96q3jihc5ujpjys";

/** Of each message, from the database beside the index. A record's value has its length before it. */
function annotationsOf(it: MailboxFixture): ReadonlyMap<number, MessageAnnotation[]> {
  const found = new Map<number, MessageAnnotation[]>();
  if (it.annotations === undefined) return found;
  for (const { key, value } of readTwoskip(it.annotations).records) {
    const [uid = "", entry = "", user = ""] = key.toString("latin1").split("\0");
    const owner = user === "[.OwNeR.]" ? "fred.smith" : user;
    const text = value.toString("latin1", 8, 8 + value.readUInt32BE(0));
    found.set(Number(uid), [...(found.get(Number(uid)) ?? []), annotation(entry, owner, text)]);
  }
  return found;
}

function annotation(entry: string, userId: string, value: string): MessageAnnotation {
  return { entry: fromText(entry), userId: fromText(userId), value: Buffer.from(value) };
}

function compute(
  index: Buffer,
  flagNames: readonly (ByteString | undefined)[],
  annotations?: ReadonlyMap<number, MessageAnnotation[]>,
): SyncCrc {
  const { header } = parseIndex(index);
  const crc = new SyncCrc(header, flagNames);
  forEachRecord(index.subarray(header.headerBytes), header, 0, (record) =>
    crc.add(record, annotations?.get(record.uid)),
  );
  return crc;
}

describe("SyncCrc", () => {
  const checked = mailboxFixtures().filter((it) => parseIndex(it.index).header.version >= 12);

  test("there are mailboxes to compare with", () => {
    expect(checked.length).toBeGreaterThanOrEqual(20);
  });

  test.each(checked.map((it) => [it.name, it] as const))("equals what Cyrus stored for %s", (_, it) => {
    const { header } = parseIndex(it.index);
    const crc = compute(it.index, parseMailboxHeader(it.header).flagNames, annotationsOf(it));
    expect(crc.basic).toBe(header.syncCrcBasic);
    if (header.version >= 13) expect(crc.annot).toBe(header.syncCrcAnnot);
  });

  test("annotations that the version keeps in the record are not counted twice", () => {
    const it = mailboxFixture(FRED);
    const { flagNames } = parseMailboxHeader(it.header);
    const own = annotation("/vendor/cmu/cyrus-imapd/savedate", "", "1");
    const plain = compute(it.index, flagNames);
    expect(compute(it.index, flagNames, new Map([[1, [own]]])).annot).toBe(plain.annot);
    expect(
      annotationsOf(it)
        .get(1)
        ?.map((one) => `${one.entry} ${one.userId}`),
    ).toEqual(["/comment ", "/comment fred.smith"]);
    expect(compute(it.index, flagNames, annotationsOf(it)).annot).not.toBe(plain.annot);
  });

  test("expunged messages and their annotations do not count", () => {
    const { index, header } = mailboxFixture("reconstruct-3.6.1/v17");
    const { flagNames } = parseMailboxHeader(header);
    const parsed = parseIndex(index);
    const without = encodeIndex(
      parsed.header,
      parsed.records.filter((record) => record.uid !== 4),
    );
    const expected = compute(without, flagNames);
    const crc = compute(index, flagNames, new Map([[4, [annotation("/comment", "", "x")]]]));
    expect([crc.basic, crc.annot]).toEqual([expected.basic, expected.annot]);
  });

  test("flag names count without regard to case, and only if the header names them", () => {
    const { index, header } = mailboxFixture("reconstruct-3.6.1/v17");
    const { flagNames } = parseMailboxHeader(header);
    const upper = flagNames.map((name) => name?.toUpperCase() as ByteString);
    expect(compute(index, upper).basic).toBe(compute(index, flagNames).basic);
    expect(compute(index, []).basic).not.toBe(compute(index, flagNames).basic);
  });

  test("thread ids with leading zeros fit both ways of writing them", () => {
    const it = mailboxFixture("3.6.1/uuid/g/a/ga0ls7pwcpwypb8grbm0vzti");
    const parsed = parseIndex(it.index);
    expect((parsed.records[0] as IndexRecord).threadId.toString(16)).toHaveLength(15);
    const crc = compute(it.index, parseMailboxHeader(it.header).flagNames);
    const newer = compute(
      encodeIndex({ ...parsed.header, version: 20 }, parsed.records),
      parseMailboxHeader(it.header).flagNames,
    );
    expect(newer.annot).not.toBe(crc.annot);
    expect([crc.annotFits(crc.annot), crc.annotFits(newer.annot), crc.annotFits(1)]).toEqual([
      true,
      true,
      false,
    ]);
  });
});
