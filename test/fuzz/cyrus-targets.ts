/** Fuzz targets: the formats of Cyrus. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { type ByteString, fromBytes } from "../../src/base/byte-string.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../../src/cyrus/annotations.ts";
import { parseCounters } from "../../src/cyrus/counters.ts";
import { readDatabase, sniffEngine } from "../../src/cyrus/database.ts";
import type { DatabaseRecord, RecordSource } from "../../src/cyrus/database-record.ts";
import { type Dlist, parseDlist, parseWholeDlist, printDlist } from "../../src/cyrus/dlist.ts";
import { encodeFlat, readFlat } from "../../src/cyrus/flat.ts";
import { parseImapdConf } from "../../src/cyrus/imapd-conf.ts";
import { effectiveLayout } from "../../src/cyrus/imapd-conf-layout.ts";
import { parseIndex, parseIndexHeader } from "../../src/cyrus/index-reader.ts";
import { aclEntries, parseMailboxHeader } from "../../src/cyrus/mailbox-header.ts";
import { mailboxListStyle, readMailboxList } from "../../src/cyrus/mailbox-list.ts";
import { externalName, nameFromDbname, parseDeletedName, userOf } from "../../src/cyrus/mailbox-name.ts";
import {
  legacyMailboxPath,
  nameFromLegacyPath,
  quotaRootFromPath,
  userFromPath,
} from "../../src/cyrus/mailbox-path.ts";
import { familyOf, printTextList } from "../../src/cyrus/mailbox-text-list.ts";
import { readTextList } from "../../src/cyrus/mailbox-text-list-read.ts";
import { parseQuota } from "../../src/cyrus/quota.ts";
import { parseSeenRecord } from "../../src/cyrus/seen.ts";
import { readSkiplist } from "../../src/cyrus/skiplist.ts";
import { readSubscriptions } from "../../src/cyrus/subscriptions.ts";
import { readTwoskip } from "../../src/cyrus/twoskip.ts";
import { encodeTwoskip } from "../../src/cyrus/twoskip-encode.ts";
import { eachByItself, type FuzzTarget, requireThat } from "./target.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures/cyrus");
const FORMAT: readonly ErrorCode[] = ["CYRUS_BAD_FORMAT", "CYRUS_BAD_CHECKSUM"];
const SEED_BYTES_MAX = 64 * 1024;
const RULES = { hashImapSpool: false, fullDirHash: false, virtualDomains: true };

function fixtures(name: RegExp): Buffer[] {
  return readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)).subarray(0, SEED_BYTES_MAX))
    .filter((bytes, i, all) => all.findIndex((other) => other.equals(bytes)) === i);
}

const text = (...seeds: string[]): Buffer[] => seeds.map((seed) => Buffer.from(seed, "latin1"));

const RECORDS: readonly DatabaseRecord[] = [
  ["$RACL", ""],
  ["Nuser\x1fanna", "%(A %(anna lrswipkxtecdan) I 5b1b4d2e2f8b P default V 1700000000)"],
  ["Nuser\x1fanna\x1fWork", "%(I 0123 P default F 3 M 1700000000)"],
  ["user.bert", "0 default bert\tlrswipcda\t"],
  ["user.carl", "%(A %(carl lrs) I abc P default)"],
].map(([key, value]) => ({ key: Buffer.from(key as string, "latin1"), value: Buffer.from(value as string) }));

function exhaust({ records, recordCount, damage }: RecordSource): void {
  let count = 0;
  for (const { key, value } of records) {
    count++;
    requireThat(key.length >= 0 && value.length >= 0, "a record without key or value");
  }
  requireThat(count === recordCount, `${count} records, not ${recordCount}`);
  requireThat(damage.length <= 101, "more damage than is described");
}

/** Every checksum of a cyrus.index made right, so that the mutations reach what lies behind it. */
function withIndexCrcs(input: Buffer): Buffer {
  if (input.length < 24) return input;
  const headerBytes = input.readUInt32BE(12);
  const recordBytes = input.readUInt32BE(16);
  if (recordBytes < 8 || recordBytes > 4096 || headerBytes < 8 || headerBytes > input.length) return input;
  input.writeUInt32BE(crc32(input.subarray(0, headerBytes - 4)), headerBytes - 4);
  for (let end = headerBytes + recordBytes; end <= input.length; end += recordBytes)
    input.writeUInt32BE(crc32(input.subarray(end - recordBytes, end - 4)), end - 4);
  return input;
}

