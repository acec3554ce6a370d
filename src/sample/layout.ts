/**
 * Where a sample server keeps what: its configuration, and the directories that follow from it. The directories below
 * the server's own are `etc conf spool spool2 sieve run`, with `meta` and `archive` in the legacy layout.
 */
import { join } from "node:path";
import { type ByteString, fromText } from "../base/byte-string.ts";
import { assert } from "../base/errors.ts";
import {
  legacyMailboxPath,
  legacySieveDirectory,
  legacyUserFilePath,
  type PathRules,
  quotaFilePath,
  uuidMailboxPath,
  uuidUserFilePath,
} from "../cyrus/mailbox-path.ts";

/** uuid: what 3.6 does by itself. legacy: named directories, real hash letters, meta and archive partitions. */
export type SampleLayout = "uuid" | "legacy";

export type PartitionName = "default" | "second";

export interface MailboxLocation {
  readonly name: ByteString;
  readonly uniqueId: ByteString;
  readonly partition: PartitionName;
}

/** Absolute. The same directory may serve as all three. */
export interface MailboxDirectories {
  readonly messages: string;
  readonly meta: string;
  /** Of archived messages and their cache; undefined where the server archives nothing. */
  readonly archive: string | undefined;
}

const SPOOLS: Record<PartitionName, string> = { default: "spool", second: "spool2" };

export class ServerLayout {
  readonly directory: string;
  readonly kind: SampleLayout;
  readonly rules: PathRules;

  constructor(directory: string, kind: SampleLayout) {
    this.directory = directory;
    this.kind = kind;
    this.rules = { hashImapSpool: true, fullDirHash: kind === "legacy", virtualDomains: kind === "legacy" };
  }

  /** What the mailbox list says of a mailbox that holds mail. */
  get mailboxType(): ByteString {
    return fromText(this.kind === "uuid" ? "e" : "el");
  }

  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts);
  }

  get roots(): string[] {
    const roots = ["etc", "conf", "spool", "spool2", "sieve"];
    return this.kind === "uuid" ? roots : [...roots, "meta", "archive"];
  }

  mailboxDirectories({ name, uniqueId, partition }: MailboxLocation): MailboxDirectories {
    const relative = this.kind === "uuid" ? uuidMailboxPath(uniqueId) : legacyMailboxPath(name, this.rules);
    assert(relative !== undefined, "a sample mailbox has no usable unique id");
    const messages = this.path(SPOOLS[partition], relative);
    if (this.kind === "uuid" || partition !== "default")
      return { messages, meta: messages, archive: undefined };
    return { messages, meta: this.path("meta", relative), archive: this.path("archive", relative) };
  }

  userFile(user: ByteString, inboxId: ByteString, suffix: string): string {
    const relative =
      this.kind === "uuid" ? uuidUserFilePath(inboxId, suffix) : legacyUserFilePath(user, suffix, this.rules);
    assert(relative !== undefined, "a sample user has no usable unique id");
    return this.path("conf", relative);
  }

  sieveDirectory(user: ByteString, inboxId: ByteString): string {
    const relative = this.kind === "uuid" ? uuidMailboxPath(inboxId) : legacySieveDirectory(user, this.rules);
    assert(relative !== undefined, "a sample user has no usable unique id");
    return this.path("sieve", relative);
  }

  quotaFile(root: ByteString): string {
    return this.path("conf", quotaFilePath(root, this.rules));
  }

  /** @param prefix - stands before every path: the server's directory, or nothing where it is used as a file system's root. */
  imapdConf(prefix: string): string {
    const lines = [
      "# A sample server: every name and every message in it is invented.",
      "servername: mail.example.org",
      `configdirectory: ${prefix}/conf`,
      `proc_path: ${prefix}/run/proc`,
      `mboxname_lockpath: ${prefix}/run/lock`,
      "defaultpartition: default",
      `partition-default: ${prefix}/spool`,
      `partition-second: ${prefix}/spool2`,
      `sievedir: ${prefix}/sieve`,
      "admins: cyrus",
      "hashimapspool: true",
      "altnamespace: no",
      "delete_mode: delayed",
      "expunge_mode: delayed",
      ...(this.kind === "uuid" ? ["unixhierarchysep: yes"] : legacyLines(prefix)),
    ];
    return `${lines.join("\n")}\n`;
  }

  cyrusConf(): string {
    return [
      "START {",
      '  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r"',
      "}",
      "SERVICES {",
      '  imap cmd="imapd -U 30" listen="127.0.0.1:imap" prefork=0 maxchild=100',
      "}",
      "EVENTS {",
      '  checkpoint cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -c" period=30',
      '  delprune cmd="/usr/lib/cyrus/bin/cyr_expire -E 4 -D 28 -X 28" at=0401',
      "}",
      "",
    ].join("\n");
  }
}

function legacyLines(prefix: string): string[] {
  return [
    "unixhierarchysep: no",
    "mailbox_legacy_dirs: 1",
    "fulldirhash: yes",
    "virtdomains: userid",
    "defaultdomain: example.org",
    `metapartition-default: ${prefix}/meta`,
    "metapartition_files: header index cache annotations",
    "archive_enabled: yes",
    `archivepartition-default: ${prefix}/archive`,
  ];
}
