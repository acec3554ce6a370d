/** A backup made by hand: some mailboxes with messages, their index and header, in a repository in memory. */
import { type ByteString, fromText } from "../../../src/base/byte-string.ts";
import { newBackupId } from "../../../src/manifest/backup-id.ts";
import { storeContent } from "../../../src/manifest/content.ts";
import type { Finding } from "../../../src/manifest/finding.ts";
import { findingPages } from "../../../src/manifest/finding-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type {
  FileStat,
  MailboxEntry,
  ManifestRoot,
  MessageEntry,
  PageTree,
} from "../../../src/manifest/model.ts";
import { EMPTY_TREE, PageTreeWriter } from "../../../src/manifest/page-tree.ts";
import { encodeRoot } from "../../../src/manifest/root.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { ObjectHasher } from "../../../src/store/object-id.ts";
import { PackWriter } from "../../../src/store/pack-writer.ts";
import type { Repository } from "../../../src/store/repository.ts";
import type { Run } from "../../../src/store/run.ts";

export interface TinyMailbox {
  readonly name: string;
  readonly uniqueid?: string;
  readonly acl?: string;
  readonly uidvalidity?: number;
  /** By UID. */
  readonly messages?: Readonly<Record<number, string>>;
  readonly index?: Uint8Array;
  readonly header?: Uint8Array;
}

export interface TinyBackup {
  readonly server?: string;
  readonly timeMs?: number;
  readonly mailboxes: readonly TinyMailbox[];
  readonly findings?: readonly Finding[];
}

const STAT: FileStat = {
  mode: 0o100600,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 1n,
  ctimeNs: 1n,
  inode: 1,
  links: 1,
};

/** Sorts nothing: mailboxes and findings come in the order of their keys. @returns the root, committed. */
export async function storeBackup(repository: Repository, tiny: TinyBackup): Promise<ManifestRoot> {
  const { server = "mail", timeMs = 1_760_000_000_000 } = tiny;
  const run = await repository.startRun({ server, host: "here", parent: undefined });
  const mailboxes = new PageTreeWriter<MailboxEntry, ByteString>(mailboxPages, run.writer);
  let messages = 0;
  for (const mailbox of tiny.mailboxes) {
    const entry = await mailboxEntry(run, mailbox);
    messages += entry.messages;
    await mailboxes.add(entry);
  }
  const findings = new PageTreeWriter<Finding, ByteString>(findingPages, run.writer);
  for (const finding of tiny.findings ?? []) await findings.add(finding);
  const root = tinyRoot({
    backup: newBackupId(timeMs),
    server,
    timeMs,
    mailboxes: await mailboxes.finish(),
    findings: await findings.finish(),
    messages,
  });
  await run.writer.flush();
  await run.commit(root.backup, encodeRoot(root));
  return root;
}

export function tinyRoot(given: {
  readonly backup: string;
  readonly parent?: string | undefined;
  readonly server: string;
  readonly timeMs: number;
  readonly mailboxes: PageTree;
  readonly findings?: PageTree;
  readonly messages: number;
}): ManifestRoot {
  const { backup, parent, server, timeMs, mailboxes, findings = EMPTY_TREE, messages } = given;
  return {
    format: 1,
    backup,
    parent,
    server,
    host: "here",
    startedMs: timeMs,
    completedMs: timeMs + 1000,
    cutMs: timeMs,
    view: { kind: "none", consistency: "frozen" },
    cyrus: { version: undefined, layout: {} },
    roots: [],
    selection: { excludeMailboxes: [], includes: [], withoutDerivable: false, withSearch: false },
    leftOut: [],
    acceptRules: [],
    users: {},
    groups: {},
    mailboxes,
    files: EMPTY_TREE,
    findings,
    mailboxList: undefined,
    counts: {
      mailboxes: mailboxes.entries,
      changed: 0,
      unchanged: 0,
      new: 0,
      gone: 0,
      messages,
      messagesNew: 0,
      messagesRead: 0,
      files: 0,
      findings: { note: 0, warning: 0, error: 0, accepted: 0 },
    },
    bytes: { source: 10_000, read: 0, added: 0, stored: 0 },
  };
}

export async function mailboxEntry(run: Run, mailbox: TinyMailbox): Promise<MailboxEntry> {
  const texts = Object.entries(mailbox.messages ?? {}).map(([uid, text]) => ({
    uid: Number(uid),
    bytes: Buffer.from(text, "latin1"),
  }));
  const ids = await storeMessages(
    run,
    texts.map(({ bytes }) => bytes),
  );
  const pages = new PageTreeWriter<MessageEntry, number>(messagePages, run.writer);
  for (const [i, { uid }] of texts.entries())
    await pages.add({
      uid,
      object: ids[i] as ObjectId,
      directory: 0,
      mode: 0o100600,
      uidOwner: 0,
      gidOwner: 0,
      mtimeNs: 1n,
      inode: uid,
      linked: false,
    });
  const file = async (name: string, bytes: Uint8Array | undefined) =>
    bytes === undefined
      ? []
      : [
          {
            directory: 0,
            name: fromText(name),
            stat: STAT,
            fileClass: "critical" as const,
            content: await storeContent([Uint8Array.from(bytes)], run.writer),
            racy: false,
          },
        ];
  const files = [
    ...(await file("cyrus.header", mailbox.header)),
    ...(await file("cyrus.index", mailbox.index)),
  ];
  return {
    name: fromText(mailbox.name),
    uniqueid: fromText(mailbox.uniqueid ?? `id-${mailbox.name}`),
    partition: fromText("default"),
    mailboxType: fromText("e"),
    acl: fromText(mailbox.acl ?? "anna\tlrs\t"),
    quotaRoot: undefined,
    listed: true,
    uidvalidity: mailbox.uidvalidity ?? 7,
    lastUid: texts.at(-1)?.uid ?? 0,
    highestModseq: 1n,
    generation: 1,
    indexVersion: 17,
    messages: texts.length,
    bytes: texts.reduce((sum, { bytes }) => sum + bytes.length, 0),
    directories: [
      { role: "data", path: fromText(`/spool/${mailbox.name}`), stat: { ...STAT, mode: 0o040700 } },
    ],
    files,
    messagePages: await pages.finish(),
    openFindings: 0,
    racy: false,
    rules: 1,
  };
}

/** As `assemble` of the repository's fixture wants them: no references, all in the head. */
async function storeMessages(run: Run, messages: readonly Buffer[]): Promise<ObjectId[]> {
  if (messages.length === 0) return [];
  const hasher = new ObjectHasher(run.seal);
  const ids = messages.map((bytes) => hasher.id("message", bytes));
  const isNew = await run.writer.claim("message", ids);
  if (!isNew.includes(true)) return ids;
  const pack = new PackWriter(run.seal, { packKind: "data", compression: "fast" });
  const sink = await run.writer.beginPack(pack.packId, "data");
  await sink.append(pack.header());
  for (const [i, bytes] of messages.entries()) {
    if (isNew[i] !== true) continue;
    const head = Buffer.concat([Buffer.of(0), bytes]);
    const id = ids[i] as ObjectId;
    const block = pack.add({ kind: "message", id, head, tail: new Uint8Array(), references: [] });
    if (block !== undefined) await sink.append(block);
  }
  await sink.append(pack.finish());
  await sink.commit(pack.directory());
  return ids;
}
