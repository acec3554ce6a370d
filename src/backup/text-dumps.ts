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
import { parseQuota } from "../cyrus/quota.ts";
import { contentSize, storeContent } from "../manifest/content.ts";
import type { FileEntry } from "../manifest/model.ts";
import type { PageSink } from "../manifest/pages-io.ts";
import { textDumpDirectory } from "../manifest/text-dumps.ts";
import type { ReadNow } from "../source/held.ts";
import { listDirectory } from "../source/list-directory.ts";
import { lstatSource, readSourceFile } from "../source/read-file.ts";
import { relativeTo, type SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";

const FILE_BYTES_MAX = 2 ** 31 - 1;
const STRETCH_BYTES = 64 * 1024;
const LF = Buffer.from("\n");
const TAB = Buffer.from("\t");

export interface TextDumpInput {
  readonly layout: Pick<ServerLayout, "configDirectory" | "databases">;
  readonly view: SourceView;
  readonly sink: PageSink;
  readonly findings: FindingSink;
  readonly startedMs: number;
  /** How files are read, where that is not as they lie. */
  readonly readNow?: ReadNow | undefined;
}

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

function dumps(input: TextDumpInput): Record<string, Iterable<Buffer>> {
  const { layout } = input;
  const config = layout.configDirectory;
  const annotations = layout.databases.annotations.path ?? joinPath(config, "annotations.db" as ByteString);
  const users = [joinPath(config, "user" as ByteString), joinPath(config, "domain" as ByteString)];
  const quotas = [joinPath(config, "quota" as ByteString), joinPath(config, "domain" as ByteString)];
  return {
    "README.txt": [Buffer.from(README)],
    "annotations.flat": flatLines(input, annotations),
    "annotations.txt": annotationLines(input, annotations),
    "quotas.txt": quotaLines(input, quotas),
    "seen.txt": recordLines(input, users, ".seen"),
    "subscriptions.txt": recordLines(input, users, ".sub"),
  };
}

function* flatLines(input: TextDumpInput, path: ByteString): Generator<Buffer> {
  for (const record of recordsOf(input, path)) yield encodeFlat([record]);
}

/** mailbox, entry, user, value. Tombstones are none. */
function* annotationLines(input: TextDumpInput, path: ByteString): Generator<Buffer> {
  for (const { key, value } of recordsOf(input, path)) {
    try {
      const { subject, entry, user } = parseAnnotationKey(key);
      const { value: text, deleted } = parseAnnotationValue(value);
      if (!deleted) yield line(subject, entry, user, text);
    } catch (error) {
      if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      input.findings.add("database-damaged", "warning", path, `not in the text dump: ${error.message}`);
    }
  }
}

/** file, key, value: of each user's database. */
function* recordLines(input: TextDumpInput, below: readonly ByteString[], ending: string): Generator<Buffer> {
  for (const path of filesBelow(input, below)) {
    if (!path.endsWith(ending)) continue;
    const name = relativeTo(path, input.layout.configDirectory);
    for (const { key, value } of recordsOf(input, path)) yield line(name, key, value);
  }
}

/** root, resource, used, limit (`-`: none). */
function* quotaLines(input: TextDumpInput, below: readonly ByteString[]): Generator<Buffer> {
  const database = input.layout.databases.quotas.path;
  if (database !== undefined && lstatSource(input.view.locate(database))?.type === "file")
    for (const { key, value } of recordsOf(input, database))
      yield* quotaOf(input, database, fromBytes(key), value);
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
  { findings }: TextDumpInput,
  path: ByteString,
  root: ByteString,
  bytes: Buffer,
): Generator<Buffer> {
  try {
    for (const [resource, { used, limit }] of parseQuota(bytes).resources)
      yield line(root, resource as ByteString, `${used}` as ByteString, `${limit ?? "-"}` as ByteString);
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
    findings.add("database-damaged", "warning", path, `not in the text dump: ${error.message}`);
  }
}

function* recordsOf(input: TextDumpInput, path: ByteString): Generator<DatabaseRecord> {
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
  { view, findings, readNow = readSourceFile }: TextDumpInput,
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
function* filesBelow(input: TextDumpInput, tops: readonly ByteString[]): Generator<ByteString> {
  for (const top of tops) {
    const { directories = [], files = [] } = listOrTell(input, top) ?? {};
    for (const name of files) yield joinPath(top, name);
    yield* filesBelow(
      input,
      directories.map((name) => joinPath(top, name)),
    );
  }
}

function listOrTell({ view, findings }: TextDumpInput, path: ByteString): ReturnType<typeof listDirectory> {
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

const README = `What these files hold, as it was when the backup was made. Columns are separated by tabs. NUL, tab, line
end and 0xFF inside a column are written as 0xFF and the byte with its top bit set.

annotations.flat   annotations.db in Cyrus's flat format
annotations.txt    the same to be read: mailbox (uniqueid, or name before 3.6; empty: the server), entry,
                   user (empty: shared; [.OwNeR.]: the owner), value
seen.txt           file below the configdirectory, uniqueid of the mailbox, what was read (1, last time, last UID,
                   last change, UIDs)
subscriptions.txt  file below the configdirectory, mailbox, value
quotas.txt         quota root, resource (S storage, M messages, AS annotations, NF folders), used, limit (S and AS: KiB)

To bring them back, with the server stopped, as the user of Cyrus:

  cvt_cyrusdb $PWD/annotations.flat flat /var/lib/cyrus/annotations.db twoskip

  awk -F'\\t' -v OFS='\\t' '$1 == "user/a/anna.seen" { print $2, $3 }' seen.txt > /tmp/anna.seen
  cvt_cyrusdb /tmp/anna.seen flat /var/lib/cyrus/user/a/anna.seen twoskip

  awk -F'\\t' -v OFS='\\t' '$1 == "user/a/anna.sub" { print $2, $3 }' subscriptions.txt > /var/lib/cyrus/user/a/anna.sub

Quotas, on the running server, for each line with a limit, in cyradm: setquota user.anna STORAGE 100000
(S is STORAGE, M is MESSAGE, AS is X-ANNOTATION-STORAGE, NF is X-NUM-FOLDERS). Then quota -f counts what is used.
`;
