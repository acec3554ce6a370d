/** The frozen mailboxes.db: as entries for the survey, and as the text that `ctl_mboxlist -u` takes. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { FileStat } from "../base/file-stat.ts";
import { giveBack } from "../base/give-back.ts";
import { type DatabaseReading, readDatabase } from "../cyrus/database.ts";
import { mailboxListStyle, readMailboxList } from "../cyrus/mailbox-list.ts";
import { joinAcl, type MailboxListEntry, type MailboxListStyle } from "../cyrus/mailbox-list-entry.ts";
import { familyOf, isOfNewerFamily, printTextList } from "../cyrus/mailbox-text-list.ts";
import { readTextList, type TextListItem } from "../cyrus/mailbox-text-list-read.ts";
import { NOTHING_HELD, type SourceHolder } from "../source/held.ts";
import { dumpMailboxList } from "../source/mailbox-list-tool.ts";
import type { SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";
import { type ListedMailbox, ListedMailboxes } from "./listed-mailboxes.ts";

const LIST_BYTES_MAX = 2 ** 31 - 1;
/** Of the text that `MailboxList.text` gives for the same file: another number, another text. */
export const TEXT_LIST_VERSION = "1";

interface ListFile {
  readonly path: ByteString;
  readonly bytes: Buffer;
  readonly stat: FileStat;
}

export interface MailboxList {
  /** As on the server. */
  readonly path: ByteString;
  /** undefined: the list was read from the text that the site's own tool printed. */
  readonly style: MailboxListStyle | undefined;
  /** Of the file that was read: where it lies on the server when symlinks have been followed, and what it was. */
  readonly file: { readonly path: ByteString; readonly stat: FileStat };
  readonly listed: ListedMailboxes;
  /** @param keep - which mailboxes the text names. */
  text(keep: (name: ByteString) => boolean): Iterable<Buffer>;
  /** The file's bytes are given back: no text comes after this. */
  release(): void;
}

/** @returns undefined, with a finding, where the list cannot be read: directories alone say then what there is. */
export function openMailboxList(
  file: ListFile | CyrvaultError | undefined,
  path: ByteString,
  configPath: ByteString,
  findings: FindingSink,
): MailboxList | undefined {
  if (file === undefined || file instanceof CyrvaultError) {
    const why = file === undefined ? "there is no mailbox list" : file.message;
    findings.add(
      "database-unreadable",
      "error",
      path,
      `${why}: mailboxes are known by their directories only`,
    );
    return undefined;
  }
  let reading: DatabaseReading;
  try {
    reading = readDatabase(file.bytes);
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT") && !isCyrvaultError(error, "CYRUS_BAD_CHECKSUM"))
      throw error;
    findings.add(
      "database-damaged",
      "error",
      path,
      `${error.message}; mailboxes are known by their directories only`,
    );
    findings.add("mailbox-list-no-text", "error", path, "no text mailbox list could be made");
    return undefined;
  }
  if (!reading.readable) return listFromTool(file, path, configPath, reading.engine, findings);
  const { records } = reading;
  const style = mailboxListStyle(records);
  const listed = new ListedMailboxes();
  let newer = false;
  for (const item of readMailboxList(records, style)) {
    if (item.kind === "bad") nameBadRecord(item, path, findings);
    else {
      newer ||= isOfNewerFamily(style, item.entry);
      listed.add(toListed(item.entry));
    }
  }
  const family = familyOf(style, newer);
  for (const damage of reading.damage)
    findings.add(
      "database-damaged",
      "error",
      path,
      `the mailbox list is damaged at byte ${damage.offset}: ${damage.reason}`,
    );
  return {
    path,
    style,
    file,
    listed,
    text: (keep) => printTextList(filterNames(entriesOf(readMailboxList(records, style)), keep), family),
    release: () => giveBack(file.bytes),
  };
}

/** An engine that we do not read: the site's own tool may know it. */
function listFromTool(
  file: ListFile,
  path: ByteString,
  configPath: ByteString,
  engine: string,
  findings: FindingSink,
): MailboxList | undefined {
  const answer = dumpMailboxList({ list: file.bytes, owner: file.stat, configPath });
  const items = "text" in answer ? readTextOrProblem(answer.text) : answer.problem;
  if ("text" in answer && typeof items !== "string") {
    for (const item of items) if (item.kind === "bad") nameBadRecord(item, path, findings);
    return {
      path,
      style: undefined,
      file,
      listed: ListedMailboxes.of(
        items.flatMap((item) => (item.kind === "entry" ? toListed(item.entry) : [])),
      ),
      text: () => [answer.text],
      release: () => giveBack(file.bytes),
    };
  }
  findings.add(
    "database-unreadable",
    "error",
    path,
    `the mailbox list is a ${engine} database, which is kept as it is and not understood; mailboxes are known by their directories only`,
  );
  findings.add(
    "mailbox-list-no-text",
    "error",
    path,
    `no text mailbox list could be made (${String(items)}): keep one beside, with ctl_mboxlist -d and --include`,
  );
  return undefined;
}

function readTextOrProblem(text: Buffer): TextListItem[] | string {
  try {
    return readTextList(text);
  } catch (error) {
    if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
    return error.message;
  }
}

function nameBadRecord(
  { key, reason }: { readonly key: ByteString; readonly reason: string },
  path: ByteString,
  findings: FindingSink,
): void {
  const message = `a record of the mailbox list is not understood: ${reason} (key ${toText(key)})`;
  findings.add("mailbox-name-invalid", "error", path, message, { mailbox: key });
}

/** @returns what is wrong with it; undefined: there is none. */
export async function readMailboxListFile(
  view: SourceView,
  path: ByteString,
  holder: Pick<SourceHolder, "open"> = NOTHING_HELD,
): Promise<ListFile | CyrvaultError | undefined> {
  try {
    const resolved = view.resolve(path);
    const file = resolved === undefined ? undefined : await holder.open(resolved.realPath);
    if (resolved === undefined || file === undefined) return undefined;
    try {
      const { stat } = file;
      if (stat.size > LIST_BYTES_MAX)
        return new CyrvaultError(
          "SOURCE_INVALID",
          `${toText(path)} has ${stat.size} bytes, which is too many`,
        );
      return { bytes: file.read(0, stat.size), stat, path: resolved.serverPath };
    } finally {
      file.close();
    }
  } catch (error) {
    if (isCyrvaultError(error, "IO") || isCyrvaultError(error, "SOURCE_INVALID")) return error;
    throw error;
  }
}

function* entriesOf(
  items: Iterable<ReturnType<typeof readMailboxList> extends Generator<infer Item> ? Item : never>,
): Generator<MailboxListEntry> {
  for (const item of items) if (item.kind === "entry") yield item.entry;
}

function* filterNames(
  entries: Iterable<MailboxListEntry>,
  keep: (name: ByteString) => boolean,
): Generator<MailboxListEntry> {
  for (const entry of entries) if (keep(entry.name)) yield entry;
}

function toListed(entry: MailboxListEntry): ListedMailbox {
  const { name, uniqueid, partition, mailboxType, uidvalidity } = entry;
  return {
    name,
    uniqueid,
    partition,
    mailboxType,
    acl: entry.aclText ?? joinAcl(entry.acl),
    uidvalidity,
    kind: entry.remote
      ? "remote"
      : entry.tombstone || entry.intermediate || entry.reserved
        ? "none"
        : "local",
  };
}