export const CYRUS_TARGETS: readonly FuzzTarget[] = [
  {
    name: "cyrus-index",
    seeds: () => fixtures(/^cyrus\.index$/),
    codes: FORMAT,
    run: (input) =>
      eachByItself(
        () => parseIndexHeader(input),
        () => parseIndex(input),
        () => parseIndex(withIndexCrcs(input)),
      ),
  },
  {
    name: "cyrus-header",
    seeds: () => fixtures(/^cyrus\.header$/),
    codes: FORMAT,
    run: (input) => aclEntries(parseMailboxHeader(input).acl),
  },
  {
    name: "cyrus-twoskip",
    seeds: () => [encodeTwoskip(RECORDS), ...fixtures(/\.(db|conversations|annotations)$/)],
    codes: FORMAT,
    run: (input) => exhaust(readTwoskip(input)),
  },
  {
    name: "cyrus-skiplist",
    seeds: () => [skiplistSeed(), ...fixtures(/\.(db|annotations)$/)],
    codes: FORMAT,
    run: (input) => exhaust(readSkiplist(input)),
  },
  {
    name: "cyrus-flat",
    seeds: () => [encodeFlat(RECORDS), ...text("a\tb\nc\td\n")],
    codes: FORMAT,
    run: (input) => exhaust(readFlat(input)),
  },
  {
    name: "cyrus-database",
    seeds: () => [
      encodeTwoskip(RECORDS),
      encodeFlat(RECORDS),
      skiplistSeed(),
      ...fixtures(/\.(db|annotations)$/),
    ],
    codes: FORMAT,
    run: (input) => {
      sniffEngine(input.subarray(0, 4096));
      const reading = readDatabase(input);
      if (reading.readable) exhaust(reading);
    },
  },
  {
    name: "cyrus-dlist",
    seeds: () => [
      ...text(
        '%(A %(anna lrs) I abc P default V 1700000000 F NIL S "a b\\"" L {3+}\r\na\nb)',
        "(a (b (c)) %{default 0123456789012345678901234567890123456789 4}\r\nmail)",
      ),
      ...fixtures(/^sync-.*\.txt$/),
    ],
    codes: FORMAT,
    run: (input) =>
      eachByItself(
        () => {
          const { value, end } = parseDlist(input);
          requireThat(end <= input.length, "a value that ends behind the end");
          // A flag is read as Cyrus reads it, and only printed as one if it can be one.
          if (hasOddFlag(value)) return;
          const printed = printDlist(value);
          requireThat(
            printDlist(parseWholeDlist(printed)).equals(printed),
            "printed, parsed and printed: another",
          );
        },
        () => parseWholeDlist(input),
      ),
  },
  {
    name: "cyrus-mailbox-list",
    seeds: () => [
      encodeFlat(RECORDS),
      ...text(
        "Nuser\x1fanna\t%(A %(anna lrs) I abc P default)\nIabc\t%(N user\x1fanna P default H (%(N user\x1fx F 1)))\n",
      ),
    ],
    codes: FORMAT,
    run: (input) => {
      const records = linesOf(input);
      const style = mailboxListStyle(records);
      const items = [...readMailboxList(records, style)];
      const entries = items.flatMap((item) => (item.kind === "entry" ? [item.entry] : []));
      for (const entry of entries) legacyMailboxPath(entry.name, RULES);
      for (const _ of printTextList(entries, familyOf(style, true))) void _;
    },
  },
  {
    name: "cyrus-text-list",
    seeds: () => text("user.anna\t0 default anna\tlrswipcda\t\nuser.b\t%(A %(b lrs) I abc P default)\n"),
    codes: FORMAT,
    run: (input) => readTextList(input),
  },
  {
    name: "cyrus-names",
    seeds: () =>
      text(
        "user.anna.Work",
        "a/user/anna/Work",
        "DELETED.user.anna.68A1B2C3",
        "example.org!user.a^b",
        "domain/e/example.org/a/user/anna/x",
      ),
    codes: FORMAT,
    run: (input) => {
      const name = fromBytes(input);
      nameFromDbname(name);
      parseDeletedName(name);
      userOf(name);
      externalName(name, { unixHierarchySeparator: true, virtualDomains: true });
      nameFromLegacyPath(name, RULES);
      userFromPath(name);
      quotaRootFromPath(name);
    },
  },
  {
    name: "cyrus-annotations",
    seeds: () => [
      ...text(
        "k5\0/comment\0anna\0",
        "v\0\0\0\x05\0\0\0\0hello\0text/plain\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07\x01",
      ),
    ],
    codes: FORMAT,
    run: (input) =>
      input[0] === 0x6b ? parseAnnotationKey(input.subarray(1)) : parseAnnotationValue(input.subarray(1)),
  },
  {
    name: "cyrus-quota",
    seeds: () => [
      ...text("1234 STORAGE 5\n1000\n", "%(S (1 2) M (3 4) X-AS (5 -1))\n", "123\n-1\n"),
      ...fixtures(/quota/),
    ],
    codes: FORMAT,
    run: (input) => parseQuota(input),
  },
  {
    name: "cyrus-counters",
    seeds: () => fixtures(/\.counters$/),
    codes: FORMAT,
    run: (input) => {
      if (input.length >= 48)
        input.writeUInt32BE(crc32(input.subarray(0, input.length - 4)), input.length - 4);
      parseCounters(input);
    },
  },
  {
    name: "cyrus-seen",
    seeds: () =>
      text("1 1700000000 5 1699999999 1:5,7", "%(L 1700000000 U 7 C 1699999999 S 1:7)", "2 0 0 0 "),
    codes: FORMAT,
    run: (input) => parseSeenRecord(input),
  },
  {
    name: "cyrus-subscriptions",
    seeds: () =>
      text("user.anna\t\nuser.anna.Work\t\n", "VERSION\t2\nNINBOX\x1fWork\t\n", "VERSION\t2\nN^0\t\n"),
    codes: FORMAT,
    run: (input) => readSubscriptions(linesOf(input), "user.anna" as ByteString),
  },
  {
    name: "cyrus-imapd-conf",
    seeds: () =>
      text(
        "configdirectory: /var/lib/cyrus\npartition-default: /var/spool/cyrus/mail\n# comment\nsievedir: /var/lib/sieve\nhashimapspool: yes\nmetapartition_files: header index\nmetapartition-default: /meta\n@include: /etc/other.conf\n",
        "configdirectory: /c\ndefaultpartition: a\npartition-a: /a\narchivepartition-a: /b\nsearch_engine: xapian\ndefaultsearchtier: t\ntsearchpartition-a: /s\nmboxlist_db: skiplist\nmboxlist_db_path: {configdirectory}/m.db\narchive_after: 7d\nunixhierarchysep: \\\n yes\n",
      ),
    codes: ["CONFIG_INVALID"],
    run: (input) => {
      const included = Buffer.from("partition-other: /other\n");
      const conf = parseImapdConf("/etc/imapd.conf" as ByteString, (path) =>
        path === "/etc/imapd.conf" ? input : path.length % 2 === 0 ? included : undefined,
      );
      return eachByItself(
        () => effectiveLayout(conf),
        () => effectiveLayout(conf, { cyrusVersion: "2.4.22" }),
      );
    },
  },
];

