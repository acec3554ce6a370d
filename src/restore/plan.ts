/** What a restore would do: nothing is written here. `--dry-run` prints it, the run takes nothing else. */
import { readFileSync } from "node:fs";
import { type ByteString, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { CyrvaultError, systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import { lstatNs } from "../base/posix.ts";
import { contentSize, readContent } from "../manifest/content.ts";
import type { FileEntry, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { isLost } from "../manifest/sound-pages.ts";
import { baseName, normalise, parentOf } from "../source/view.ts";
import { filesystemOf, LinkTable } from "./link-table.ts";
import { requireDumpsIfMeant, requireSomeMeant } from "./nothing-meant.ts";
import type { RestoreOptions, RestorePlan } from "./options.ts";
import { findFiles, placesOf } from "./places.ts";
import { mailboxFilePath, messageDirectory, requireSoundFile, requireSoundMailbox } from "./require-sound.ts";
import { findHolder } from "./running-cyrus.ts";
import { SelectedEntries } from "./selected-entries.ts";
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
  const places = placesOf(root);
  const selection = new RestoreSelection(options, root, places);
  const resumes = isInterrupted(options.target, root.backup);
  const placed = await findFiles(places, root, source);
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
      standing: planning.standing,
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
  standing = 0;
  readonly space: SpaceNeeded;
  readonly #options: RestoreOptions;
  readonly #root: ManifestRoot;
  readonly #source: PageSource;
  readonly #selection: RestoreSelection;
  readonly #tree: TargetTree;
  readonly #lost = { files: 0, mailboxes: 0, messages: 0 };
  readonly #entries: SelectedEntries;

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
    this.#entries = new SelectedEntries(root, selection, source, (what, { entries }) => {
      this.#lost[what] += entries;
    });
  }

  async countMailboxes(): Promise<void> {
    for await (const mailbox of this.#entries.mailboxes()) await this.#countMailbox(mailbox);
    requireSomeMeant(this.#root, this.#options, this.counts, this.#lost, this.#selection.absent);
  }

  async countFiles(): Promise<void> {
    for await (const file of this.#entries.files()) {
      requireSoundFile(file, this.#tree);
      const { content } = file;
      if (content === undefined) continue;
      const size = contentSize(content);
      this.counts.files++;
      this.counts.bytes += size;
      this.space.add(file.path, 1, size);
      const stands = await this.#stands(file);
      if (stands === "differs") this.#wouldOverwrite(this.#tree.locate(file.path));
      else if (stands === "same") this.standing++;
    }
    requireDumpsIfMeant(this.#root, this.#options, this.counts, this.#lost);
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
    for await (const message of this.#entries.messages(mailbox)) {
      const { role } = messageDirectory(mailbox, message);
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

  /** A file of the same content is in nobody's way. undefined: nothing is there, or nobody can tell. */
  async #stands({ path, content }: FileEntry): Promise<"same" | "differs" | undefined> {
    const kind = this.#selection.placeOf(path)?.kind;
    if (content === undefined || !(this.#mayStand || kind === "file" || kind === "include")) return undefined;
    const real = this.#tree.locate(path);
    const there = lstatNs(real);
    if (there === undefined) return undefined;
    if (there.size !== contentSize(content)) return "differs";
    try {
      return (await isSame(real, () => readContent(content, this.#source))) ? "same" : "differs";
    } catch (error) {
      if (!isLost(error)) throw error;
      return undefined;
    }
  }

  #wouldOverwrite(path: ByteString): void {
    this.standing++;
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

export function journalPath(target: ByteString): ByteString {
  return joinPath(normalise(target), ".cyrvault-restore" as ByteString);
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
