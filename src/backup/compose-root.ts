/** The manifest root of a backup, from what the run has gathered. Pure. */
import { hostname } from "node:os";
import { toText } from "../base/byte-string.ts";
import type { MailboxListStyle } from "../cyrus/mailbox-list-entry.ts";
import { excludedMailbox } from "../manifest/excluded-mailboxes.ts";
import type { FindingSummary } from "../manifest/findings.ts";
import type { Content, ManifestRoot } from "../manifest/model.ts";
import type { ServerRoot } from "../source/roots.ts";
import type { ServerDescription } from "../source/server.ts";
import type { RunStats } from "../store/run-writer.ts";
import type { ExcludedMailbox } from "./join-server.ts";
import type { MailboxPlaces } from "./mailbox-places.ts";
import type { BackupOptions } from "./options.ts";
import type { PipelineCounts } from "./pipeline/pipeline.ts";
import { TEXT_LIST_VERSION } from "./read-mailbox-list.ts";
import { LEFT_OUT_REASON } from "./restrict-messages.ts";
import type { SurveyedFiles } from "./survey-files.ts";

export interface Surveyed extends SurveyedFiles {
  readonly roots: readonly ServerRoot[];
  readonly places: MailboxPlaces;
  readonly directories: { readonly total: number; readonly listed: number };
}

export interface Processed {
  tree: ManifestRoot["mailboxes"];
  total: number;
  changed: number;
  unchanged: number;
  new: number;
  gone: number;
  renamed: number;
  messages: number;
  messageBytes: number;
  files: number;
  fileBytes: number;
  /** Of any cyrus.index. */
  maxIndexVersion: number;
  /** By the position of the mailbox among today's: 1 where it was taken over, 2 where it is new, else 0. */
  readonly takenOver: Uint8Array;
}

export interface RootInput {
  readonly backup: string;
  readonly parent: ManifestRoot | undefined;
  readonly serverName: string;
  readonly startedMs: number;
  readonly cutMs: number;
  readonly cutView: ManifestRoot["view"];
  readonly completedMs: number;
  readonly server: ServerDescription;
  readonly options: BackupOptions;
  readonly acceptRules: readonly string[];
  readonly owners: Pick<ManifestRoot, "users" | "groups">;
  readonly surveyed: Surveyed;
  readonly processed: Processed;
  readonly messages: PipelineCounts;
  readonly filesBytesRead: number;
  readonly stored: RunStats;
  readonly findings: FindingSummary;
  readonly mailboxList: Content | undefined;
  readonly listing: {
    /** Of the mailbox list's records, as far as it was read. */
    readonly style: MailboxListStyle | undefined;
    readonly excluded: readonly ExcludedMailbox[];
    /** Messages that the filter left out, and their bytes. */
    readonly messagesLeftOut: { readonly files: number; readonly bytes: number };
    readonly remote: number;
  };
}

export function composeRoot(input: RootInput): ManifestRoot {
  const { server, options, owners, surveyed, processed, messages, stored, findings } = input;
  const { layout } = server;
  return {
    format: 1,
    backup: input.backup,
    parent: input.parent?.backup,
    server: input.serverName,
    host: hostname(),
    startedMs: input.startedMs,
    completedMs: input.completedMs,
    cutMs: input.cutMs,
    view: input.cutView,
    cyrus: {
      version: undefined,
      layout: {
        config: toText(server.configPath),
        mailboxList: toText(layout.databases.mailboxes.path ?? layout.configDirectory),
        ...(layout.defaultPartition === undefined
          ? {}
          : { defaultPartition: toText(layout.defaultPartition) }),
        metaPartitionFiles: [...layout.metaPartitionFiles].sort().join(" "),
        archiveEnabled: String(layout.archiveEnabled),
        hashImapSpool: String(layout.hashImapSpool),
        fullDirHash: String(layout.fullDirHash),
        virtDomains: layout.virtDomains,
        unixHierarchySep: String(layout.unixHierarchySep),
        altNamespace: String(layout.altNamespace),
        deletedPrefix: toText(layout.deletedPrefix),
        expungeMode: layout.expungeMode,
        deleteMode: layout.deleteMode,
        ...(input.listing.style === undefined
          ? {}
          : { mailboxListStyle: input.listing.style, mailboxListText: TEXT_LIST_VERSION }),
        remoteMailboxes: String(input.listing.remote),
        maxIndexVersion: String(processed.maxIndexVersion),
      },
    },
    roots: surveyed.roots.map(({ kind, name, path }) => ({ kind, name: toText(name), path })),
    selection: {
      excludeMailboxes: options.excludeMailboxes,
      includes: options.includes.map(toText),
      withoutDerivable: options.withoutDerivable,
      withSearch: options.withSearch,
      ...options.filter,
    },
    leftOut: [
      ...surveyed.leftOut,
      ...input.listing.excluded.map(({ name, option }) => excludedMailbox(name, option)),
      ...(input.listing.messagesLeftOut.files === 0
        ? []
        : [{ path: "*", reason: LEFT_OUT_REASON, ...input.listing.messagesLeftOut }]),
    ],
    acceptRules: input.acceptRules,
    users: owners.users,
    groups: owners.groups,
    mailboxes: processed.tree,
    files: surveyed.tree,
    findings: findings.tree,
    mailboxList: input.mailboxList,
    counts: {
      mailboxes: processed.total,
      changed: processed.changed,
      unchanged: processed.unchanged,
      new: processed.new,
      gone: processed.gone,
      messages: processed.messages,
      messagesNew: messages.messagesNew,
      messagesRead: messages.messagesRead,
      files: surveyed.files + processed.files,
      findings: findings.counts,
    },
    bytes: {
      source: processed.messageBytes + processed.fileBytes + surveyed.bytes,
      read: messages.bytesRead + input.filesBytesRead,
      added: stored.newBytes,
      stored: stored.storedBytes + stored.segmentBytes,
    },
  };
}
