/** The frozen mailboxes.db: as entries for the survey, and as the text that `ctl_mboxlist -u` takes. */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type DatabaseReading, readDatabase } from "../cyrus/database.ts";
import {
  joinAcl,
  type MailboxListEntry,
  type MailboxListStyle,
  mailboxListStyle,
  readMailboxList,
} from "../cyrus/mailbox-list.ts";
import { guessVersionFamily, printTextList, type TextListFamily } from "../cyrus/mailbox-text-list.ts";
import { readSourceFile } from "../source/read-file.ts";
import type { SourceView } from "../source/view.ts";
import type { FindingSink } from "./finding-sink.ts";
import type { ListedMailbox } from "./mailbox-join.ts";

const LIST_BYTES_MAX = 2 ** 31 - 1;

export interface MailboxList {
  /** As on the server. */
  readonly path: ByteString;
  readonly style: MailboxListStyle;
  readonly family: TextListFamily;
  listed(): Iterable<ListedMailbox>;
  /** @param keep - which mailboxes the text names. */
  text(keep: (name: ByteString) => boolean): Iterable<Buffer>;
}

/** @returns undefined, with a finding, where the list cannot be read: directories alone say then what there is. */
export function openMailboxList(
  view: SourceView,
  path: ByteString,
  findings: FindingSink,
): MailboxList | undefined {
  const file = readListFile(view, path);
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
  if (!reading.readable) {
    findings.add(
      "database-unreadable",
      "error",
      path,
      `the mailbox list is a ${reading.engine} database, which is kept as it is and not understood; mailboxes are known by their directories only`,
    );
    findings.add(
      "mailbox-list-no-text",
      "error",
      path,
      "no text mailbox list could be made: keep one beside, with ctl_mboxlist -d and --include",
    );
    return undefined;
  }
  const { records } = reading;
  const style = mailboxListStyle(records);
  const family = guessVersionFamily(style, entriesOf(readMailboxList(records, style)));
  for (const item of readMailboxList(records, style)) {
    if (item.kind === "bad")
      findings.add(
        "mailbox-name-invalid",
        "error",
        path,
        `a record of the mailbox list is not understood: ${item.reason} (key ${toText(item.key)})`,
        { mailbox: item.key },
      );
  }
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
    family,
    *listed() {
      for (const entry of entriesOf(readMailboxList(records, style))) yield toListed(entry);
    },
    text: (keep) => printTextList(filterNames(entriesOf(readMailboxList(records, style)), keep), family),
  };
}

function readListFile(
  view: SourceView,
  path: ByteString,
): { readonly bytes: Buffer } | CyrvaultError | undefined {
  try {
    const resolved = view.resolve(path);
    return resolved === undefined ? undefined : readSourceFile(resolved.realPath, LIST_BYTES_MAX);
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
