/** Pages of findings, errors first: a reader that shows the first thousand shows the worst. */
import type { ByteString } from "../base/byte-string.ts";
import { fromText } from "../base/byte-string.ts";
import { type ByteReader, ByteWriter } from "../base/bytes.ts";
import type { Finding, FindingCode, Severity } from "./finding.ts";
import { FrontChain, readNear, writeNear } from "./numbers.ts";
import { assertAscending, beginPage, openPage, PAGE_KINDS, type PageCodec } from "./page-codec.ts";
import { joinPage, readCount, readFromTable, readStringTable, StringTableWriter } from "./page-tables.ts";

const SEVERITIES: readonly Severity[] = ["error", "warning", "note"];
const FLAGS = { mailbox: 4, uid: 8, accepted: 16 } as const;
const MAX_FLAGS = 31;
const U32 = 0xffff_ffff;
const UID_DIGITS = 10;
const MAX_MESSAGE_BYTES = 65_536;
const LEAST_BYTES = 6;

export const findingPages: PageCodec<Finding, ByteString> = {
  kind: PAGE_KINDS.findings,
  what: "finding page",
  keys: "string",
  cut: { min: 64, avg: 256, max: 1024 },
  key: findingKey,
  weigh: (entry) => 20 + entry.path.length + entry.message.length + (entry.mailbox?.length ?? 0),
  encode: encodeFindings,
  decode: decodeFindings,
};

/** What a finding is about, whatever its wording: the part of its key by which it is known again in the next backup. */
export function findingSubject(finding: Pick<Finding, "code" | "path" | "uid">): ByteString {
  const uid = finding.uid === undefined ? "" : String(finding.uid).padStart(UID_DIGITS, "0");
  return `${finding.code}\0${finding.path}\0${uid}\0` as ByteString;
}

/** Keys of all findings of a severity begin with it, and those of no other. */
export function severityPrefix(severity: Severity): ByteString {
  return String(SEVERITIES.indexOf(severity)) as ByteString;
}

function findingKey(finding: Finding): ByteString {
  return (severityPrefix(finding.severity) +
    findingSubject(finding) +
    fromText(finding.message)) as ByteString;
}

function encodeFindings(entries: readonly Finding[]): Uint8Array {
  assertAscending(entries, findingKey);
  const body = new ByteWriter(8192);
  const strings = new StringTableWriter();
  const paths = new FrontChain();
  let sinceMs = 0;
  body.varint(entries.length);
  for (const entry of entries) {
    body.varint(
      SEVERITIES.indexOf(entry.severity) |
        (entry.mailbox === undefined ? 0 : FLAGS.mailbox) |
        (entry.uid === undefined ? 0 : FLAGS.uid) |
        (entry.accepted ? FLAGS.accepted : 0),
    );
    body.varint(strings.position(fromText(entry.code)));
    paths.write(body, entry.path);
    if (entry.mailbox !== undefined) body.varint(strings.position(entry.mailbox));
    if (entry.uid !== undefined) body.varint(entry.uid);
    body.text(entry.message);
    writeNear(body, entry.sinceMs, sinceMs);
    sinceMs = entry.sinceMs;
  }
  const head = beginPage(PAGE_KINDS.findings);
  strings.write(head);
  return joinPage(head, body);
}

function decodeFindings(bytes: Uint8Array): Finding[] {
  const reader = openPage(bytes, PAGE_KINDS.findings, findingPages.what);
  const strings = readStringTable(reader);
  const paths = new FrontChain();
  const count = readCount(reader, LEAST_BYTES);
  if (count === 0) throw reader.damaged("it has no entries");
  const entries = new Array<Finding>(count);
  let previousKey: ByteString | undefined;
  let sinceMs = 0;
  for (let i = 0; i < count; i++) {
    const entry = readFinding(reader, strings, paths, sinceMs);
    const key = findingKey(entry);
    if (previousKey !== undefined && key <= previousKey) throw reader.damaged("its keys do not ascend");
    entries[i] = entry;
    previousKey = key;
    sinceMs = entry.sinceMs;
  }
  reader.end();
  return entries;
}

function readFinding(
  reader: ByteReader,
  strings: readonly ByteString[],
  paths: FrontChain,
  previousSinceMs: number,
): Finding {
  const flags = reader.varint(MAX_FLAGS);
  const severity = SEVERITIES[flags & 3];
  if (severity === undefined) throw reader.damaged("a finding has an unknown severity");
  const code = readCode(reader, strings);
  const path = paths.read(reader);
  const mailbox = flags & FLAGS.mailbox ? readFromTable(reader, strings) : undefined;
  const uid = flags & FLAGS.uid ? reader.varint(U32) : undefined;
  const message = reader.text(MAX_MESSAGE_BYTES);
  return {
    code,
    severity,
    path,
    ...(mailbox === undefined ? undefined : { mailbox }),
    ...(uid === undefined ? undefined : { uid }),
    message,
    sinceMs: readNear(reader, previousSinceMs),
    accepted: (flags & FLAGS.accepted) !== 0,
  };
}

/** A code of a newer version is kept as it is: it can be shown and accepted without being understood. */
function readCode(reader: ByteReader, strings: readonly ByteString[]): FindingCode {
  const code = readFromTable(reader, strings);
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(code)) throw reader.damaged("a finding's code is malformed");
  return code as string as FindingCode;
}
