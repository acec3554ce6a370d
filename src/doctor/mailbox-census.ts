/** The mailbox list, read from the file itself, and what the headers of cyrus.index say of mailboxes: a sample of them. */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { readDatabase, SNIFF_BYTES, sniffEngine } from "../cyrus/database.ts";
import type { DatabaseDamage } from "../cyrus/database-record.ts";
import { DATABASES } from "../cyrus/imapd-conf-options.ts";
import { MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import { parseIndexHeader } from "../cyrus/index-reader.ts";
import { readMailboxList } from "../cyrus/mailbox-list.ts";
import type { MailboxListEntry } from "../cyrus/mailbox-list-entry.ts";
import { legacyMailboxPaths, uuidMailboxPath } from "../cyrus/mailbox-path.ts";
import { metaRootFor, type ServerLayout } from "../cyrus/server-layout.ts";
import { readSourceFile, SourceFile } from "../source/read-file.ts";
import type { SourceView } from "../source/view.ts";
import type { Check } from "./check.ts";

const LIST_BYTES_MAX = 2 ** 31 - 1;
/** Indexes opened at most: a second or two on a disk that turns. */
export const SAMPLE_MAX = 1_000;
const INDEX_NAME = "cyrus.index" as ByteString;

export interface Census {
  readonly mailboxes: number;
  /** Of the sample, those with an index that could be read. */
  readonly sampled: number;
  /** Estimated for all from the sample. */
  readonly messages: number;
  readonly bytes: number;
}

export interface ListLooked {
  readonly checks: readonly Check[];
  readonly entries: readonly MailboxListEntry[] | undefined;
}

/** The mailboxes of this server itself that hold mail; undefined where the list cannot be read. */
export function lookAtMailboxList(view: SourceView, layout: ServerLayout): ListLooked {
  const path = layout.databases.mailboxes.path;
  const unreadable = (why: string): ListLooked => ({
    entries: undefined,
    checks: [
      {
        code: "mailbox-list-unreadable",
        severity: "error",
        ...(path === undefined ? {} : { path: toText(path) }),
        message: `the mailbox list cannot be read: ${why}`,
        advice:
          "a backup would know mailboxes by their directories only: see that this is the right configuration, and that this user may read the file",
      },
    ],
  });
  try {
    const resolved = path === undefined ? undefined : view.resolve(path);
    if (resolved === undefined) return unreadable("there is none");
    const file = readSourceFile(resolved.realPath, LIST_BYTES_MAX);
    if (file === undefined) return unreadable("it is no regular file");
    const reading = readDatabase(file.bytes);
    // Named by lookAtDatabases.
    if (!reading.readable) return { entries: undefined, checks: [] };
    const entries: MailboxListEntry[] = [];
    for (const item of readMailboxList(reading.records))
      if (item.kind === "entry" && isLocal(item.entry)) entries.push(item.entry);
    return { entries, checks: [...judgeDamage(reading.damage, path), ...judgeUniqueids(entries)] };
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return unreadable(error.message);
  }
}

function judgeDamage(damage: readonly DatabaseDamage[], path: ByteString | undefined): Check[] {
  const [first] = damage;
  if (first === undefined) return [];
  return [
    {
      code: "mailbox-list-damaged",
      severity: "error",
      ...(path === undefined ? {} : { path: toText(path) }),
      message: `the mailbox list is damaged at byte ${first.offset}: ${first.reason}`,
      advice:
        "if Cyrus runs, look again: it may have been writing. Else stop it, keep a copy of the file, and let ctl_cyrusdb -r mend it",
    },
  ];
}

function isLocal({ remote, tombstone, intermediate, reserved }: MailboxListEntry): boolean {
  return !remote && !tombstone && !intermediate && !reserved;
}

export function judgeUniqueids(entries: readonly Pick<MailboxListEntry, "name" | "uniqueid">[]): Check[] {
  const guids: Check = {
    code: "guids-not-checked",
    severity: "note",
    message: "messages without a GUID are not looked for: that takes reading every index",
    advice: "a backup names them as findings",
  };
  const names = new Map<ByteString, ByteString[]>();
  for (const { name, uniqueid } of entries) {
    if (uniqueid === undefined) continue;
    const known = names.get(uniqueid);
    if (known === undefined) names.set(uniqueid, [name]);
    else known.push(name);
  }
  const twice = [...names].filter(([, mailboxes]) => mailboxes.length > 1);
  if (names.size === 0) return [guids];
  if (twice.length === 0) {
    return [
      { code: "duplicate-uniqueid", severity: "ok", message: "no two mailboxes have one uniqueid" },
      guids,
    ];
  }
  const [first] = twice;
  return [
    {
      code: "duplicate-uniqueid",
      severity: "warning",
      message: `${twice.length} uniqueids belong to more than one mailbox: ${(first?.[1] ?? []).slice(0, 5).map(toText).join(", ")} have ${toText(first?.[0] ?? ("" as ByteString))}`,
      advice:
        "from 3.6 on such mailboxes share one directory; reconstruct -I gives one of them another id (on a copy first)",
    },
    guids,
  ];
}

/** Files by their first bytes: what an engine is called in imapd.conf says nothing about files that exist. */
export function lookAtDatabases(view: SourceView, layout: ServerLayout): Check[] {
  const checks: Check[] = [];
  for (const { name } of DATABASES) {
    const { path } = layout.databases[name];
    if (path === undefined) continue;
    const engine = engineOf(view, path);
    if (engine === "berkeley") {
      checks.push({
        code: "berkeley-database",
        severity: "warning",
        path: toText(path),
        message: `${toText(path)} is a Berkeley database: kept as it is, and not understood`,
        advice:
          "stop Cyrus for the snapshot, so that its log is at rest; better, convert it with cvt_cyrusdb to twoskip or skiplist",
      });
    } else if (
      name === "mailboxes" &&
      (engine === "unknown" ||
        engine === "twom" ||
        engine === "zeroskip" ||
        engine === "lmdb" ||
        engine === "sqlite")
    ) {
      checks.push({
        code: "database-not-understood",
        severity: "warning",
        path: toText(path),
        message: `the mailbox list is a ${engine} database, which is kept as it is and not understood`,
        advice:
          "a backup asks the site's own ctl_mboxlist for its text; see in its findings whether that went well",
      });
    }
  }
  return checks;
}

function engineOf(view: SourceView, path: ByteString): string | undefined {
  try {
    const resolved = view.resolve(path);
    const file = resolved === undefined ? undefined : SourceFile.open(resolved.realPath);
    if (file === undefined) return undefined;
    try {
      return sniffEngine(file.read(0, SNIFF_BYTES));
    } finally {
      file.close();
    }
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return undefined;
  }
}

/** Opens at most SAMPLE_MAX indexes, evenly spread over the list, and reads the header of each. */
export function takeCensus(
  view: SourceView,
  layout: ServerLayout,
  entries: readonly MailboxListEntry[],
): Census {
  const step = Math.max(1, Math.ceil(entries.length / SAMPLE_MAX));
  let sampled = 0;
  let messages = 0;
  let bytes = 0;
  for (let at = 0; at < entries.length; at += step) {
    const header = readHeader(view, layout, entries[at] as MailboxListEntry);
    if (header === undefined) continue;
    sampled++;
    messages += header.recordCount;
    const share = header.exists === 0 ? 1 : header.recordCount / header.exists;
    // Expunged messages still have files; only the newest indexes count them, so they are taken to be as large as the rest.
    bytes += Number(header.quotaMailboxUsed) * Math.max(1, share);
  }
  const scale = sampled === 0 ? 0 : entries.length / sampled;
  return {
    mailboxes: entries.length,
    sampled,
    messages: Math.round(messages * scale),
    bytes: Math.round(bytes * scale),
  };
}

function readHeader(view: SourceView, layout: ServerLayout, entry: MailboxListEntry) {
  const root = entry.partition === undefined ? undefined : metaRootFor(layout, "index", entry.partition);
  if (root === undefined) return undefined;
  for (const directory of directoriesOf(layout, entry)) {
    try {
      const resolved = view.resolve(joinPath(joinPath(root, directory), INDEX_NAME));
      const file = resolved === undefined ? undefined : SourceFile.open(resolved.realPath);
      if (file === undefined) continue;
      try {
        return parseIndexHeader(file.read(0, MAX_HEADER_BYTES));
      } finally {
        file.close();
      }
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
    }
  }
  return undefined;
}

function directoriesOf(layout: ServerLayout, { name, uniqueid }: MailboxListEntry): ByteString[] {
  const byId = uniqueid === undefined ? undefined : uuidMailboxPath(uniqueid);
  const byName = legacyMailboxPaths(name, {
    hashImapSpool: layout.hashImapSpool,
    fullDirHash: layout.fullDirHash,
    virtualDomains: layout.virtDomains !== "off",
  });
  return byId === undefined ? byName : [byId, ...byName];
}