function hasOddFlag(value: Dlist): boolean {
  if (value.kind === "flag") return !/^\\[a-zA-Z]+$/.test(value.value);
  if (value.kind === "list") return value.items.some(hasOddFlag);
  return value.kind === "pairs" && value.entries.some((entry) => hasOddFlag(entry.value));
}

/** Records as lines `key TAB value`: so the mutations reach the values, not the engine. */
function linesOf(input: Buffer): DatabaseRecord[] {
  return input
    .toString("latin1")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [key = "", ...value] = line.split("\t");
      return { key: Buffer.from(key, "latin1"), value: Buffer.from(value.join("\t"), "latin1") };
    });
}

/** A skiplist of one level, two records and a commit, as Cyrus lays it out. */
function skiplistSeed(): Buffer {
  const header = Buffer.alloc(48);
  header.write("\xa1\x02\x8b\x0dskiplist file\0\0\0", "latin1");
  for (const [at, value] of [1, 2, 20, 1, 2, 0, 0].entries()) header.writeUInt32BE(value, 20 + at * 4);
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    return bytes;
  };
  const padded = (value: string) =>
    Buffer.concat([Buffer.from(value), Buffer.alloc((4 - (value.length % 4)) % 4)]);
  const pointers = Array.from({ length: 20 }, () => u32(0));
  const dummy = Buffer.concat([u32(257), u32(0), u32(0), ...pointers, u32(0xffff_ffff)]);
  const record = (key: string, value: string, next: number) =>
    Buffer.concat([
      u32(1),
      u32(key.length),
      padded(key),
      u32(value.length),
      padded(value),
      u32(next),
      u32(0xffff_ffff),
    ]);
  const first = record("user.anna", "0 default anna\tlrs\t", 0);
  const start = header.length + dummy.length;
  dummy.writeUInt32BE(start, 12);
  const second = record("user.bert", "0 default bert\tlrs\t", 0);
  const linked = record("user.anna", "0 default anna\tlrs\t", start + first.length);
  const body = Buffer.concat([linked, second]);
  header.writeUInt32BE(start + body.length, 40);
  return Buffer.concat([header, dummy, body, u32(255)]);
}
