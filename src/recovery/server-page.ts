/**
 * recovery/server-….txt: what a stranger has to know of one server to bring it up again. It is not encrypted: a root
 * holds more than may stand here, so everything is named that is taken from it. From imapd.conf nothing comes but the
 * options below, as the backup understood them.
 */
import { createHash } from "node:crypto";
import { toText } from "../base/byte-string.ts";
import { escapeForTerminal } from "../base/escape.ts";
import type { ManifestRoot } from "../manifest/model.ts";

/** In a root's layout, and as imapd.conf calls it. */
const OPTIONS: readonly (readonly [field: string, option: string])[] = [
  ["defaultPartition", "defaultpartition"],
  ["metaPartitionFiles", "metapartition_files"],
  ["archiveEnabled", "archive_enabled"],
  ["hashImapSpool", "hashimapspool"],
  ["fullDirHash", "fulldirhash"],
  ["virtDomains", "virtdomains"],
  ["unixHierarchySep", "unixhierarchysep"],
  ["altNamespace", "altnamespace"],
  ["deletedPrefix", "deletedprefix"],
  ["deleteMode", "delete_mode"],
  ["expungeMode", "expunge_mode"],
];

/** Where Cyrus lies. Single files may be at any place that imapd.conf names, what --include names has people's names in it. */
const PLACES: ReadonlySet<string> = new Set([
  "config",
  "partition",
  "metapartition",
  "archivepartition",
  "sieve",
  "search",
]);

/** Accounts below are the system's, not people's. */
const SYSTEM_ACCOUNTS_END = 1000;

const PLAIN_NAME = /^[0-9a-z][0-9a-z.-]{0,99}$/;

/** A name that is not plain (or could differ from another in case alone) is told apart by a hash. */
export function serverPageName(server: string): string {
  if (PLAIN_NAME.test(server)) return `server-${server}.txt`;
  const readable = server
    .toLowerCase()
    .replace(/[^0-9a-z.-]+/g, "_")
    .slice(0, 60);
  const digest = createHash("sha256").update(server, "utf8").digest("hex").slice(0, 12);
  return `server-${readable}-${digest}.txt`;
}

/** @param runbook - what to do after everything was restored in place: the same for every backup of this server. */
export function serverPage(root: ManifestRoot, runbook: string): string {
  const { cyrus, selection } = root;
  const server = escapeForTerminal(root.server);
  const title = `The server ${server}`;
  return [
    title,
    "=".repeat([...title].length),
    "As its newest backup found it. Where this came from, and whether to trust it: README.txt.",
    "",
    "Its places (the partition table of imapd.conf among them)",
    "---------------------------------------------------------",
    ...table(
      root.roots
        .filter(({ kind }) => PLACES.has(kind))
        .map(({ kind, name, path }) => [kind, name, toText(path)]),
    ),
    ...table([
      ["imapd.conf", "", cyrus.layout["config"] ?? ""],
      ...root.roots.flatMap(({ kind, path }) =>
        kind === "file" && path.endsWith("/cyrus.conf") ? [["cyrus.conf", "", toText(path)]] : [],
      ),
      ["mailbox list", "", cyrus.layout["mailboxList"] ?? ""],
    ]),
    "",
    "Options that decide where a file lies, what a folder is called, and what becomes of deleted mail",
    "-------------------------------------------------------------------------------------------------",
    "As Cyrus took them, defaults included. The whole imapd.conf and cyrus.conf are in the backups.",
    "",
    ...table(
      OPTIONS.flatMap(([field, option]) => {
        const value = cyrus.layout[field];
        return value === undefined ? [] : [[option, "", value === "" ? "none" : value]];
      }),
    ),
    "",
    "Accounts of the system that own files",
    "-------------------------------------",
    "They must exist before a restore; their numbers may differ.",
    "",
    ...table([
      ["users", "", systemNames(root.users)],
      ["groups", "", systemNames(root.groups)],
    ]),
    "",
    "What its backups leave out",
    "--------------------------",
    `  caches, conversations, dav.db: ${selection.withoutDerivable ? "left out, Cyrus makes them again" : "kept"}`,
    `  search indexes: ${selection.withSearch ? "kept" : "left out, Cyrus makes them again"}`,
    `  mailboxes: ${selection.excludeMailboxes.length === 0 ? "none" : "some are excluded: their mail is not here, and the restored mailboxes.db names them all the same"}`,
    "  never kept: the system itself, its packages and accounts, saslauthd, DNS, LDAP",
    "",
    "When all of it was lost",
    "-----------------------",
    "1. Install a Cyrus of the version named below or newer, and the accounts above. Do not start it.",
    "2. Give everything back, into its place. With cyrvault (in the repository's directory, as README.txt says):",
    "",
    `        cyrvault restore latest --server ${quoted(root.server)} --repo . --target /`,
    "",
    "   Then follow the runbook that it prints; it knows more than the one below.",
    "   With reader.py: restore into a new directory (the id of this server's newest backup is in what `list` prints), and copy",
    "   it to its place with owners, times and hard links:",
    "",
    "        cp -a ../restored/. /",
    "",
    "3. Do what follows.",
    "",
    runbook.trimEnd(),
    "",
  ].join("\n");
}

function table(rows: readonly (readonly string[])[]): string[] {
  return rows.map(([first = "", second = "", third = ""]) =>
    `  ${escapeForTerminal(first).padEnd(20)}${escapeForTerminal(second).padEnd(12)}${escapeForTerminal(third)}`.trimEnd(),
  );
}

function systemNames(names: Readonly<Record<string, string>>): string {
  const known = Object.entries(names).filter(([number]) => Number(number) < SYSTEM_ACCOUNTS_END);
  return (
    known
      .map(([, name]) => name)
      .sort()
      .join(", ") || "unknown"
  );
}

/** One word for a shell. What cannot be typed is left to whoever reads. */
function quoted(word: string): string {
  if (/^[0-9A-Za-z._-]+$/.test(word) && !word.startsWith("-")) return word;
  return `'${escapeForTerminal(word).replaceAll("'", "'\\''")}'`;
}
