/** What an export would write: counted, and the hard links found, before the first byte goes out. */
import { contentSize } from "../manifest/content.ts";
import type { MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { filesystemOf, LinkTable } from "../restore/link-table.ts";
import { requireDumpsIfMeant, requireSomeMeant } from "../restore/nothing-meant.ts";
import type { RestoreOptions } from "../restore/options.ts";
import { findFiles, placesOf } from "../restore/places.ts";
import { messageDirectory, requireSoundFile, requireSoundMailbox } from "../restore/require-sound.ts";
import { SelectedEntries } from "../restore/selected-entries.ts";
import { RestoreSelection } from "../restore/selection.ts";
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
  const places = placesOf(root);
  const selection = new RestoreSelection(options, root, places);
  const tree = new ExportTree(options.mappings, await findFiles(places, root, source));
  const planning = new Planning(root, source, selection, tree);
  await planning.countMailboxes(options);
  await planning.countFiles(options);
  const { counts, links } = planning;
  return { counts, root, options, selection, tree, links };
}

class Planning {
  readonly counts = { mailboxes: 0, messages: 0, files: 0, bytes: 0 };
  readonly links = new LinkTable();
  readonly #root: ManifestRoot;
  readonly #selection: RestoreSelection;
  readonly #tree: ExportTree;
  readonly #lost = { files: 0, mailboxes: 0, messages: 0 };
  readonly #entries: SelectedEntries;

  constructor(root: ManifestRoot, source: PageSource, selection: RestoreSelection, tree: ExportTree) {
    this.#root = root;
    this.#selection = selection;
    this.#tree = tree;
    this.#entries = new SelectedEntries(root, selection, source, (what, { entries }) => {
      this.#lost[what] += entries;
    });
  }

  async countMailboxes(options: ExportOptions): Promise<void> {
    for await (const mailbox of this.#entries.mailboxes()) await this.#countMailbox(mailbox);
    requireSomeMeant(this.#root, options, this.counts, this.#lost, this.#selection.absent);
  }

  async countFiles(options: ExportOptions): Promise<void> {
    for await (const file of this.#entries.files()) {
      requireSoundFile(file, this.#tree);
      if (file.content === undefined) continue;
      this.counts.files++;
      this.counts.bytes += contentSize(file.content);
    }
    requireDumpsIfMeant(this.#root, options, this.counts, this.#lost);
  }

  async #countMailbox(mailbox: MailboxEntry): Promise<void> {
    requireSoundMailbox(mailbox, this.#tree);
    this.counts.mailboxes++;
    if (!this.#selection.messagesOnly)
      for (const { content } of mailbox.files) {
        if (content === undefined) continue;
        this.counts.files++;
        this.counts.bytes += contentSize(content);
      }
    let messages = 0;
    for await (const message of this.#entries.messages(mailbox)) {
      const { role } = messageDirectory(mailbox, message);
      messages++;
      this.links.note(filesystemOf(mailbox.partition, role), message);
    }
    this.counts.messages += messages;
    this.counts.bytes += Math.round((mailbox.bytes * messages) / Math.max(mailbox.messages, messages, 1));
  }
}
