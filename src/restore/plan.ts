/** What a restore would do: nothing is written here. `--dry-run` prints it, the run takes nothing else. */
import { readFileSync } from "node:fs";
import { type ByteString, joinPath, pathKey, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { lstatNs } from "../base/posix.ts";
import { contentSize, readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { FileEntry, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { baseName, normalise, parentOf } from "../source/view.ts";
import { LinkTable } from "./link-table.ts";
import { noMailboxMeant, noMessageMeant } from "./nothing-meant.ts";
import type { RestoreOptions, RestorePlan } from "./options.ts";
import {
  isDirectory,
  mailboxFilePath,
  messageDirectory,
  requireSoundFile,
  requireSoundMailbox,
} from "./require-sound.ts";
import { findHolder } from "./running-cyrus.ts";
import { type ManifestPlace, RestoreSelection } from "./selection.ts";
import { SpaceNeeded } from "./space.ts";
import { isEmptyDirectory, namesIn } from "./standing.ts";
import { TargetTree } from "./target-tree.ts";
import { isSame } from "./write-file.ts";

const WOULD_OVERWRITE_SHOWN = 1000;

export interface PreparedRestore {
  readonly plan: RestorePlan;
  readonly root: ManifestRoot;
  readonly options: RestoreOptions;
  readonly selection: RestoreSelection;
  readonly tree: TargetTree;
  readonly links: LinkTable;
  readonly places: readonly ManifestPlace[];
}

/** @throws {CyrvaultError} `TARGET_REFUSED`, `USAGE`, `MAILBOX_NOT_FOUND`, `REPOSITORY_DAMAGED`, `IO`. */
export async function planRestore(
  options: RestoreOptions,
  root: ManifestRoot,
  source: PageSource,
): Promise<PreparedRestore> {
  const places = root.roots.map(({ kind, name, path }): ManifestPlace => ({ kind, name, path }));
  const selection = new RestoreSelection(options, root, places);
  const resumes = isInterrupted(options.target, root.backup);
  const placed = [];
  for (const { kind, path } of places)
    placed.push({
      path,
      isFile: kind === "file" || (kind === "include" && (await isFileIn(root, path, source))),
    });
  const tree = new TargetTree(options.target, options.mappings, placed, resumes);
  const planning = new Planning(options, root, source, { selection, tree, places });
  await planning.countMailboxes();
  await planning.countFiles();
  return {
    plan: {
      backup: root.backup,
      ...planning.counts,
      ...planning.space.summary,
      roots: tree.roots
        .filter(({ from }) => selection.everything || planning.space.isUsed(from))
        .map(({ from, to }) => ({ from: toText(from), to: toText(to) })),
      resumes,
      wouldOverwrite: planning.wouldOverwrite,
    },
    root,
    options,
    selection,
    tree,
    links: planning.links,
    places,
  };
}

class Planning {
  readonly counts = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly links = new LinkTable();
  readonly wouldOverwrite: string[] = [];
  readonly space: SpaceNeeded;
  readonly #options: RestoreOptions;
  readonly #root: ManifestRoot;
  readonly #source: PageSource;
  readonly #selection: RestoreSelection;
  readonly #tree: TargetTree;
  #lostMessages = 0;

  constructor(
    options: RestoreOptions,
    root: ManifestRoot,
    source: PageSource,
    { selection, tree }: Pick<PreparedRestore, "selection" | "tree" | "places">,
  ) {
    this.#options = options;
    this.#root = root;
    this.#source = source;
    this.#selection = selection;
    this.#tree = tree;
    this.space = new SpaceNeeded(tree.roots);
  }

  async countMailboxes(): Promise<void> {
    let lost = 0;
    const mailboxes = soundEntries(this.#root.mailboxes, this.#source, mailboxPages, ({ entries }) => {
      lost += entries;
    });
    for await (const mailbox of mailboxes)
      if (this.#selection.takesMailbox(mailbox)) await this.#countMailbox(mailbox);
    const { mailboxes: patterns, users } = this.#options;
    if (this.counts.mailboxes > 0 && this.#selection.messagesOnly && this.counts.messages === 0)
      throw noMessageMeant(this.#root, this.#lostMessages);
    if (patterns.length + users.length > 0 && this.counts.mailboxes === 0)
      throw noMailboxMeant(this.#root, lost);
  }

  async countFiles(): Promise<void> {
    if (this.#selection.messagesOnly) return;
    for await (const file of soundEntries(this.#root.files, this.#source, filePages, () => {})) {
      if (!this.#selection.takesFile(file)) continue;
      requireSoundFile(file, this.#tree);
      const { content } = file;
      if (content === undefined) continue;
      const size = contentSize(content);
      this.counts.files++;
      this.counts.bytes += size;
      this.space.add(file.path, 1, size);
      if (await this.#stands(file)) this.#wouldOverwrite(this.#tree.locate(file.path));
    }
  }

  async #countMailbox(mailbox: MailboxEntry): Promise<void> {
    requireSoundMailbox(mailbox, this.#tree);
    this.counts.mailboxes++;
    let messages = 0;
    let files = 0;
    let bytes = 0;
    const standing = this.#mayStand
      ? mailbox.directories.map(({ path }) => namesIn(this.#tree.locate(path)))
      : [];
    const note = (directory: number, name: ByteString): void => {
      if (standing[directory]?.has(name) !== true) return;
      this.#wouldOverwrite(this.#tree.locate(mailboxFilePath(mailbox, { directory, name })));
    };
    if (!this.#selection.messagesOnly) {
      for (const { content, directory, name } of mailbox.files) {
        if (content === undefined) continue;
        files++;
        bytes += contentSize(content);
        note(directory, name);
      }
    }
    const pages = soundEntries(mailbox.messagePages, this.#source, messagePages, ({ entries }) => {
      this.#lostMessages += entries;
    });
    for await (const message of pages) {
      const { role } = messageDirectory(mailbox, message);
      if (!this.#selection.takesMessage(message.uid)) continue;
      messages++;
      this.links.note(filesystemOf(mailbox.partition, role), message);
      if (standing.length > 0) note(message.directory, `${message.uid}.` as ByteString);
    }
    // Single sizes stand in cyrus.index, not in the manifest.
    bytes += Math.round((mailbox.bytes * messages) / Math.max(mailbox.messages, messages, 1));
    this.counts.messages += messages;
    this.counts.files += files;
    this.counts.bytes += bytes;
    const [first] = mailbox.directories;
    for (const { path } of mailbox.directories) this.space.add(path, 0, 0);
    if (first !== undefined) this.space.add(first.path, messages + files, bytes);
  }

  /** Where roots must be empty, what they hold need not be looked at. */
  get #mayStand(): boolean {
    return !this.#selection.everything || this.#options.overwrite !== undefined;
  }

  /** A file of the same content is in nobody's way. */
  async #stands({ path, content }: FileEntry): Promise<boolean> {
    const kind = this.#selection.placeOf(path)?.kind;
    if (content === undefined || !(this.#mayStand || kind === "file" || kind === "include")) return false;
    const real = this.#tree.locate(path);
    const there = lstatNs(real);
    if (there === undefined) return false;
    if (there.size !== contentSize(content)) return true;
    try {
      return !(await isSame(real, () => readContent(content, this.#source)));
    } catch (error) {
      if (!isLost(error)) throw error;
      return false;
    }
  }

  #wouldOverwrite(path: ByteString): void {
    if (this.wouldOverwrite.length < WOULD_OVERWRITE_SHOWN) this.wouldOverwrite.push(toText(path));
  }
}

/** Whether the plan may be carried out. @throws {CyrvaultError} `TARGET_REFUSED`, `NO_SPACE`. */
export function requireSafe({ plan, options, tree, places, selection }: PreparedRestore): void {
  const directories = tree.roots.map(({ to, isFile }) => (isFile ? parentOf(to) : to));
  const holder = findHolder(directories.filter((to) => !isShared(to)));
  if (holder !== undefined) {
    throw new CyrvaultError(
      "TARGET_REFUSED",
      `cannot restore: a running program (${holder.command}, process ${holder.pid}) has ${holder.path} open`,
      {
        hint: "stop Cyrus and everything of its (cyr_expire, squatter), or restore into another directory",
      },
    );
  }
  if (options.overwrite !== undefined || plan.resumes) return;
  const data = places.filter(({ kind }) => kind !== "file" && kind !== "include");
  for (const { path } of selection.everything ? data : []) {
    const to = tree.locate(path);
    if (!isEmptyDirectory(to)) {
      throw new CyrvaultError("TARGET_REFUSED", `cannot restore: ${toText(to)} is not empty`, {
        hint: "choose an empty place, or say --overwrite if-different (what differs becomes what the backup has) or --overwrite never (only what is missing comes)",
      });
    }
  }
  const [first] = plan.wouldOverwrite;
  if (first !== undefined) {
    const { length } = plan.wouldOverwrite;
    const count = length < WOULD_OVERWRITE_SHOWN ? `${length}` : `${length} or more`;
    throw new CyrvaultError("TARGET_REFUSED", `cannot restore: ${first} is there already`, {
      hint: `${count} such files; --overwrite never leaves them, --overwrite if-different replaces what differs`,
    });
  }
  if (plan.spaceShort !== undefined) {
    const { path, needed, free } = plan.spaceShort;
    throw new CyrvaultError(
      "NO_SPACE",
      `cannot restore: about ${needed} bytes are needed at ${path}, and ${free} are free`,
      { hint: "choose a target with more room, or restore a part (--only, --user, --mailbox)" },
    );
  }
}

/** Messages of one partition's data directory lie in one filesystem, those of its archive in another one. */
export function filesystemOf(partition: ByteString, role: string | undefined): string {
  return `${role ?? "data"}\0${partition}`;
}

export function journalPath(target: ByteString): ByteString {
  return joinPath(normalise(target), ".cyrvault-restore" as ByteString);
}

/** What is damaged or missing in the repository costs a file or a page, not the restore. */
export function isLost(error: unknown): error is CyrvaultError {
  return isCyrvaultError(error, "REPOSITORY_DAMAGED") || isCyrvaultError(error, "OBJECT_MISSING");
}

/** Whether a root is a file of its own. */
export async function isFileIn(root: ManifestRoot, path: ByteString, source: PageSource): Promise<boolean> {
  try {
    const entry = await findInPageTree(root.files, pathKey(path), source, filePages);
    return entry !== undefined && !isDirectory(entry.stat);
  } catch (error) {
    if (!isLost(error)) throw error;
    return false;
  }
}

function isInterrupted(target: ByteString, backup: string): boolean {
  const path = journalPath(target);
  try {
    return readFileSync(toFsPath(path), "utf8").trim() === backup;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw ioError(`cannot read ${toText(baseName(path))} in ${toText(target)}`, error);
  }
}

/** Places where other programs have every right to have files open. */
function isShared(path: ByteString): boolean {
  return path === "/" || path === "/etc" || path.startsWith("/etc/");
}
