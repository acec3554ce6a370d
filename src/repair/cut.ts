/**
 * A backup without what is lost, and with a finding for each such thing: entries that cannot be read are left out, as a
 * backup leaves out what it cannot read, so that every reader understands the result.
 */
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { newBackupId } from "../manifest/backup-id.ts";
import { filePages } from "../manifest/file-page.ts";
import type { Severity } from "../manifest/finding.ts";
import { findingPages } from "../manifest/finding-page.ts";
import { FindingLog } from "../manifest/findings.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type {
  FileEntry,
  MailboxEntry,
  MailboxFile,
  ManifestRoot,
  MessageEntry,
  PageTree,
} from "../manifest/model.ts";
import type { PageKey } from "../manifest/page-codec.ts";
import { PageTreeWriter } from "../manifest/page-tree.ts";
import type { PageSink, PageSource } from "../manifest/pages-io.ts";
import { type LostPage, soundEntries } from "../manifest/sound-pages.ts";
import type { Lost, SuffererWalk } from "../manifest/sufferers.ts";
import type { LostThing } from "./options.ts";
import type { PageRebuilder, UidRange } from "./rebuild-pages.ts";

export interface CutContext {
  readonly source: PageSource;
  readonly sink: PageSink;
  readonly lost: Lost;
  /** Knows what is sound already. */
  readonly walk: SuffererWalk;
  readonly rebuilder: PageRebuilder;
  readonly nowMs: number;
  /** A list of messages was lost and made again: so many of them. */
  readonly onRebuilt: (messages: number) => void;
  readonly onLost: (thing: Omit<LostThing, "backup">) => void;
}

type FindInMailbox = (severity: Severity, path: ByteString, what: string, uid?: number) => void;

const ROOT_PATH = "/" as ByteString;
const DIRECTORY = 0o040000;
const TYPE_MASK = 0o170000;

/** @returns the root of a backup of its own. Everything it refers to has gone to the sink. */
export async function cutBackup(root: ManifestRoot, context: CutContext): Promise<ManifestRoot> {
  return await new Cutter(root, context).run();
}

class Cutter {
  readonly #root: ManifestRoot;
  readonly #context: CutContext;
  readonly #walk: SuffererWalk;
  readonly #findings: FindingLog;
  readonly #when: string;
  #mailboxes = 0;
  #messages = 0;
  #files = 0;

  constructor(root: ManifestRoot, context: CutContext) {
    this.#root = root;
    this.#context = context;
    this.#walk = context.walk;
    this.#findings = new FindingLog({ nowMs: context.nowMs, acceptRules: root.acceptRules });
    this.#when = new Date(context.nowMs).toISOString().slice(0, 10);
  }

  async run(): Promise<ManifestRoot> {
    const root = this.#root;
    const { source, sink } = this.#context;
    try {
      const areFindingsSound = await this.#keepFindings();
      const files = await this.#cutFiles();
      const mailboxes = await this.#cutMailboxes();
      let { mailboxList } = root;
      if (mailboxList !== undefined && (await this.#walk.content(mailboxList)).length > 0) {
        mailboxList = undefined;
        this.#find("error", ROOT_PATH, "the text mailbox list");
      }
      this.#findings.add(
        "lost-in-repository",
        "note",
        ROOT_PATH,
        `on ${this.#when} this took the place of backup ${root.backup}, of which the repository had lost something`,
      );
      const findings = await this.#findings.finish(
        sink,
        areFindingsSound ? { tree: root.findings, source } : undefined,
      );
      return {
        ...root,
        backup: newBackupId(root.startedMs),
        files,
        mailboxes,
        mailboxList,
        findings: findings.tree,
        counts: {
          ...root.counts,
          mailboxes: this.#mailboxes,
          messages: this.#messages,
          files: Math.min(root.counts.files, this.#files),
          findings: findings.counts,
        },
      };
    } finally {
      this.#findings.discard();
    }
  }

