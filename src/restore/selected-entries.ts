/** The files, mailboxes and messages of a backup that are asked for, as far as they can be read. */
import { filePages } from "../manifest/file-page.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import { messagePages } from "../manifest/message-page.ts";
import type { FileEntry, MailboxEntry, ManifestRoot, MessageEntry } from "../manifest/model.ts";
import type { PageKey } from "../manifest/page-codec.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { type LostPage, soundEntries } from "../manifest/sound-pages.ts";
import { messageDirectory } from "./require-sound.ts";
import type { RestoreSelection } from "./selection.ts";

export type EntryKind = "files" | "mailboxes" | "messages";

/** @param mailbox - of messages. */
export type OnLost = (what: EntryKind, lost: LostPage<PageKey>, mailbox?: MailboxEntry) => void;

export class SelectedEntries {
  readonly #root: ManifestRoot;
  readonly #selection: RestoreSelection;
  readonly #source: PageSource;
  readonly #onLost: OnLost;

  constructor(root: ManifestRoot, selection: RestoreSelection, source: PageSource, onLost: OnLost) {
    this.#root = root;
    this.#selection = selection;
    this.#source = source;
    this.#onLost = onLost;
  }

  /** Directories among them. To be asked for after the mailboxes have been looked at once: see the selection. */
  async *files(): AsyncGenerator<FileEntry> {
    if (this.#selection.messagesOnly) return;
    const files = soundEntries(this.#root.files, this.#source, filePages, (lost) =>
      this.#onLost("files", lost),
    );
    for await (const file of files) if (this.#selection.takesFile(file)) yield file;
  }

  async *mailboxes(): AsyncGenerator<MailboxEntry> {
    const mailboxes = soundEntries(this.#root.mailboxes, this.#source, mailboxPages, (lost) =>
      this.#onLost("mailboxes", lost),
    );
    for await (const mailbox of mailboxes) if (this.#selection.takesMailbox(mailbox)) yield mailbox;
  }

  /** @throws {CyrvaultError} `REPOSITORY_DAMAGED`: one of the mailbox's messages, asked for or not, can't be. */
  async *messages(mailbox: MailboxEntry): AsyncGenerator<MessageEntry> {
    const messages = soundEntries(mailbox.messagePages, this.#source, messagePages, (lost) =>
      this.#onLost("messages", lost, mailbox),
    );
    for await (const message of messages) {
      messageDirectory(mailbox, message);
      if (this.#selection.takesMessage(message.uid)) yield message;
    }
  }
}
