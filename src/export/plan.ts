/** What an export would write: counted, and the hard links found, before the first byte goes out. */
import { contentSize } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { LinkTable } from "../restore/link-table.ts";
import { noMailboxMeant, noMessageMeant } from "../restore/nothing-meant.ts";
import type { RestoreOptions } from "../restore/options.ts";
import { filesystemOf, isFileIn } from "../restore/plan.ts";
import { messageDirectory, requireSoundFile, requireSoundMailbox } from "../restore/require-sound.ts";
import { type ManifestPlace, RestoreSelection } from "../restore/selection.ts";
import { ExportTree } from "./export-tree.ts";

/** As a restore takes them; of an archive it is not known where it will be unpacked. */
export type ExportOptions = Omit<RestoreOptions, "target" | "overwrite">;

export interface ExportCounts {
  readonly mailboxes: number;
  readonly messages: number;
  /** Regular files that are no messages. */
  readonly files: number;
  readonly bytes: number;
}

export interface PreparedExport {
  /** Bytes are about right: sizes of single messages are not in the manifest. */
  readonly counts: ExportCounts;
  readonly root: ManifestRoot;
  readonly options: ExportOptions;
  readonly selection: RestoreSelection;
  readonly tree: ExportTree;
  readonly links: LinkTable;
}

/** @throws {CyrvaultError} `USAGE`, `MAILBOX_NOT_FOUND`, `MESSAGE_NOT_FOUND`, `REPOSITORY_DAMAGED`, `IO`. */
export async function planExport(
  options: ExportOptions,
  root: ManifestRoot,
  source: PageSource,
): Promise<PreparedExport> {
  const places = root.roots.map(({ kind, name, path }): ManifestPlace => ({ kind, name, path }));
  const selection = new RestoreSelection(options, root, places);
  const roots = [];
  for (const { kind, path: from } of places)
    roots.push({
      from,
      isFile: kind === "file" || (kind === "include" && (await isFileIn(root, from, source))),
    });
  const planning = new Planning(root, source, selection, new ExportTree(options.mappings, roots));
  await planning.countMailboxes(options);
  await planning.countFiles();
  const { counts, tree, links } = planning;
  return { counts, root, options, selection, tree, links };
}

class Planning {
  readonly counts = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly links = new LinkTable();
  readonly tree: ExportTree;
  readonly #root: ManifestRoot;
  readonly #source: PageSource;
  readonly #selection: RestoreSelection;
  #lostMailboxes = 0;
  #lostMessages = 0;

  constructor(root: ManifestRoot, source: PageSource, selection: RestoreSelection, tree: ExportTree) {
    this.#root = root;
    this.#source = source;
    this.#selection = selection;
    this.tree = tree;
  }

  async countMailboxes({ mailboxes: patterns, users }: ExportOptions): Promise<void> {
    const mailboxes = soundEntries(this.#root.mailboxes, this.#source, mailboxPages, ({ entries }) => {
      this.#lostMailboxes += entries;
    });
    for await (const mailbox of mailboxes)
      if (this.#selection.takesMailbox(mailbox)) await this.#countMailbox(mailbox);
    const { mailboxes: found, messages } = this.counts;
    if (found > 0 && this.#selection.messagesOnly && messages === 0)
      throw noMessageMeant(this.#root, this.#lostMessages);
    if (patterns.length + users.length > 0 && found === 0)
      throw noMailboxMeant(this.#root, this.#lostMailboxes);
  }

  async countFiles(): Promise<void> {
    if (this.#selection.messagesOnly) return;
    for await (const file of soundEntries(this.#root.files, this.#source, filePages, () => {})) {
      if (!this.#selection.takesFile(file)) continue;
      requireSoundFile(file, this.tree);
      if (file.content === undefined) continue;
      this.counts.files++;
      this.counts.bytes += contentSize(file.content);
    }
  }

  async #countMailbox(mailbox: MailboxEntry): Promise<void> {
    requireSoundMailbox(mailbox, this.tree);
    this.counts.mailboxes++;
    if (!this.#selection.messagesOnly)
      for (const { content } of mailbox.files) {
        if (content === undefined) continue;
        this.counts.files++;
        this.counts.bytes += contentSize(content);
      }
    let messages = 0;
    const pages = soundEntries(mailbox.messagePages, this.#source, messagePages, ({ entries }) => {
      this.#lostMessages += entries;
    });
    for await (const message of pages) {
      const { role } = messageDirectory(mailbox, message);
      if (!this.#selection.takesMessage(message.uid)) continue;
      messages++;
      this.links.note(filesystemOf(mailbox.partition, role), message);
    }
    this.counts.messages += messages;
    this.counts.bytes += Math.round((mailbox.bytes * messages) / Math.max(mailbox.messages, messages, 1));
  }
}
