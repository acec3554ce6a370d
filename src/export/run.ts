/**
 * Writes an archive of what a restore would write: files, then mailboxes in the order of the backup, one after the other.
 *
 * What is in the archive has been verified before its header is written; what is larger than memory should hold is read
 * twice for that. If the second reading fails, the archive ends there, without the blocks that end an archive.
 * A directory comes twice: before what lies in it, and at the end again, since whoever unpacks changes its time meanwhile.
 */
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Progress } from "../base/progress.ts";
import { contentEquals, readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { Content, FileEntry, FileStat, MailboxEntry, MessageEntry } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { AbsentNames } from "../restore/absent-names.ts";
import { hasSetId, modeOfFile } from "../restore/attributes.ts";
import { RestoreFindings } from "../restore/findings.ts";
import { type IndexContent, LeftOutIndex } from "../restore/left-out-index.ts";
import { type LostFindings, readLostFindings } from "../restore/lost-findings.ts";
import type { RestoreFinding } from "../restore/options.ts";
import { filesystemOf, isLost } from "../restore/plan.ts";
import { isDirectory, mailboxFilePath, messageDirectory } from "../restore/require-sound.ts";
import { parentOf } from "../source/view.ts";
import type { ObjectId } from "../store/object.ts";
import type { ExportCounts, PreparedExport } from "./plan.ts";
import type { TarEntry } from "./tar-header.ts";
import { type TarSink, TarWriter } from "./tar-writer.ts";
import { type MakeContent, type VerifiedContent, verifyContent, writeContent } from "./verified-content.ts";

export interface ExportSource extends PageSource {
  /** A message's bytes in order; ends with an error if they are not what the id says. */
  stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array>;
}

export interface ExportContext {
  readonly source: ExportSource;
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

/** In the archive already, and with several names at the source. */
interface LinkedFile {
  readonly path: ByteString;
  readonly content: Content;
  readonly stat: FileStat;
}

class ExportRun {
  readonly #prepared: PreparedExport;
  readonly #context: ExportContext;
  readonly #tar: TarWriter;
  readonly #findings = new RestoreFindings();
  readonly #done = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly #fileLinks = new Map<string, LinkedFile>();
  readonly #directories = new Map<ByteString, TarEntry>();
  /** Above what is in the archive, as on the server, and not known to the backup so far. */
  readonly #above = new Set<ByteString>();
  readonly #symlinks = new Set<ByteString>();
  readonly #indexes: LeftOutIndex;
  readonly #absentNames: AbsentNames;
  #cutOut: LostFindings = new Map();

  constructor(prepared: PreparedExport, context: ExportContext) {
    this.#prepared = prepared;
    this.#context = context;
    this.#indexes = new LeftOutIndex(prepared.root, context.source, prepared.options);
    this.#absentNames = new AbsentNames(prepared.root, context.source, prepared.options);
    this.#tar = new TarWriter(async (bytes) => {
      context.signal?.throwIfAborted();
      await context.sink(bytes);
    });
  }

  async run(): Promise<ExportResult> {
    const { clock, progress, source } = this.#context;
    const { counts, root, links } = this.#prepared;
    const began = clock.monotonicMs();
    const items = counts.messages + counts.files;
    progress.beginPhase("exporting", began, { items, bytes: counts.bytes });
    this.#cutOut = await readLostFindings(root, source);
    this.#nameCutOut(undefined);
    await this.#exportTextList();
    await this.#exportFiles();
    await this.#exportMailboxes();
    await this.#exportDirectoriesAbove();
    // The innermost first, as a restore sets their times.
    const all = [...this.#directories.values()].sort((a, b) => b.path.length - a.path.length);
    for (const entry of all) await this.#tar.begin(entry);
    await this.#tar.end();
    if (links.full)
      this.#findings.add(
        "not-linked",
        "note",
        "/" as ByteString,
        "there are more hard links than can be remembered: some are files of their own",
      );
    return {
      backup: root.backup,
      ...this.#done,
      archiveBytes: this.#tar.bytes,
      findings: this.#findings.shown,
      findingsTotal: this.#findings.total,
      incomplete: this.#findings.incomplete,
      seconds: (clock.monotonicMs() - began) / 1000,
    };
  }

  /** What a repair cut out of the backup. */
  #nameCutOut(mailbox: ByteString | undefined): void {
    const { selection } = this.#prepared;
    for (const { path, uid, message } of this.#cutOut.get(mailbox) ?? [])
      if (uid === undefined ? !selection.messagesOnly || mailbox !== undefined : selection.takesMessage(uid))
        this.#findings.add("not-in-backup", "error", path, message);
  }

  /** For `ctl_mboxlist -u`, and for people: beside everything else, as in a restore. */
  async #exportTextList(): Promise<void> {
    const { root, selection, options } = this.#prepared;
    const { mailboxList } = root;
    const wanted =
      selection.everything ||
      options.only.some(({ part }) => part === "mailbox-list" || part === "configdirectory");
    if (mailboxList === undefined || !wanted) return;
    const path = fromText(`cyrvault-mailbox-list-${root.backup}.txt`);
    const mtimeNs = BigInt(root.startedMs) * 1_000_000n;
    const owned: Owned = { mode: 0o600, uid: 0, gid: 0, user: undefined, group: undefined, mtimeNs };
    await this.#file(path, path, owned, () => readContent(mailboxList, this.#context.source));
  }

  async #exportFiles(): Promise<void> {
    const { root, selection, tree } = this.#prepared;
    if (selection.messagesOnly) return;
    const files = soundEntries(root.files, this.#context.source, filePages, (lost) =>
      this.#findings.addLost("files", "/" as ByteString, lost),
    );
    for await (const entry of files) {
      this.#context.signal?.throwIfAborted();
      if (!selection.takesFile(entry)) continue;
      const path = tree.locate(entry.path);
      if (isDirectory(entry.stat)) {
        await this.#directory(path, entry);
        continue;
      }
      if (entry.leftOut !== undefined) continue;
      const reason = selection.neverRestored(entry.path);
      if (reason === undefined)
        await this.#other(entry.path, path, entry, () => this.#absentNames.contentFor(entry));
      else this.#findings.add("never-restored", "note", entry.path, reason);
    }
  }

  async #exportMailboxes(): Promise<void> {
    const { root, selection, tree } = this.#prepared;
    const mailboxes = soundEntries(root.mailboxes, this.#context.source, mailboxPages, (lost) =>
      this.#findings.addLost("mailboxes", lost.firstKey ?? ("/" as ByteString), lost),
    );
    for await (const mailbox of mailboxes) {
      if (!selection.takesMailbox(mailbox)) continue;
      this.#nameCutOut(mailbox.name);
      for (const directory of mailbox.directories)
        await this.#directory(tree.locate(directory.path), directory);
      if (!selection.messagesOnly)
        for (const file of mailbox.files) {
          if (file.leftOut !== undefined) continue;
          const serverPath = mailboxFilePath(mailbox, file);
          const instead = () => this.#indexes.contentFor(mailbox, file);
          await this.#other(serverPath, tree.locate(serverPath), file, instead);
        }
      await this.#exportMessages(mailbox);
      this.#done.mailboxes++;
    }
  }

  async #exportMessages(mailbox: MailboxEntry): Promise<void> {
    const { source, signal } = this.#context;
    const { selection } = this.#prepared;
    const messages = soundEntries(mailbox.messagePages, source, messagePages, (lost) =>
      this.#findings.addLost("messages", mailbox.directories[0]?.path ?? mailbox.name, lost),
    );
    for await (const message of messages) {
      if (!selection.takesMessage(message.uid)) continue;
      signal?.throwIfAborted();
      await this.#message(mailbox, message);
    }
  }

  async #message(mailbox: MailboxEntry, message: MessageEntry): Promise<void> {
    const { tree, links } = this.#prepared;
    const { path: directory, role } = messageDirectory(mailbox, message);
    const serverPath = joinPath(directory, `${message.uid}.` as ByteString);
    const path = tree.locate(serverPath);
    if (message.good !== undefined)
      this.#findings.add(
        "good-copy",
        "warning",
        serverPath,
        "the file was damaged when it was backed up: the good copy of an earlier backup is exported",
      );
    const { mode, uidOwner: uid, gidOwner: gid, mtimeNs } = message;
    const owned = this.#owned({ mode, uid, gid, mtimeNs });
    const filesystem = filesystemOf(mailbox.partition, role);
    const link = links.find(filesystem, message);
    if (link !== undefined) {
      await this.#tar.begin({ ...owned, path, type: "hard-link", link, size: 0 });
      this.#count("messages", 0);
      return;
    }
    const id = message.good ?? message.object;
    const size = await this.#file(serverPath, path, owned, () => this.#context.source.stream("message", id));
    if (size === undefined) return;
    links.written(filesystem, message, parentOf(path));
    this.#count("messages", size);
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
      this.#findings.addNotInBackup(serverPath);
      return;
    }
    const key = `${this.#prepared.selection.placeOf(serverPath)?.path}\0${stat.inode}`;
    const linked = stat.links > 1 ? this.#fileLinks.get(key) : undefined;
    if (linked !== undefined && isSameFile(linked, content, stat)) {
      await this.#tar.begin({ ...owned, path, type: "hard-link", link: linked.path, size: 0 });
      this.#count("files", 0);
      return;
    }
    const { source } = this.#context;
    const written = async function* (): AsyncGenerator<Uint8Array> {
      const changed = await instead?.();
      yield* changed?.() ?? readContent(content, source);
    };
    const size = await this.#file(serverPath, path, owned, written);
    if (size === undefined) return;
    this.#count("files", size);
    if (stat.links > 1 && linked === undefined) this.#fileLinks.set(key, { path, content, stat });
  }

  /** @returns its size; undefined: it is damaged, named, and not in the archive. */
  async #file(
    serverPath: ByteString,
    path: ByteString,
    owned: Owned,
    content: MakeContent,
  ): Promise<number | undefined> {
    let verified: VerifiedContent;
    try {
      verified = await verifyContent(content, this.#context.signal);
    } catch (error) {
      if (!isLost(error)) throw error;
      this.#findings.add("object-damaged", "error", serverPath, `not exported: ${error.message}`);
      return undefined;
    }
    if (hasSetId(owned.mode)) this.#findings.addSetIdDropped(serverPath);
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

  #count(what: "messages" | "files", bytes: number): void {
    this.#done[what]++;
    this.#done.bytes += bytes;
    this.#context.progress.add({ items: 1, bytes }, this.#context.clock.monotonicMs());
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

function isSameFile(linked: LinkedFile, content: Content, { mode, mtimeNs }: FileStat): boolean {
  return (
    linked.stat.mode === mode && linked.stat.mtimeNs === mtimeNs && contentEquals(linked.content, content)
  );
}
