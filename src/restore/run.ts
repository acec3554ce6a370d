/**
 * Carries out a restore: directories, then files, then mailboxes in the order of the backup; last the attributes
 * of directories, and one sync of each filesystem before success is said.
 */
import { rmSync } from "node:fs";
import { type ByteString, fromText, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import type { Progress } from "../base/progress.ts";
import { contentEquals, readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type {
  Content,
  FileEntry,
  FileStat,
  MailboxEntry,
  ManifestRoot,
  MessageEntry,
} from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { parentOf } from "../source/view.ts";
import type { ObjectId } from "../store/object.ts";
import { AbsentNames } from "./absent-names.ts";
import { type Attributes, hasSetId } from "./attributes.ts";
import { RestoredDirectories } from "./directories.ts";
import { RestoreFindings } from "./findings.ts";
import { letGoOfDirectories } from "./held-directories.ts";
import { type IndexContent, LeftOutIndex } from "./left-out-index.ts";
import { type LostFindings, readLostFindings } from "./lost-findings.ts";
import { MessageRestorer, type RestoreWorkers } from "./messages/restore-messages.ts";
import type { MessageJob, MessagePlace } from "./messages/window.ts";
import type { RestoreOptions, RestoreResult } from "./options.ts";
import { writeOwnFile } from "./own-file.ts";
import { Owners } from "./owners.ts";
import { filesystemOf, isLost, journalPath, type PreparedRestore, requireSafe } from "./plan.ts";
import { isDirectory, mailboxFilePath, messageDirectory } from "./require-sound.ts";
import type { Restored } from "./runbook-for.ts";
import { syncFilesystems } from "./sync.ts";
import type { TargetTree } from "./target-tree.ts";
import { type Existing, type WriteOutcome, writeFile, writeLink, writeSymlink } from "./write-file.ts";

export interface RestoreSource extends PageSource {
  /** A message's bytes in order; ends with an error if they are not what the id says. */
  stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array>;
}

export interface RestoreContext {
  readonly source: RestoreSource;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** undefined: one message after the other, in this thread. */
  readonly workers?: RestoreWorkers;
  /** Made at the end, for the case that this restore is. */
  readonly runbook?: (restored: Restored) => string;
}

/** Mailboxes named in the runbook. */
const NAMES_SHOWN = 200;
/** Of parts of messages that wait for others, in a file of the target that has no name: where there is room enough. */
const SPILL_BYTES_MAX = 1024 * 1024 * 1024;
const SPILL_BYTES_MIN = 4 * 1024 * 1024;

export async function runRestore(prepared: PreparedRestore, context: RestoreContext): Promise<RestoreResult> {
  requireSafe(prepared);
  try {
    return await new RestoreRun(prepared, context).run();
  } finally {
    letGoOfDirectories();
  }
}

/** Of one restored file that had several names at the source. */
interface LinkedFile {
  readonly path: ByteString;
  readonly content: Content;
  readonly stat: FileStat;
}

class RestoreRun {
  readonly #root: ManifestRoot;
  readonly #options: RestoreOptions;
  readonly #prepared: PreparedRestore;
  readonly #context: RestoreContext;
  readonly #tree: TargetTree;
  readonly #existing: Existing;
  readonly #owners: Owners;
  readonly #fileLinks = new Map<string, LinkedFile>();
  readonly #directories: RestoredDirectories;
  readonly #findings = new RestoreFindings();
  #cutOut: LostFindings = new Map();
  #textListPath: string | undefined;
  readonly #done = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly #names: string[] = [];
  readonly #messages: MessageRestorer | undefined;
  readonly #indexes: LeftOutIndex;
  readonly #absentNames: AbsentNames;

  constructor(prepared: PreparedRestore, context: RestoreContext) {
    this.#prepared = prepared;
    this.#context = context;
    this.#root = prepared.root;
    this.#options = prepared.options;
    this.#tree = prepared.tree;
    const { overwrite } = prepared.options;
    this.#existing =
      overwrite === "never"
        ? "keep"
        : overwrite === "if-different" || prepared.plan.resumes
          ? "replace"
          : "refuse";
    this.#directories = new RestoredDirectories(this.#tree, (stat) => this.#attributes(stat), this.#findings);
    this.#owners = new Owners(prepared.root, prepared.options.owner, (name) => {
      this.#findings.add(
        "owner-unknown",
        "warning",
        "/" as ByteString,
        `${name} is not known on this machine: the number recorded is used`,
      );
    });
    this.#messages = this.#startWorkers();
    this.#indexes = new LeftOutIndex(prepared.root, context.source, prepared.options);
    this.#absentNames = new AbsentNames(prepared.root, context.source, prepared.options);
  }

  async run(): Promise<RestoreResult> {
    try {
      return await this.#run();
    } finally {
      await this.#messages?.close();
    }
  }

  /** With `--overwrite never` each file is written beside its place: one at a time. */
  #startWorkers(): MessageRestorer | undefined {
    const { workers, signal } = this.#context;
    const { plan, tree } = this.#prepared;
    if (workers === undefined || this.#existing === "keep") return undefined;
    const room = plan.spaceFree - plan.spaceNeeded;
    return new MessageRestorer({
      workers,
      target: tree.target,
      compares: this.#existing === "replace",
      messages: plan.messages,
      spillBytesMax: Math.max(SPILL_BYTES_MIN, Math.min(SPILL_BYTES_MAX, Math.floor(room / 4))),
      signal,
      onRestored: (job, outcome, bytes) => this.#noteRestored(job, outcome, bytes),
      restoreOne: (job) => this.#restoreOne(job),
    });
  }

  async #run(): Promise<RestoreResult> {
    const { clock, progress } = this.#context;
    const { plan } = this.#prepared;
    const began = clock.monotonicMs();
    progress.beginPhase("restoring", began, { items: plan.messages + plan.files, bytes: plan.bytes });
    this.#beginJournal();
    const roots = this.#tree.roots.map(({ to, isFile }) => (isFile ? parentOf(to) : to));
    if (this.#prepared.selection.everything) for (const to of roots) this.#tree.ensureDirectory(to);
    this.#cutOut = await readLostFindings(this.#root, this.#context.source);
    this.#nameCutOut(undefined);
    await this.#restoreFiles();
    await this.#restoreMailboxes();
    await this.#messages?.flush();
    if (this.#prepared.links.full) {
      const message = "there are more hard links than can be remembered: some are files of their own";
      this.#findings.add("not-linked", "note", "/" as ByteString, message);
    }
    await this.#writeTextList();
    await this.#finishDirectories();
    const runbook = this.#writeRunbook();
    syncFilesystems([...roots, this.#tree.target]);
    rmSync(toFsPath(journalPath(this.#options.target)), { force: true });
    return {
      backup: this.#root.backup,
      ...this.#done,
      findings: this.#findings.shown,
      findingsTotal: this.#findings.total,
      incomplete: this.#findings.incomplete,
      seconds: (clock.monotonicMs() - began) / 1000,
      blocks: this.#context.workers?.objects.usage.bytes,
      runbook,
    };
  }

  /** What a repair cut out of the backup. */
  #nameCutOut(mailbox: ByteString | undefined): void {
    const { selection } = this.#prepared;
    for (const { path, uid, message } of this.#cutOut.get(mailbox) ?? [])
      if (uid === undefined ? !selection.messagesOnly || mailbox !== undefined : selection.takesMessage(uid))
        this.#findings.add("not-in-backup", "error", path, message);
  }

  async #restoreFiles(): Promise<void> {
    const { selection } = this.#prepared;
    if (selection.messagesOnly) return;
    const files = soundEntries(this.#root.files, this.#context.source, filePages, (lost) =>
      this.#findings.addLost("files", "/" as ByteString, lost),
    );
    for await (const entry of files) {
      this.#context.signal?.throwIfAborted();
      if (selection.takesFile(entry)) await this.#restoreFile(entry);
    }
  }

  async #restoreFile(entry: FileEntry): Promise<void> {
    const path = this.#tree.locate(entry.path);
    if (isDirectory(entry.stat)) {
      this.#makeDirectory(path, entry);
      return;
    }
    if (entry.leftOut !== undefined) return;
    const reason = this.#prepared.selection.neverRestored(entry.path);
    if (reason !== undefined) {
      this.#findings.add("never-restored", "note", entry.path, reason);
      return;
    }
    this.#tree.ensureDirectory(parentOf(path));
    await this.#restoreOther(entry.path, path, entry, () => this.#absentNames.contentFor(entry));
  }

  async #restoreMailboxes(): Promise<void> {
    const { selection } = this.#prepared;
    const mailboxes = soundEntries(this.#root.mailboxes, this.#context.source, mailboxPages, (lost) =>
      this.#findings.addLost("mailboxes", lost.firstKey ?? ("/" as ByteString), lost),
    );
    for await (const mailbox of mailboxes) {
      if (!selection.takesMailbox(mailbox)) continue;
      this.#nameCutOut(mailbox.name);
      const places = mailbox.directories.map(({ path }) => this.#tree.locate(path));
      for (const [position, directory] of mailbox.directories.entries())
        this.#makeDirectory(places[position] as ByteString, directory);
      if (!selection.messagesOnly) {
        const files = () => this.#restoreMailboxFiles(mailbox);
        await (this.#messages?.meanwhile(files) ?? files());
      }
      await this.#restoreMessages(mailbox, places);
      this.#done.mailboxes++;
      if (this.#names.length < NAMES_SHOWN) this.#names.push(toText(mailbox.name));
    }
  }

  async #restoreMailboxFiles(mailbox: MailboxEntry): Promise<void> {
    for (const file of mailbox.files) {
      if (file.leftOut !== undefined) continue;
      const serverPath = mailboxFilePath(mailbox, file);
      const path = this.#tree.locate(serverPath);
      await this.#restoreOther(serverPath, path, file, () => this.#indexes.contentFor(mailbox, file));
    }
  }

  /**
   * A file that is no message, or a symlink.
   * @param instead - what is written in its place; undefined: what is stored.
   */
  async #restoreOther(
    serverPath: ByteString,
    path: ByteString,
    { stat, content, target }: Pick<FileEntry, "stat" | "content" | "target">,
    instead?: () => Promise<IndexContent | undefined>,
  ): Promise<void> {
    const attributes = this.#attributes(stat);
    if (target !== undefined) {
      this.#findings.addOutcome(serverPath, writeSymlink(path, target, attributes, this.#existing));
      return;
    }
    if (content === undefined) {
      this.#findings.addNotInBackup(serverPath);
      return;
    }
    const key = `${this.#prepared.selection.placeOf(serverPath)?.path}\0${stat.inode}`;
    const linked = stat.links > 1 ? this.#fileLinks.get(key) : undefined;
    if (linked !== undefined && isSameFile(linked, content, stat)) {
      const outcome = writeLink(linked.path, path, this.#existing);
      if (outcome !== false) {
        this.#findings.addOutcome(serverPath, outcome);
        this.#done.files++;
        return;
      }
    }
    const written = await this.#writeContent(serverPath, path, content, attributes, stat.size, instead);
    if (stat.links > 1 && written && linked === undefined) this.#fileLinks.set(key, { path, content, stat });
  }

  async #restoreMessages(mailbox: MailboxEntry, places: readonly ByteString[]): Promise<void> {
    const { selection } = this.#prepared;
    const { source, signal } = this.#context;
    const known = mailbox.directories.map(
      (directory, position): MessagePlace => ({
        directory,
        path: places[position] as ByteString,
        filesystem: filesystemOf(mailbox.partition, directory.role),
      }),
    );
    const messages = soundEntries(mailbox.messagePages, source, messagePages, (lost) =>
      this.#findings.addLost("messages", mailbox.directories[0]?.path ?? mailbox.name, lost),
    );
    for await (const message of messages) {
      if (!selection.takesMessage(message.uid)) continue;
      signal?.throwIfAborted();
      messageDirectory(mailbox, message);
      const job = this.#job(message, known[message.directory] as MessagePlace);
      await (this.#messages?.add(job) ?? this.#restoreOne(job));
    }
  }

  #job(message: MessageEntry, place: MessagePlace): MessageJob {
    if (message.good !== undefined) {
      this.#findings.add(
        "good-copy",
        "warning",
        pathOf(place.directory.path, message.uid),
        "the file was damaged when it was backed up: the good copy of an earlier backup is restored",
      );
    }
    const { uid, mode, uidOwner, gidOwner, mtimeNs } = message;
    return {
      place,
      uid,
      id: message.good ?? message.object,
      attributes: this.#attributes({ mode, uid: uidOwner, gid: gidOwner, mtimeNs }),
      linked:
        this.#messages === undefined || this.#prepared.links.has(place.filesystem, message)
          ? message
          : undefined,
    };
  }

  /** Whatever stands in its place, whatever is damaged. */
  async #restoreOne(job: MessageJob): Promise<void> {
    const { uid, id, place, attributes, linked } = job;
    const serverPath = pathOf(place.directory.path, uid);
    const path = pathOf(place.path, uid);
    if (linked !== undefined && this.#link(linked, place, serverPath, path)) return;
    let bytes = 0;
    const content = async function* (this: void, from: RestoreSource): AsyncGenerator<Uint8Array> {
      bytes = 0;
      for await (const stretch of from.stream("message", id)) {
        bytes += stretch.length;
        yield stretch;
      }
    };
    const written = await this.#guarded(serverPath, () =>
      writeFile(path, () => content(this.#context.source), attributes, this.#existing),
    );
    if (written === undefined) this.#context.progress.add({ items: 1 }, this.#context.clock.monotonicMs());
    else this.#noteRestored(job, written, bytes);
  }

  /** @returns false: it is no link, or cannot be one here. */
  #link(
    message: MessageEntry,
    { filesystem }: MessagePlace,
    serverPath: ByteString,
    path: ByteString,
  ): boolean {
    const source = this.#prepared.links.find(filesystem, message);
    if (source === undefined) return false;
    const outcome = writeLink(source, path, this.#existing);
    if (outcome === false) {
      this.#findings.add(
        "not-linked",
        "note",
        serverPath,
        "could not be made a hard link of its other copy: it is a file of its own",
      );
      return false;
    }
    this.#findings.addOutcome(serverPath, outcome);
    this.#done.messages++;
    this.#context.progress.add({ items: 1 }, this.#context.clock.monotonicMs());
    return true;
  }

  #noteRestored({ uid, place, attributes, linked }: MessageJob, outcome: WriteOutcome, bytes: number): void {
    const serverPath = pathOf(place.directory.path, uid);
    this.#findings.addOutcome(serverPath, outcome);
    if (hasSetId(attributes.mode)) this.#findings.addSetIdDropped(serverPath);
    this.#done.messages++;
    this.#done.bytes += bytes;
    this.#context.progress.add({ items: 1, bytes }, this.#context.clock.monotonicMs());
    // What was left as it was may be something else.
    if (outcome !== "kept" && linked !== undefined)
      this.#prepared.links.written(place.filesystem, linked, place.path);
  }

  async #writeContent(
    serverPath: ByteString,
    path: ByteString,
    content: Content,
    attributes: Attributes,
    size: number,
    instead?: () => Promise<IndexContent | undefined>,
  ): Promise<boolean> {
    const { source, progress, clock } = this.#context;
    const written = await this.#guarded(serverPath, async () => {
      const changed = await instead?.();
      return await writeFile(
        path,
        changed ?? (() => readContent(content, source)),
        attributes,
        this.#existing,
      );
    });
    if (written === undefined) return false;
    this.#findings.addOutcome(serverPath, written);
    if (hasSetId(attributes.mode)) this.#findings.addSetIdDropped(serverPath);
    this.#done.files++;
    this.#done.bytes += size;
    progress.add({ items: 1, bytes: size }, clock.monotonicMs());
    return written !== "kept";
  }

  /** What is damaged in the repository is named and left out; the rest comes back. */
  async #guarded(
    serverPath: ByteString,
    write: () => Promise<WriteOutcome>,
  ): Promise<WriteOutcome | undefined> {
    try {
      return await write();
    } catch (error) {
      if (!isLost(error)) throw error;
      this.#findings.add("object-damaged", "error", serverPath, `not restored: ${error.message}`);
      return undefined;
    }
  }

  #makeDirectory(real: ByteString, directory: Pick<FileEntry, "path" | "stat">): void {
    const isOurs = this.#existing !== "keep" && !this.#prepared.selection.messagesOnly;
    this.#directories.make(real, directory, isOurs);
  }

  /** Directories that had to be made on the way to a part come back as they were, where the backup knows them. */
  async #finishDirectories(): Promise<void> {
    if (this.#directories.hasUnknown) {
      const files = soundEntries(this.#root.files, this.#context.source, filePages, () => {});
      for await (const entry of files) if (isDirectory(entry.stat)) this.#directories.describe(entry);
    }
    this.#directories.finish();
  }

  #beginJournal(): void {
    this.#tree.ensureTarget();
    writeOwnFile(journalPath(this.#options.target), `${this.#root.backup}\n`);
  }

  /** Beside what is restored: for `ctl_mboxlist -u`, and for people. */
  async #writeTextList(): Promise<void> {
    const { mailboxList } = this.#root;
    const { selection, options } = this.#prepared;
    const wanted =
      selection.everything ||
      options.only.some(({ part }) => part === "mailbox-list" || part === "configdirectory");
    if (mailboxList === undefined || !wanted) return;
    const name = fromText(`cyrvault-mailbox-list-${this.#root.backup}.txt`);
    this.#textListPath = toText(joinPath(this.#tree.target, name));
    const path = joinPath(this.#tree.realTarget, name);
    const attributes = {
      mode: 0o600,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      mtimeNs: BigInt(this.#root.startedMs) * 1_000_000n,
    };
    await this.#guarded(path, () =>
      writeFile(path, () => readContent(mailboxList, this.#context.source), attributes, "replace"),
    );
  }

  #writeRunbook(): RestoreResult["runbook"] {
    const { runbook } = this.#context;
    if (runbook === undefined) return undefined;
    const textListPath = this.#textListPath;
    const text = runbook({
      mailboxes: this.#names,
      findings: this.#findings.shown,
      listIsWithout: this.#absentNames.areTakenOut,
      ...(textListPath === undefined ? {} : { textListPath }),
    });
    const path = joinPath(this.#tree.target, fromText(`cyrvault-runbook-${this.#root.backup}.txt`));
    writeOwnFile(path, text);
    return { path: toText(path), text };
  }

  #attributes(stat: Pick<FileStat, "mode" | "uid" | "gid" | "mtimeNs">): Attributes {
    return { mode: stat.mode, ...this.#owners.of(stat.uid, stat.gid), mtimeNs: stat.mtimeNs };
  }
}

function pathOf(directory: ByteString, uid: number): ByteString {
  return joinPath(directory, `${uid}.` as ByteString);
}

function isSameFile(linked: LinkedFile, content: Content, { mode, mtimeNs }: FileStat): boolean {
  return (
    linked.stat.mode === mode && linked.stat.mtimeNs === mtimeNs && contentEquals(linked.content, content)
  );
}
