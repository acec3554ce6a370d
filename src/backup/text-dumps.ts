/**
 * Annotations, seen state, subscriptions and quotas as text that is read without Cyrus and brought back by its tools.
 * Made from the frozen databases, a stretch at a time; each becomes a file below the configdirectory, which the server
 * does not have.
 */
import { type ByteString, fromBytes, joinPath, pathKey, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { FileStat } from "../base/file-stat.ts";
import { parseAnnotationKey, parseAnnotationValue } from "../cyrus/annotations.ts";
import { readDatabase } from "../cyrus/database.ts";
import type { DatabaseRecord } from "../cyrus/database-record.ts";
import { encodeFlat, escapeFlat } from "../cyrus/flat.ts";
import type { ServerLayout } from "../cyrus/imapd-conf-layout.ts";
import { inboxOf, userOf } from "../cyrus/mailbox-name.ts";
import { parseQuota, type Quota } from "../cyrus/quota.ts";
import { isSubscriptionsVersion, subscriptionName } from "../cyrus/subscriptions.ts";
import { contentSize, storeContent } from "../manifest/content.ts";
import type { FileEntry } from "../manifest/model.ts";
import type { PageSink } from "../manifest/pages-io.ts";
import { type TEXT_DUMP_NAMES, textDumpDirectory } from "../manifest/text-dumps.ts";
import type { ReadNow } from "../source/held.ts";
import { listDirectory } from "../source/list-directory.ts";
import { lstatSource, readSourceFile } from "../source/read-file.ts";
import { relativeTo, type SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";
import { ListedMailboxes } from "./listed-mailboxes.ts";
import { MailboxesByUniqueid } from "./mailboxes-by-uniqueid.ts";
import { textDumpReadme } from "./text-dumps-readme.ts";

const FILE_BYTES_MAX = 2 ** 31 - 1;
const STRETCH_BYTES = 64 * 1024;
const LF = Buffer.from("\n");
const TAB = Buffer.from("\t");

export interface TextDumpInput {
  readonly layout: Pick<ServerLayout, "configDirectory" | "databases" | "virtDomains">;
  /** Whose mailboxes uniqueids are; undefined: nobody knows. */
  readonly listed: ListedMailboxes | undefined;
  readonly view: SourceView;
  readonly sink: PageSink;
  readonly findings: FindingSink;
  readonly startedMs: number;
  /** How files are read, where that is not as they lie. */
  readonly readNow?: ReadNow | undefined;
}

/** Of whoever reads the server. */
type ReadInput = Pick<TextDumpInput, "layout" | "view" | "readNow"> & {
  readonly findings: { add(...finding: Parameters<FindingSink["add"]>): unknown };
};

const NOTHING = "" as ByteString;

/** Entries of the directory and its files, ascending by key. What cannot be read is a finding, and not in the text. */
export async function makeTextDumps(input: TextDumpInput): Promise<FileEntry[]> {
  const { layout, view, sink, startedMs } = input;
  const directory = textDumpDirectory(layout.configDirectory);
  const mtimeNs = BigInt(startedMs) * 1_000_000n;
  const owner = lstatSource(view.locate(layout.configDirectory))?.stat;
  const stat = (mode: number, size: number): FileStat => {
    const { uid = 0, gid = 0 } = owner ?? {};
    return { mode, uid, gid, size, mtimeNs, ctimeNs: mtimeNs, inode: 0, links: 1 };
  };
  const entries: FileEntry[] = [
    { path: directory, stat: stat(0o40700, 0), fileClass: "derivable", racy: false },
  ];
  for (const [name, lines] of Object.entries(dumps(input))) {
    const content = await storeContent(inStretches(lines), sink);
    const path = joinPath(directory, name as ByteString);
    entries.push({
      path,
      stat: stat(0o100600, contentSize(content)),
      fileClass: "derivable",
      racy: false,
      content,
    });
  }
  return entries.sort((a, b) => (pathKey(a.path) < pathKey(b.path) ? -1 : 1));
}

function dumps(input: TextDumpInput): Record<(typeof TEXT_DUMP_NAMES)[number], Iterable<Buffer>> {
  const { layout } = input;
  const config = layout.configDirectory;
  const annotations = layout.databases.annotations.path ?? joinPath(config, "annotations.db" as ByteString);
  const users = [joinPath(config, "user" as ByteString), joinPath(config, "domain" as ByteString)];
  const quotas = [joinPath(config, "quota" as ByteString), joinPath(config, "domain" as ByteString)];
  const mailboxes = new MailboxesByUniqueid(input.listed ?? ListedMailboxes.of([]));
  return {
    "README.txt": [Buffer.from(textDumpReadme())],
    "annotations.flat": flatLines(input, annotations),
    "annotations.txt": annotationLines(input, annotations, mailboxes),
    "quotas.flat": quotaFlat(input, quotas),
    "quotas.txt": quotaLines(input, quotas),
    "seen.txt": seenLines(input, users, mailboxes),
    "subscriptions.txt": subscriptionLines(input, users, mailboxes),
  };
}

function* flatLines(input: TextDumpInput, path: ByteString): Generator<Buffer> {
  for (const record of recordsOf(input, path)) yield encodeFlat([record]);
}

/** mailbox, entry, user, value, name of the mailbox. Tombstones are none. */
function* annotationLines(
  input: TextDumpInput,
  path: ByteString,
  mailboxes: MailboxesByUniqueid,
): Generator<Buffer> {
  for (const { key, value } of recordsOf(input, path)) {
    try {
      const { subject, entry, user } = parseAnnotationKey(key);
      const { value: text, deleted } = parseAnnotationValue(value);
      const name = mailboxes.nameOf(subject) ?? subject;
      if (!deleted) yield line(subject, entry, user, text, name);
    } catch (error) {
      if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      input.findings.add("database-damaged", "warning", path, `not in the text dump: ${error.message}`);
    }
  }
}

/** file, key, value of each user's database, then the user, and the mailbox that is meant. */
function* seenLines(
  input: TextDumpInput,
  below: readonly ByteString[],
  mailboxes: MailboxesByUniqueid,
): Generator<Buffer> {
  for (const { path, name, user } of usersFiles(input, below, "seen", mailboxes))
    for (const { key, value } of recordsOf(input, path))
      yield line(name, key, value, user, mailboxes.nameOf(fromBytes(key)) ?? NOTHING);
}

/** The same of subscriptions. */
function* subscriptionLines(
  input: TextDumpInput,
  below: readonly ByteString[],
  mailboxes: MailboxesByUniqueid,
): Generator<Buffer> {
  const hasDomains = input.layout.virtDomains !== "off";
  for (const { path, name, user } of usersFiles(input, below, "sub", mailboxes)) {
    let byDbname = false;
    for (const { key, value } of recordsOf(input, path)) {
      const isVersion = isSubscriptionsVersion(key);
      byDbname ||= isVersion;
      const mailbox = isVersion ? undefined : subscriptionName(key, byDbname, inboxOf(user, hasDomains));
      yield line(name, key, value, user, mailbox ?? NOTHING);
    }
  }
}

interface UsersFile {
  readonly path: ByteString;
  /** Below the configdirectory. */
  readonly name: ByteString;
  /** Empty: the list of mailboxes has nobody whose it could be. */
  readonly user: ByteString;
}

/** `user/a/anna.sub`, `domain/e/example.com/user/b/bob.sub`, `user/uuid/4/2/42…/sub.db`: by the INBOX's uniqueid. */
function* usersFiles(
  input: TextDumpInput,
  below: readonly ByteString[],
  suffix: "seen" | "sub",
  mailboxes: MailboxesByUniqueid,
): Generator<UsersFile> {
  for (const path of filesBelow(input, below)) {
    const name = relativeTo(path, input.layout.configDirectory);
    const [, uniqueid, newer] = /^user\/uuid\/[^/]+\/[^/]+\/([^/]+)\/([a-z]+)\.db$/.exec(name) ?? [];
    if (uniqueid !== undefined) {
      if (newer !== suffix) continue;
      const inbox = mailboxes.nameOf(uniqueid as ByteString);
      yield { path, name, user: (inbox === undefined ? undefined : userOf(inbox)) ?? NOTHING };
    } else if (name.endsWith(`.${suffix}`)) {
      const local = name.slice(name.lastIndexOf("/") + 1, -suffix.length - 1);
      const [, domain] = /^domain\/[^/]+\/([^/]+)\//.exec(name) ?? [];
      yield { path, name, user: (domain === undefined ? local : `${local}@${domain}`) as ByteString };
    }
  }
}

/** root, resource, used, limit (`-`: none). */
function* quotaLines(input: TextDumpInput, below: readonly ByteString[]): Generator<Buffer> {
  for (const { root, resources } of quotasOf(input, below))
    for (const [resource, { used, limit }] of resources)
      yield line(root, resource as ByteString, `${used}` as ByteString, `${limit ?? "-"}` as ByteString);
}

/** Cyrus's flat format, which `cvt_cyrusdb` makes any engine's of, its directory of files too. */
function* quotaFlat(input: ReadInput, below: readonly ByteString[]): Generator<Buffer> {
  // What was said of a quota that is not read is not said again.
  const silent = { ...input, findings: { add: () => undefined } };
  for (const { root, bytes } of quotasOf(silent, below)) {
    const key = Buffer.from(root, "latin1");
    yield encodeFlat([{ key, value: Buffer.from(toOneLine(bytes), "latin1") }]);
  }
}

/** As lib/cyrusdb_quotalegacy.c hands it over (myfetch): the file without its end, lines joined by spaces. */
function toOneLine(bytes: Buffer): string {
  return bytes.toString("latin1").replace(/\n$/, "").replaceAll("\n", " ");
}

interface RootsQuota {
  readonly root: ByteString;
  readonly resources: Quota["resources"];
  readonly bytes: Buffer;
}

function* quotasOf(input: ReadInput, below: readonly ByteString[]): Generator<RootsQuota> {
  const database = input.layout.databases.quotas.path;
  if (database !== undefined && lstatSource(input.view.locate(database))?.type === "file")
    for (const { key, value } of recordsOf(input, database))
      yield* quotaOf(input, database, fromBytes(key), Buffer.from(value));
  for (const path of filesBelow(input, below)) {
    if (!path.includes("/quota/")) continue;
    const bytes = readOrTell(input, path);
    const [, domain] = /\/domain\/[^/]+\/([^/]+)\/quota\//.exec(path) ?? [];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const root = domain === undefined ? name : `${domain}!${name === "root" ? "" : name}`;
    if (bytes !== undefined) yield* quotaOf(input, path, root as ByteString, bytes);
  }
}

function* quotaOf(
  { findings }: ReadInput,
  path: ByteString,
  root: ByteString,
  bytes: Buffer,
): Generator<RootsQuota> {
  try {
    yield { root, resources: parseQuota(bytes).resources, bytes };
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
    findings.add("database-damaged", "warning", path, `not in the text dump: ${error.message}`);
  }
}

function* recordsOf(input: ReadInput, path: ByteString): Generator<DatabaseRecord> {
  const bytes = readOrTell(input, path);
  if (bytes === undefined) return;
  try {
    const reading = readDatabase(bytes);
    if (reading.readable) {
      yield* reading.records;
      return;
    }
    const message = `not in the text dump: ${reading.engine} is not read here`;
    input.findings.add("database-unreadable", "warning", path, message);
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT") && !isCyrvaultError(error, "CYRUS_BAD_CHECKSUM"))
      throw error;
    input.findings.add("database-damaged", "warning", path, `not in the text dump: ${error.message}`);
  }
}

function readOrTell(
  { view, findings, readNow = readSourceFile }: ReadInput,
  path: ByteString,
): Buffer | undefined {
  try {
    return readNow(view.locate(path), FILE_BYTES_MAX)?.bytes;
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    findings.add("database-unreadable", "warning", path, `not in the text dump: ${error.message}`);
    return undefined;
  }
}

/** Regular files, in the order of their paths; through no symbolic link below. */
function* filesBelow(input: ReadInput, tops: readonly ByteString[]): Generator<ByteString> {
  for (const top of tops) {
    const { directories = [], files = [] } = listOrTell(input, top) ?? {};
    for (const name of files) yield joinPath(top, name);
    yield* filesBelow(
      input,
      directories.map((name) => joinPath(top, name)),
    );
  }
}

function listOrTell({ view, findings }: ReadInput, path: ByteString): ReturnType<typeof listDirectory> {
  try {
    return listDirectory(view.locate(path), "none");
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    findings.add(
      "database-unreadable",
      "warning",
      path,
      `not in the text dumps: ${toText(path)} cannot be read`,
    );
    return undefined;
  }
}

/** Bytes that would break a line or a column are written as in Cyrus's flat files. */
function line(...columns: readonly (ByteString | Uint8Array)[]): Buffer {
  const parts = columns.flatMap((column, at) => {
    const bytes = typeof column === "string" ? Buffer.from(column, "latin1") : Buffer.from(column);
    return at === 0 ? [escapeFlat(bytes)] : [TAB, escapeFlat(bytes)];
  });
  return Buffer.concat([...parts, LF]);
}

async function* inStretches(lines: Iterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  for (const one of lines) {
    held.push(one);
    bytes += one.length;
    if (bytes < STRETCH_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  yield Buffer.concat(held);
}
