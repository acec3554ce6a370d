/** Repositories whose manifests say what no honest backup says. */
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { type ByteString, fromText, pathKey } from "../../../src/base/byte-string.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { Progress } from "../../../src/base/progress.ts";
import { newBackupId } from "../../../src/manifest/backup-id.ts";
import { filePages } from "../../../src/manifest/file-page.ts";
import { mailboxPages } from "../../../src/manifest/mailbox-page.ts";
import { messagePages } from "../../../src/manifest/message-page.ts";
import type {
  FileEntry,
  FileStat,
  MailboxEntry,
  ManifestRoot,
  MessageEntry,
  RootRecord,
} from "../../../src/manifest/model.ts";
import type { PageCodec, PageKey } from "../../../src/manifest/page-codec.ts";
import { EMPTY_TREE, PageTreeWriter } from "../../../src/manifest/page-tree.ts";
import { decodeRoot, encodeRoot } from "../../../src/manifest/root.ts";
import type { RestoreOptions, RestoreResult } from "../../../src/restore/options.ts";
import { planRestore } from "../../../src/restore/plan.ts";
import { runRestore } from "../../../src/restore/run.ts";
import type { ObjectId } from "../../../src/store/object.ts";
import { initRepository } from "../../../src/store/repository.ts";
import type { Run } from "../../../src/store/run.ts";
import { openStored, restoreOptions } from "./restore-fixture.ts";

export interface Claims {
  readonly roots?: readonly RootRecord[];
  readonly files?: readonly FileEntry[];
  readonly mailboxes?: readonly {
    readonly entry: Partial<MailboxEntry>;
    readonly messages?: readonly Partial<MessageEntry>[];
  }[];
}

const FILE = 0o100644;
const DIRECTORY = 0o040755;

export function stat(mode: number, fields: Partial<FileStat> = {}): FileStat {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  return { mode, uid, gid, size: 0, mtimeNs: 1n, ctimeNs: 1n, inode: 1, links: 1, ...fields };
}

export function file(path: string, text = "evil"): FileEntry {
  const bytes = Buffer.from(text);
  return {
    path: path as ByteString,
    stat: stat(FILE, { size: bytes.length }),
    fileClass: "critical",
    content: { form: "inline", bytes },
    racy: false,
  };
}

export function directory(path: string): FileEntry {
  return { path: path as ByteString, stat: stat(DIRECTORY), fileClass: "critical", racy: false };
}

export function symlink(path: string, target: string): FileEntry {
  return {
    path: path as ByteString,
    stat: stat(0o120777),
    fileClass: "critical",
    target: target as ByteString,
    racy: false,
  };
}

export function mailboxDirectory(path: string) {
  return { role: "data" as const, path: path as ByteString, stat: stat(DIRECTORY) };
}

const MESSAGE_BYTES = 24;

export class HostileRepository {
  readonly files: Map<string, Buffer>;
  readonly root: ManifestRoot;

  private constructor(files: Map<string, Buffer>, root: ManifestRoot) {
    this.files = files;
    this.root = root;
  }

  /** @param message - an id in `files` that a sound message has, for the messages of mailboxes. */
  static async make(
    claims: Claims,
    files = new Map<string, Buffer>(),
    message: ObjectId = new Uint8Array(32) as ObjectId,
  ): Promise<HostileRepository> {
    if (files.size === 0) await initRepository(new MemoryBackend(files), { noEncryption: true });
    const repository = await openStored(files);
    const run = await repository.startRun({ server: "mail", host: "here" });
    const mailboxes: MailboxEntry[] = [];
    for (const { entry, messages } of claims.mailboxes ?? []) {
      const all = (messages ?? []).map((fields): MessageEntry => ({ ...messageEntry(message), ...fields }));
      mailboxes.push({
        ...mailboxEntry(),
        messages: all.length,
        bytes: all.length * MESSAGE_BYTES,
        messagePages: await treeOf(messagePages, all, run),
        ...entry,
      });
    }
    const fileEntries = [...(claims.files ?? [])].sort((a, b) =>
      pathKey(a.path) < pathKey(b.path) ? -1 : 1,
    );
    const root: ManifestRoot = {
      ...emptyRoot(),
      roots: claims.roots ?? [{ kind: "partition", name: "default", path: fromText("/spool") }],
      files: await treeOf(filePages, fileEntries, run),
      mailboxes: await treeOf(
        mailboxPages,
        mailboxes.sort((a, b) => (a.name < b.name ? -1 : 1)),
        run,
      ),
    };
    await run.commit(root.backup, encodeRoot(root));
    await repository.close();
    return new HostileRepository(files, root);
  }

  async restoreTo(target: string, options: Partial<RestoreOptions> = {}): Promise<RestoreResult> {
    const repository = await openStored(this.files);
    const root = decodeRoot(await repository.readBackup(this.root.backup));
    const prepared = await planRestore(restoreOptions(target, options), root, repository.objects);
    return await runRestore(prepared, {
      source: repository.objects,
      clock: systemClock,
      progress: new Progress(),
    });
  }
}

async function treeOf<T, K extends PageKey>(codec: PageCodec<T, K>, entries: readonly T[], run: Run) {
  const writer = new PageTreeWriter<T, K>(codec, run.writer);
  for (const entry of entries) await writer.add(entry);
  return await writer.finish();
}

function messageEntry(object: ObjectId): MessageEntry {
  const { uid: uidOwner, gid: gidOwner } = stat(0);
  return {
    uid: 1,
    object,
    directory: 0,
    mode: FILE,
    uidOwner,
    gidOwner,
    mtimeNs: 1n,
    inode: 1,
    linked: false,
  };
}

export function mailboxEntry(): MailboxEntry {
  const empty = "" as ByteString;
  return {
    name: "user.evil" as ByteString,
    uniqueid: undefined,
    partition: "default" as ByteString,
    mailboxType: empty,
    acl: empty,
    quotaRoot: undefined,
    listed: true,
    uidvalidity: 1,
    lastUid: 1,
    highestModseq: 1n,
    generation: 1,
    indexVersion: 17,
    messages: 0,
    bytes: 0,
    directories: [mailboxDirectory("/spool/e")],
    files: [],
    messagePages: EMPTY_TREE,
    openFindings: 0,
    racy: false,
    rules: 0,
  };
}

function emptyRoot(): ManifestRoot {
  const none = { note: 0, warning: 0, error: 0, accepted: 0 };
  return {
    format: 1,
    backup: newBackupId(Date.UTC(2026, 0, 1)),
    parent: undefined,
    server: "mail",
    host: "here",
    startedMs: 0,
    completedMs: 0,
    cutMs: 0,
    view: { kind: "live", consistency: "none" },
    cyrus: { version: undefined, layout: {} },
    roots: [],
    selection: { excludeMailboxes: [], includes: [], withoutDerivable: false, withSearch: false },
    leftOut: [],
    acceptRules: [],
    users: {},
    groups: {},
    mailboxes: EMPTY_TREE,
    files: EMPTY_TREE,
    findings: EMPTY_TREE,
    mailboxList: undefined,
    counts: {
      mailboxes: 0,
      changed: 0,
      unchanged: 0,
      new: 0,
      gone: 0,
      messages: 0,
      messagesNew: 0,
      messagesRead: 0,
      files: 0,
      findings: none,
    },
    bytes: { source: 0, read: 0, added: 0, stored: 0 },
  };
}
