/**
 * Writes an archive of what a restore would write: files, then mailboxes in the order of the backup, one after the other.
 *
 * What is in the archive has been verified before its header is written; what is larger than memory should hold is read
 * twice for that. If the second reading fails, the archive ends there, without the blocks that end an archive.
 * A directory comes twice: before what lies in it, and at the end again, since whoever unpacks changes its time meanwhile.
 */
import { type ByteString, joinPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import type { FileEntry, FileStat, MailboxEntry, MessageEntry } from "../manifest/model.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { AbsentNames } from "../restore/absent-names.ts";
import { RestoreAccount } from "../restore/account.ts";
import { modeOfFile } from "../restore/attributes.ts";
import { FileLinks } from "../restore/file-links.ts";
import { type IndexContent, LeftOutIndex } from "../restore/left-out-index.ts";
import { filesystemOf } from "../restore/link-table.ts";
import { LostFindings } from "../restore/lost-findings.ts";
import type { RestoreFinding } from "../restore/options.ts";
import { isDirectory, mailboxFilePath, messageDirectory } from "../restore/require-sound.ts";
import type { RestoreSource } from "../restore/run-context.ts";
import { SelectedEntries } from "../restore/selected-entries.ts";
import { textListOf } from "../restore/text-list.ts";
import { parentOf } from "../source/view.ts";
import type { ExportCounts, PreparedExport } from "./plan.ts";
import type { TarEntry } from "./tar-header.ts";
import { type TarSink, TarWriter } from "./tar-writer.ts";
import { type MakeContent, verifyContent, writeContent } from "./verified-content.ts";

export interface ExportContext {
  readonly source: RestoreSource;
  readonly sink: TarSink;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

export interface ExportResult extends ExportCounts {
  readonly backup: string;
  /** Of the archive. */
  readonly archiveBytes: number;
  /** The first 1000. */
  readonly findings: readonly RestoreFinding[];
  readonly findingsTotal: number;
  /** An error among them: exit code 3. */
  readonly incomplete: boolean;
  readonly seconds: number;
}

/**
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`: what had been verified could not be read again, or a
 *   path that cannot be one; `IO`, `INTERRUPTED`. What was written is no whole archive then.
 */
export async function runExport(prepared: PreparedExport, context: ExportContext): Promise<ExportResult> {
  return await new ExportRun(prepared, context).run();
}

type Owned = Pick<TarEntry, "mode" | "uid" | "gid" | "user" | "group" | "mtimeNs">;

class ExportRun {
  readonly #prepared: PreparedExport;
  readonly #context: ExportContext;
  readonly #tar: TarWriter;
  readonly #account: RestoreAccount;
  readonly #entries: SelectedEntries;
  readonly #fileLinks: FileLinks;
  readonly #directories = new Map<ByteString, TarEntry>();
  /** Above what is in the archive, as on the server, and not known to the backup so far. */
  readonly #above = new Set<ByteString>();
  readonly #symlinks = new Set<ByteString>();
  readonly #indexes: LeftOutIndex;
  readonly #absentNames: AbsentNames;

  constructor(prepared: PreparedExport, context: ExportContext) {
    this.#prepared = prepared;
    this.#context = context;
    const { counts, options, root, selection } = prepared;
    const expected = { items: counts.messages + counts.files, bytes: counts.bytes };
    this.#account = new RestoreAccount("exported", expected, context);
    this.#entries = new SelectedEntries(root, selection, context.source, (...lost) =>
      this.#account.findings.addLost(...lost),
    );
    this.#fileLinks = new FileLinks(selection);
    this.#indexes = new LeftOutIndex(root, context.source, options);
    this.#absentNames = new AbsentNames(root, context.source, options);
    this.#tar = new TarWriter(async (bytes) => {
      context.signal?.throwIfAborted();
      await context.sink(bytes);
    });
  }

  async run(): Promise<ExportResult> {
    const { root, links, selection } = this.#prepared;
    const { findings } = this.#account;
    const cutOut = await LostFindings.read(root, this.#context.source);
    cutOut.name(undefined, selection, findings);
    await this.#exportTextList();
    for await (const file of this.#entries.files()) await this.#exportFile(file);
    for await (const mailbox of this.#entries.mailboxes()) {
      cutOut.name(mailbox.name, selection, findings);
      await this.#exportMailbox(mailbox);
    }
    await this.#exportDirectoriesAbove();
    // The innermost first, as a restore sets their times.
    const all = [...this.#directories.values()].sort((a, b) => b.path.length - a.path.length);
    for (const entry of all) await this.#tar.begin(entry);
    await this.#tar.end();
    this.#account.noteForgottenLinks(links);
    this.#indexes.note(findings);
    return { backup: root.backup, ...this.#account.summary, archiveBytes: this.#tar.bytes };
  }

  /** Beside everything else, as in a restore. */
  async #exportTextList(): Promise<void> {
    const { root, selection } = this.#prepared;
    const list = textListOf(root, selection);
    if (list === undefined) return;
    const { name, content, mode, mtimeNs } = list;
    const owned: Owned = { mode, uid: 0, gid: 0, user: undefined, group: undefined, mtimeNs };
    await this.#file(name, name, owned, () => readContent(content, this.#context.source));
  }

  async #exportFile(entry: FileEntry): Promise<void> {
    const { selection, tree } = this.#prepared;
    this.#context.signal?.throwIfAborted();
    const path = tree.locate(entry.path);
    if (isDirectory(entry.stat)) {
      await this.#directory(path, entry);
      return;
    }
    if (entry.leftOut !== undefined) return;
    const reason = selection.neverRestored(entry.path);
    if (reason === undefined)
      await this.#other(entry.path, path, entry, () => this.#absentNames.contentFor(entry));
    else this.#account.findings.add("never-restored", "note", entry.path, reason);
  }

  async #exportMailbox(mailbox: MailboxEntry): Promise<void> {
    const { selection, tree } = this.#prepared;
    for (const directory of mailbox.directories)
      await this.#directory(tree.locate(directory.path), directory);
    if (!selection.messagesOnly)
      for (const file of mailbox.files) {
        if (file.leftOut !== undefined) continue;
        const serverPath = mailboxFilePath(mailbox, file);
        const instead = () => this.#indexes.contentFor(mailbox, file);
        await this.#other(serverPath, tree.locate(serverPath), file, instead);
      }
    for await (const message of this.#entries.messages(mailbox)) {
      this.#context.signal?.throwIfAborted();
      await this.#message(mailbox, message);
    }
    this.#account.countMailbox();
  }

  async #message(mailbox: MailboxEntry, message: MessageEntry): Promise<void> {
    const { tree, links } = this.#prepared;
    const { path: directory, role } = messageDirectory(mailbox, message);
    const serverPath = joinPath(directory, `${message.uid}.` as ByteString);
    const path = tree.locate(serverPath);
    if (message.good !== undefined) this.#account.noteGoodCopy(serverPath);
    const { mode, uidOwner: uid, gidOwner: gid, mtimeNs } = message;
    const owned = this.#owned({ mode, uid, gid, mtimeNs });
    const filesystem = filesystemOf(mailbox.partition, role);
    const link = links.find(filesystem, message);
    if (link !== undefined) {
      await this.#tar.begin({ ...owned, path, type: "hard-link", link, size: 0 });
      this.#account.count("messages", 0);
      return;
    }
    const id = message.good ?? message.object;
    const size = await this.#file(serverPath, path, owned, () => this.#context.source.stream("message", id));
    if (size === undefined) return;
    links.written(filesystem, message, parentOf(path));
    this.#account.count("messages", size);
  }

  /**
   * A file that is no message, or a symlink.
   * @param instead - what is written in its place; undefined: what is stored.
   */
  async #other(
    serverPath: ByteString,
    path: ByteString,
    { stat, content, target }: Pick<FileEntry, "stat" | "content" | "target">,
    instead?: () => Promise<IndexContent | undefined>,
  ): Promise<void> {
    const owned = this.#owned(stat);
    this.#needDirectory(serverPath);
    if (target !== undefined) {
      if (this.#above.has(serverPath) || this.#directories.has(path)) throw belowSymlink(serverPath);
      this.#symlinks.add(path);
      await this.#tar.begin({ ...owned, mode: 0o777, path, type: "symlink", link: target, size: 0 });
      return;
    }
    if (content === undefined) {
      this.#account.findings.addNotInBackup(serverPath);
      return;
    }
    const link = this.#fileLinks.find(serverPath, content, stat);
    if (link !== undefined) {
      await this.#tar.begin({ ...owned, path, type: "hard-link", link, size: 0 });
      this.#account.count("files", 0);
      return;
    }
    const { source } = this.#context;
    const written = async function* (): AsyncGenerator<Uint8Array> {
      const changed = await instead?.();
      yield* changed?.() ?? readContent(content, source);
    };
    const size = await this.#file(serverPath, path, owned, written);
    if (size === undefined) return;
    this.#account.count("files", size);
    this.#fileLinks.written(serverPath, path, content, stat);
  }

  /** @returns its size; undefined: it is damaged, named, and not in the archive. */
  async #file(
    serverPath: ByteString,
    path: ByteString,
    owned: Owned,
    content: MakeContent,
  ): Promise<number | undefined> {
    const verified = await this.#account.guarded(serverPath, () =>
      verifyContent(content, this.#context.signal),
    );
    if (verified === undefined) return undefined;
    this.#account.noteWritten(serverPath, { became: "written", ownerSet: true }, owned.mode);
    const { size } = verified;
    await this.#tar.begin({ ...owned, mode: modeOfFile(owned.mode), path, type: "file", size });
    await writeContent(this.#tar, serverPath, verified, content);
    await this.#tar.finishEntry(size);
    return size;
  }

  async #directory(
    path: ByteString,
    { path: serverPath, stat }: Pick<FileEntry, "path" | "stat">,
  ): Promise<void> {
    if (this.#directories.has(path)) return;
    if (this.#symlinks.has(path)) throw belowSymlink(serverPath);
    this.#needDirectory(serverPath);
    const owned = this.#owned(stat);
    const entry: TarEntry = { ...owned, mode: owned.mode & 0o7777, path, type: "directory", size: 0 };
    this.#directories.set(path, entry);
    await this.#tar.begin(entry);
  }

  /** Whoever unpacks makes what is missing above, in his own way: the backup may know better. */
  #needDirectory(serverPath: ByteString): void {
    const { tree } = this.#prepared;
    for (let at = parentOf(serverPath); at !== "/"; at = parentOf(at)) {
      if (this.#above.has(at) || !isPlaced(tree, at)) return;
      if (this.#symlinks.has(tree.locate(at))) throw belowSymlink(at);
      this.#above.add(at);
    }
  }

  async #exportDirectoriesAbove(): Promise<void> {
    const { root, tree } = this.#prepared;
    let isMissing = false;
    for (const serverPath of this.#above) isMissing ||= !this.#directories.has(tree.locate(serverPath));
    if (!isMissing) return;
    for await (const entry of soundEntries(root.files, this.#context.source, filePages, () => {}))
      if (isDirectory(entry.stat) && this.#above.has(entry.path))
        await this.#directory(tree.locate(entry.path), entry);
  }

  /** Names and numbers as on the server: whoever unpacks looks for the name first. */
  #owned({ mode, uid, gid, mtimeNs }: Pick<FileStat, "mode" | "uid" | "gid" | "mtimeNs">): Owned {
    const { root, options } = this.#prepared;
    const bits = mode & 0o7777;
    if (options.owner !== undefined)
      return { mode: bits, ...options.owner, user: undefined, group: undefined, mtimeNs };
    return { mode: bits, uid, gid, user: root.users[uid], group: root.groups[gid], mtimeNs };
  }
}

function isPlaced(tree: PreparedExport["tree"], serverPath: ByteString): boolean {
  try {
    tree.locate(serverPath);
    return true;
  } catch (error) {
    if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
    return false;
  }
}

/** Unpacked, something would be written through the link. */
function belowSymlink(serverPath: ByteString): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    `the backup holds what can't be: ${toText(serverPath)} is a symbolic link, and a directory too`,
  );
}