  /** @returns whether all of them could be read. */
  async #keepFindings(): Promise<boolean> {
    let isSound = true;
    const findings = soundEntries(this.#root.findings, this.#context.source, findingPages, ({ entries }) => {
      isSound = false;
      this.#find("error", ROOT_PATH, `${entries} findings`);
    });
    for await (const { code, severity, path, message, mailbox, uid } of findings)
      this.#findings.add(code, severity, path, message, {
        ...(mailbox === undefined ? {} : { mailbox }),
        ...(uid === undefined ? {} : { uid }),
      });
    return isSound;
  }

  async #cutFiles(): Promise<PageTree> {
    const { source, sink } = this.#context;
    const { files } = this.#root;
    let hasLostPages = false;
    const isLost = async (entry: FileEntry) =>
      entry.content !== undefined && (await this.#walk.content(entry.content)).length > 0;
    const lostPage = (lost: LostPage<ByteString>) => {
      hasLostPages = true;
      this.#find("error", ROOT_PATH, `${lost.entries} files${fromKey(lost)}`);
    };
    // A first look: whether a page is lost decides how entries are written.
    let suffers = false;
    for await (const entry of soundEntries(files, source, filePages, () => {
      hasLostPages = true;
    })) {
      this.#files++;
      suffers ||= await isLost(entry);
    }
    if (!suffers && !hasLostPages) return files;
    const writer = new PageTreeWriter<FileEntry, ByteString>(filePages, sink);
    for await (const entry of soundEntries(files, source, filePages, lostPage)) {
      const { content, ...rest } = entry;
      // What lies in a directory may be among what is lost: the next backup must list it, though it has not changed.
      const racy = entry.racy || (hasLostPages && (entry.stat.mode & TYPE_MASK) === DIRECTORY);
      if (!(await isLost(entry))) {
        await writer.add({ ...entry, racy });
        continue;
      }
      this.#find("error", entry.path, "the file's content");
      await writer.add({ ...rest, racy: true });
    }
    return await writer.finish();
  }

  async #cutMailboxes(): Promise<PageTree> {
    const { source, sink } = this.#context;
    const writer = new PageTreeWriter<MailboxEntry, ByteString>(mailboxPages, sink);
    const mailboxes = soundEntries(this.#root.mailboxes, source, mailboxPages, (lost) =>
      this.#find("error", ROOT_PATH, `${lost.entries} mailboxes${fromKey(lost)}`),
    );
    for await (const mailbox of mailboxes) {
      const sufferers = await this.#walk.mailbox(mailbox);
      const entry = sufferers.length === 0 ? mailbox : await this.#cutMailbox(mailbox);
      this.#mailboxes++;
      this.#messages += entry.messages;
      await writer.add(entry);
    }
    return await writer.finish();
  }

  async #cutMailbox(mailbox: MailboxEntry): Promise<MailboxEntry> {
    const { name, directories } = mailbox;
    let found = 0;
    const find = (severity: Severity, path: ByteString, what: string, uid?: number) => {
      this.#find(severity, path, what, name, uid);
      found++;
    };
    const files: MailboxFile[] = [];
    for (const file of mailbox.files) {
      const { content, ...rest } = file;
      if (content === undefined || (await this.#walk.content(content)).length === 0) {
        files.push(file);
        continue;
      }
      find(
        "error",
        joinPath(directories[file.directory]?.path ?? ROOT_PATH, file.name),
        "the file's content",
      );
      files.push({ ...rest, racy: true });
    }
    const messagePagesNow = await this.#cutMessages(mailbox, find);
    return {
      ...mailbox,
      files,
      messages: messagePagesNow.entries,
      messagePages: messagePagesNow,
      openFindings: mailbox.openFindings + found,
      // The next backup looks at all of it again.
      racy: true,
    };
  }

  async #cutMessages(mailbox: MailboxEntry, find: FindInMailbox): Promise<PageTree> {
    const { source, sink, lost } = this.#context;
    const { messagePages: tree, directories } = mailbox;
    const lostPages: LostPage<number>[] = [];
    const writer = new PageTreeWriter<MessageEntry, number>(messagePages, sink);
    const messages = soundEntries(tree, source, messagePages, (page) => lostPages.push(page));
    const addRebuilt = async () => {
      for (const page of lostPages.splice(0))
        for (const entry of await this.#rebuild(mailbox, page, find)) await writer.add(entry);
    };
    for await (const message of messages) {
      await addRebuilt();
      const { uid, object, good } = message;
      const path = joinPath(directories[message.directory]?.path ?? ROOT_PATH, fromText(`${uid}.`));
      const isRead = (await lost("message", object)).length === 0;
      const isGood = good !== undefined && (await lost("message", good)).length === 0;
      if (isRead && (good === undefined || isGood)) await writer.add(message);
      else if (isGood) {
        const { good: _, ...rest } = message;
        find("warning", path, "the message as it was read, damaged; the good copy is there", uid);
        await writer.add({ ...rest, object: good });
      } else if (isRead) {
        const { good: _, ...rest } = message;
        find("error", path, "the good copy of a message that was damaged at the server", uid);
        await writer.add(rest);
      } else find("error", path, "the message", uid);
    }
    await addRebuilt();
    return await writer.finish();
  }

  /** A page that is lost: its entries as far as they can be made again. */
  async #rebuild(
    mailbox: MailboxEntry,
    page: LostPage<number>,
    find: FindInMailbox,
  ): Promise<readonly MessageEntry[]> {
    const path = mailbox.directories[0]?.path ?? ROOT_PATH;
    const rebuilt = await this.#context.rebuilder.rebuild(mailbox, rangeOf(page));
    if (rebuilt === undefined) {
      find("error", path, `${page.entries} messages${fromKey(page)}`);
      return [];
    }
    const lost = [...rebuilt.lost];
    const entries: MessageEntry[] = [];
    for (const entry of rebuilt.entries)
      if ((await this.#context.lost("message", entry.object)).length === 0) entries.push(entry);
      else lost.push(entry.uid);
    this.#context.onRebuilt(entries.length);
    find(
      "warning",
      path,
      `the list of ${page.entries} messages${fromKey(page)}; ${entries.length} of them were found again by cyrus.index, with its dates`,
    );
    for (const uid of lost) find("error", joinPath(path, fromText(`${uid}.`)), "the message", uid);
    const unknown = page.entries - entries.length - lost.length;
    if (unknown > 0)
      find("error", path, `${unknown} messages${fromKey(page)} that cyrus.index does not name`);
    return entries;
  }

  #find(severity: Severity, path: ByteString, what: string, mailbox?: ByteString, uid?: number): void {
    const message = `lost by damage to the repository, found on ${this.#when}: ${what}`;
    this.#findings.add("lost-in-repository", severity, path, message, {
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(uid === undefined ? {} : { uid }),
    });
    // A warning says what became of something that is there.
    if (severity === "warning") return;
    this.#context.onLost({
      path: toText(path),
      ...(mailbox === undefined ? {} : { mailbox: toText(mailbox) }),
      ...(uid === undefined ? {} : { uid }),
      message: what,
    });
  }
}

/** All UIDs where the first page is not known to begin somewhere. */
export function rangeOf({ firstKey, before }: Pick<LostPage<number>, "firstKey" | "before">): UidRange {
  return { from: firstKey ?? 0, before: before ?? Number.POSITIVE_INFINITY };
}

function fromKey<K extends PageKey>({ firstKey }: LostPage<K>): string {
  if (firstKey === undefined) return "";
  return ` from ${toText(String(firstKey).replaceAll("\0", "/") as ByteString)} on`;
}
