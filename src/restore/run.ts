/**
 * Carries out a restore: directories, then files, then mailboxes in the order of the backup; last the attributes
 * of directories, and one sync of each filesystem before success is said.
 */
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { type ByteString, fromText, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { setMtimeNs, syncFilesystem } from "../base/posix.ts";
import { groupId, userId } from "../base/posix-owners.ts";
import type { Progress } from "../base/progress.ts";
import { readContent } from "../manifest/content.ts";
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
import { readPageTree } from "../manifest/read-page-tree.ts";
import { parentOf } from "../source/view.ts";
import type { ObjectId } from "../store/object.ts";
import type { LinkTable } from "./link-table.ts";
import type { RestoreFinding, RestoreOptions, RestoreResult } from "./options.ts";
import { filesystemOf, journalPath, type PreparedRestore, requireSafe } from "./plan.ts";
import { applyMode, applyOwner, type TargetTree } from "./target-tree.ts";
import {
  type Attributes,
  type Existing,
  type WriteOutcome,
  writeFile,
  writeLink,
  writeSymlink,
} from "./write-file.ts";

export interface RestoreSource extends PageSource {
  /** A message's bytes in order; ends with an error if they are not what the id says. */
  stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array>;
}

export interface RestoreContext {
  readonly source: RestoreSource;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
  /** Made at the end, for the case that this restore is. */
  readonly runbook?: (restored: {
    readonly mailboxes: readonly string[];
    readonly findings: readonly RestoreFinding[];
  }) => string;
}

const FINDINGS_SHOWN = 1000;
/** Mailboxes named in the runbook. */
const NAMES_SHOWN = 200;

export async function runRestore(prepared: PreparedRestore, context: RestoreContext): Promise<RestoreResult> {
  requireSafe(prepared);
  return await new RestoreRun(prepared, context).run();
}

interface DirectoryToFinish {
  readonly path: ByteString;
  readonly attributes: Attributes;
}

class RestoreRun {
  readonly #root: ManifestRoot;
  readonly #options: RestoreOptions;
  readonly #prepared: PreparedRestore;
  readonly #context: RestoreContext;
  readonly #tree: TargetTree;
  readonly #existing: Existing;
  readonly #owners: Owners;
  readonly #fileLinks = new Map<number, ByteString>();
  readonly #directories = new Map<ByteString, Attributes>();
  readonly #findings: RestoreFinding[] = [];
  #findingsTotal = 0;
  #incomplete = false;
  #ownersRefused = false;
  readonly #done = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly #names: string[] = [];

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
    this.#owners = new Owners(prepared.root, prepared.options.owner, (name) => {
      this.#find(
        "owner-unknown",
        "warning",
        "/" as ByteString,
        `${name} is not known on this machine: the number recorded is used`,
      );
    });
  }

  async run(): Promise<RestoreResult> {
    const { clock, progress } = this.#context;
    const { plan } = this.#prepared;
    const began = clock.monotonicMs();
    progress.beginPhase("restoring", began, { items: plan.messages + plan.files, bytes: plan.bytes });
    this.#beginJournal();
    for (const { to } of this.#tree.roots)
      if (this.#prepared.selection.everything) this.#tree.ensureDirectory(to);
    await this.#restoreFiles();
    await this.#restoreMailboxes();
    await this.#writeTextList();
    this.#finishDirectories();
    this.#sync();
    rmSync(toFsPath(journalPath(this.#options.target)), { force: true });
    return {
      backup: this.#root.backup,
      ...this.#done,
      findings: this.#findings,
      findingsTotal: this.#findingsTotal,
      incomplete: this.#incomplete,
      seconds: (clock.monotonicMs() - began) / 1000,
      runbook: this.#writeRunbook(),
    };
  }

  async #restoreFiles(): Promise<void> {
    const { selection } = this.#prepared;
    if (selection.messagesOnly) return;
    for await (const entry of readPageTree(this.#root.files, this.#context.source, filePages)) {
      this.#context.signal?.throwIfAborted();
      if (selection.takesFile(entry)) await this.#restoreFile(entry);
    }
  }

  async #restoreFile(entry: FileEntry): Promise<void> {
    const path = this.#tree.locate(entry.path);
    const attributes = this.#attributes(entry.stat);
    if (isDirectory(entry.stat)) {
      this.#makeDirectory(path, attributes);
      return;
    }
    if (entry.leftOut !== undefined) return;
    this.#tree.ensureDirectory(parentOf(path));
    if (entry.target !== undefined)
      this.#note(path, writeSymlink(path, entry.target, attributes, this.#existing));
    else if (entry.content === undefined) {
      this.#find(
        "not-in-backup",
        "error",
        entry.path,
        "the backup could not read this file, so it has nothing of it",
      );
    } else {
      const linked = entry.stat.links > 1 ? this.#fileLinks.get(entry.stat.inode) : undefined;
      if (linked !== undefined && writeLink(linked, path, this.#existing) !== false) return;
      await this.#writeContent(entry.path, path, entry.content, attributes, entry.stat.size);
      if (entry.stat.links > 1) this.#fileLinks.set(entry.stat.inode, path);
    }
  }

  async #restoreMailboxes(): Promise<void> {
    const { selection } = this.#prepared;
    for await (const mailbox of readPageTree(this.#root.mailboxes, this.#context.source, mailboxPages)) {
      if (!selection.takesMailbox(mailbox)) continue;
      for (const { path, stat } of mailbox.directories)
        this.#makeDirectory(this.#tree.locate(path), this.#attributes(stat));
      if (!selection.messagesOnly) await this.#restoreMailboxFiles(mailbox);
      await this.#restoreMessages(mailbox);
      this.#done.mailboxes++;
      if (this.#names.length < NAMES_SHOWN) this.#names.push(toText(mailbox.name));
    }
  }

  async #restoreMailboxFiles(mailbox: MailboxEntry): Promise<void> {
    for (const file of mailbox.files) {
      if (file.leftOut !== undefined) continue;
      const serverPath = joinPath(mailbox.directories[file.directory]?.path as ByteString, file.name);
      requireName(file.name);
      const path = this.#tree.locate(serverPath);
      const attributes = this.#attributes(file.stat);
      if (file.target !== undefined)
        this.#note(path, writeSymlink(path, file.target, attributes, this.#existing));
      else if (file.content === undefined) {
        this.#find(
          "not-in-backup",
          "error",
          serverPath,
          "the backup could not read this file, so it has nothing of it",
        );
      } else await this.#writeContent(serverPath, path, file.content, attributes, file.stat.size);
    }
  }

  async #restoreMessages(mailbox: MailboxEntry): Promise<void> {
    const { selection, links } = this.#prepared;
    const { clock, progress, source, signal } = this.#context;
    for await (const message of readPageTree(mailbox.messagePages, source, messagePages)) {
      if (!selection.takesMessage(message.uid)) continue;
      signal?.throwIfAborted();
      const directory = mailbox.directories[message.directory];
      if (directory === undefined)
        throw new CyrvaultError(
          "REPOSITORY_DAMAGED",
          `a message of ${toText(mailbox.name)} lies in no directory of it`,
        );
      const serverPath = joinPath(directory.path, `${message.uid}.` as ByteString);
      await this.#restoreMessage(message, serverPath, filesystemOf(mailbox.partition, directory.role), links);
      progress.add({ items: 1 }, clock.monotonicMs());
    }
  }

  async #restoreMessage(
    message: MessageEntry,
    serverPath: ByteString,
    filesystem: string,
    links: LinkTable,
  ): Promise<void> {
    const path = this.#tree.locate(serverPath);
    const source = links.find(filesystem, message);
    if (source !== undefined) {
      if (writeLink(source, path, this.#existing) !== false) {
        this.#done.messages++;
        return;
      }
      this.#find(
        "not-linked",
        "note",
        serverPath,
        "could not be made a hard link of its other copy: it is a file of its own",
      );
    }
    const id = message.good ?? message.object;
    if (message.good !== undefined) {
      this.#find(
        "good-copy",
        "warning",
        serverPath,
        "the file was damaged when it was backed up: the good copy of an earlier backup is restored",
      );
    }
    const attributes = this.#attributes({
      mode: message.mode,
      uid: message.uidOwner,
      gid: message.gidOwner,
      mtimeNs: message.mtimeNs,
    });
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
    if (written === undefined) return;
    this.#note(path, written);
    this.#done.messages++;
    this.#done.bytes += bytes;
    this.#context.progress.add({ bytes }, this.#context.clock.monotonicMs());
    links.written(filesystem, message, parentOf(path));
  }

  async #writeContent(
    serverPath: ByteString,
    path: ByteString,
    content: Content,
    attributes: Attributes,
    size: number,
  ): Promise<void> {
    const { source, progress, clock } = this.#context;
    const written = await this.#guarded(serverPath, () =>
      writeFile(path, () => readContent(content, source), attributes, this.#existing),
    );
    if (written === undefined) return;
    this.#note(path, written);
    this.#done.files++;
    this.#done.bytes += size;
    progress.add({ items: 1, bytes: size }, clock.monotonicMs());
  }

  /** What is damaged in the repository is named and left out; the rest comes back. */
  async #guarded(
    serverPath: ByteString,
    write: () => Promise<WriteOutcome>,
  ): Promise<WriteOutcome | undefined> {
    try {
      return await write();
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "OBJECT_MISSING"))
        throw error;
      this.#find("object-damaged", "error", serverPath, `not restored: ${error.message}`);
      return undefined;
    }
  }

  #makeDirectory(path: ByteString, attributes: Attributes): void {
    if (this.#directories.has(path)) return;
    this.#tree.ensureDirectory(path);
    this.#directories.set(path, attributes);
  }

  /** Innermost last in, first out: setting one's times must come after everything in it. */
  #finishDirectories(): void {
    const all: DirectoryToFinish[] = [...this.#directories].map(([path, attributes]) => ({
      path,
      attributes,
    }));
    all.sort((a, b) => b.path.length - a.path.length);
    for (const { path, attributes } of all) {
      if (!applyOwner(path, attributes.uid, attributes.gid)) this.#note(path, "owner-not-set");
      applyMode(path, attributes.mode);
    }
    for (const { path, attributes } of all) setMtimeNs(path, attributes.mtimeNs);
  }

  #sync(): void {
    for (const { to } of this.#tree.roots) {
      let fd: number;
      try {
        fd = openSync(toFsPath(to), "r");
      } catch {
        continue;
      }
      try {
        syncFilesystem(fd);
      } finally {
        closeSync(fd);
      }
    }
  }

  #beginJournal(): void {
    const path = journalPath(this.#options.target);
    try {
      this.#tree.ensureTarget();
      writeFileSync(toFsPath(path), `${this.#root.backup}\n`, { mode: 0o600 });
    } catch (error) {
      throw ioError(`cannot write into ${toText(this.#options.target)}`, error);
    }
  }

  /** Beside what is restored: for `ctl_mboxlist -u`, and for people. */
  async #writeTextList(): Promise<void> {
    const { mailboxList } = this.#root;
    const { selection, options } = this.#prepared;
    const wanted =
      selection.everything ||
      options.only.some(({ part }) => part === "mailbox-list" || part === "configdirectory");
    if (mailboxList === undefined || !wanted) return;
    const path = joinPath(this.#tree.target, fromText(`cyrvault-mailbox-list-${this.#root.backup}.txt`));
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
    const text = runbook({ mailboxes: this.#names, findings: this.#findings });
    const path = joinPath(this.#tree.target, fromText(`cyrvault-runbook-${this.#root.backup}.txt`));
    writeFileSync(toFsPath(path), text, { mode: 0o600 });
    return { path: toText(path), text };
  }

  #attributes(stat: Pick<FileStat, "mode" | "uid" | "gid" | "mtimeNs">): Attributes {
    return { mode: stat.mode, ...this.#owners.of(stat.uid, stat.gid), mtimeNs: stat.mtimeNs };
  }

  #note(path: ByteString, outcome: WriteOutcome): void {
    if (outcome === "kept")
      this.#find("differs-kept", "note", path, "was there already and was left as it is");
    if (outcome !== "owner-not-set" || this.#ownersRefused) return;
    this.#ownersRefused = true;
    this.#find(
      "owner-not-set",
      "warning",
      path,
      "owners can be set by root only: everything belongs to the user who restores",
    );
  }

  #find(
    code: RestoreFinding["code"],
    severity: RestoreFinding["severity"],
    path: ByteString,
    message: string,
  ): void {
    this.#findingsTotal++;
    if (severity === "error") this.#incomplete = true;
    if (this.#findings.length < FINDINGS_SHOWN) this.#findings.push({ code, severity, path, message });
  }
}

/** Owners are found by name, since numbers differ between machines; by number where the name is not known. */
class Owners {
  readonly #root: ManifestRoot;
  readonly #fixed: RestoreOptions["owner"];
  readonly #unknown: (name: string) => void;
  readonly #uids = new Map<number, number>();
  readonly #gids = new Map<number, number>();

  constructor(root: ManifestRoot, fixed: RestoreOptions["owner"], unknown: (name: string) => void) {
    this.#root = root;
    this.#fixed = fixed;
    this.#unknown = unknown;
  }

  of(uid: number, gid: number): { uid: number; gid: number } {
    if (this.#fixed !== undefined) return this.#fixed;
    return {
      uid: this.#find(this.#uids, uid, this.#root.users, userId, "user"),
      gid: this.#find(this.#gids, gid, this.#root.groups, groupId, "group"),
    };
  }

  #find(
    known: Map<number, number>,
    id: number,
    names: Readonly<Record<string, string>>,
    lookUp: (name: string) => number | undefined,
    what: string,
  ): number {
    const before = known.get(id);
    if (before !== undefined) return before;
    const name = names[id];
    const here = name === undefined ? undefined : lookUp(name);
    if (name !== undefined && here === undefined) this.#unknown(`the ${what} ${name} (${id})`);
    known.set(id, here ?? id);
    return here ?? id;
  }
}

function isDirectory(stat: FileStat): boolean {
  return (stat.mode & 0o170000) === 0o040000;
}

function requireName(name: ByteString): void {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new CyrvaultError(
      "REPOSITORY_DAMAGED",
      `the backup holds a file name that can't be one: ${toText(name)}`,
    );
  }
}
