/**
 * Carries out a restore: directories, then files, then mailboxes in the order of the backup; last the attributes
 * of directories, and one sync of each filesystem before success is said.
 */
import { rmSync } from "node:fs";
import { type ByteString, fromText, joinPath, toFsPath, toText } from "../base/byte-string.ts";
import { readContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import type { FileEntry, MailboxEntry } from "../manifest/model.ts";
import { soundEntries } from "../manifest/sound-pages.ts";
import { parentOf } from "../source/view.ts";
import { AbsentNames } from "./absent-names.ts";
import { RestoreAccount } from "./account.ts";
import { RestoredDirectories } from "./directories.ts";
import { letGoOfDirectories } from "./held-directories.ts";
import { LeftOutIndex } from "./left-out-index.ts";
import { LostFindings } from "./lost-findings.ts";
import { MailboxMessages } from "./messages/mailbox-messages.ts";
import type { RestoreOptions, RestoreResult } from "./options.ts";
import { writeOwnFile } from "./own-file.ts";
import { Owners } from "./owners.ts";
import { journalPath, type PreparedRestore, requireSafe } from "./plan.ts";
import { isDirectory, mailboxFilePath } from "./require-sound.ts";
import { FileRestorer } from "./restore-files.ts";
import type { RestoreContext, RestoreUnderWay } from "./run-context.ts";
import { SelectedEntries } from "./selected-entries.ts";
import { syncFilesystems } from "./sync.ts";
import { textListOf } from "./text-list.ts";
import { type Existing, writeFile } from "./write-file.ts";

/** Mailboxes named in the runbook. */
const NAMES_SHOWN = 200;

export async function runRestore(prepared: PreparedRestore, context: RestoreContext): Promise<RestoreResult> {
  requireSafe(prepared);
  try {
    const underWay = begin(prepared, context);
    const messages = new MailboxMessages(underWay);
    try {
      return await new RestoreRun(underWay, messages).run();
    } finally {
      await messages.close();
    }
  } finally {
    letGoOfDirectories();
  }
}

function begin(prepared: PreparedRestore, context: RestoreContext): RestoreUnderWay {
  const { root, options, plan } = prepared;
  const expected = { items: plan.messages + plan.files, bytes: plan.bytes };
  const account = new RestoreAccount("restored", expected, context);
  const owners = new Owners(root, options.owner, (name) => {
    const message = `${name} is not known on this machine: the number recorded is used`;
    account.findings.add("owner-unknown", "warning", "/" as ByteString, message);
  });
  return { prepared, context, account, owners, existing: whatBecomesOfExisting(options, plan.resumes) };
}

function whatBecomesOfExisting({ overwrite }: RestoreOptions, resumes: boolean): Existing {
  if (overwrite === "never") return "keep";
  return overwrite === "if-different" || resumes ? "replace" : "refuse";
}

class RestoreRun {
  readonly #underWay: RestoreUnderWay;
  readonly #entries: SelectedEntries;
  readonly #directories: RestoredDirectories;
  readonly #files: FileRestorer;
  readonly #indexes: LeftOutIndex;
  readonly #absentNames: AbsentNames;
  readonly #messages: MailboxMessages;
  /** Of mailboxes restored, as far as they are named. */
  readonly #names: string[] = [];

  constructor(underWay: RestoreUnderWay, messages: MailboxMessages) {
    const { account, context, owners, prepared } = underWay;
    const { root, options, selection, tree } = prepared;
    this.#underWay = underWay;
    this.#messages = messages;
    this.#files = new FileRestorer(underWay);
    this.#indexes = new LeftOutIndex(root, context.source, options);
    this.#absentNames = new AbsentNames(root, context.source, options);
    this.#directories = new RestoredDirectories(tree, (stat) => owners.attributes(stat), account.findings);
    this.#entries = new SelectedEntries(root, selection, context.source, (...lost) =>
      account.findings.addLost(...lost),
    );
  }

  async run(): Promise<RestoreResult> {
    const { account, context, prepared } = this.#underWay;
    const { links, options, root, selection, tree } = prepared;
    tree.ensureTarget();
    writeOwnFile(journalPath(options.target), `${root.backup}\n`);
    const roots = tree.roots.map(({ to, isFile }) => (isFile ? parentOf(to) : to));
    if (selection.everything) for (const to of roots) tree.ensureDirectory(to);
    const cutOut = await LostFindings.read(root, context.source);
    cutOut.name(undefined, selection, account.findings);
    for await (const file of this.#entries.files()) await this.#restoreFile(file);
    for await (const mailbox of this.#entries.mailboxes()) {
      cutOut.name(mailbox.name, selection, account.findings);
      await this.#restoreMailbox(mailbox);
    }
    await this.#messages.flush();
    account.noteForgottenLinks(links);
    this.#indexes.note(account.findings);
    const textListPath = await this.#writeTextList();
    await this.#finishDirectories();
    const runbook = this.#writeRunbook(textListPath);
    syncFilesystems([...roots, tree.target]);
    rmSync(toFsPath(journalPath(options.target)), { force: true });
    const blocks = context.workers?.objects.usage.bytes;
    return { backup: root.backup, ...account.summary, outcomes: account.outcomes, blocks, runbook };
  }

  async #restoreFile(entry: FileEntry): Promise<void> {
    const { account, context, prepared } = this.#underWay;
    context.signal?.throwIfAborted();
    const path = prepared.tree.locate(entry.path);
    if (isDirectory(entry.stat)) {
      this.#makeDirectory(path, entry);
      return;
    }
    if (entry.leftOut !== undefined) return;
    const reason = prepared.selection.neverRestored(entry.path);
    if (reason !== undefined) {
      account.findings.add("never-restored", "note", entry.path, reason);
      return;
    }
    prepared.tree.ensureDirectory(parentOf(path));
    await this.#files.restore(entry.path, path, entry, () => this.#absentNames.contentFor(entry));
  }

  async #restoreMailbox(mailbox: MailboxEntry): Promise<void> {
    const { account, prepared } = this.#underWay;
    const places = mailbox.directories.map(({ path }) => prepared.tree.locate(path));
    for (const [position, directory] of mailbox.directories.entries())
      this.#makeDirectory(places[position] as ByteString, directory);
    if (!prepared.selection.messagesOnly)
      await this.#messages.meanwhile(() => this.#restoreMailboxFiles(mailbox));
    await this.#messages.restore(mailbox, places, this.#entries.messages(mailbox));
    account.countMailbox();
    if (this.#names.length < NAMES_SHOWN) this.#names.push(toText(mailbox.name));
  }

  async #restoreMailboxFiles(mailbox: MailboxEntry): Promise<void> {
    for (const file of mailbox.files) {
      if (file.leftOut !== undefined) continue;
      const serverPath = mailboxFilePath(mailbox, file);
      const path = this.#underWay.prepared.tree.locate(serverPath);
      await this.#files.restore(serverPath, path, file, () => this.#indexes.contentFor(mailbox, file));
    }
  }

  #makeDirectory(real: ByteString, directory: Pick<FileEntry, "path" | "stat">): void {
    const { existing, prepared } = this.#underWay;
    this.#directories.make(real, directory, existing !== "keep" && !prepared.selection.messagesOnly);
  }

  /** Directories that had to be made on the way to a part come back as they were, where the backup knows them. */
  async #finishDirectories(): Promise<void> {
    const { context, prepared } = this.#underWay;
    if (this.#directories.hasUnknown) {
      const files = soundEntries(prepared.root.files, context.source, filePages, () => {});
      for await (const entry of files) if (isDirectory(entry.stat)) this.#directories.describe(entry);
    }
    this.#directories.finish();
  }

  /** @returns where it was put. */
  async #writeTextList(): Promise<string | undefined> {
    const { account, context, prepared } = this.#underWay;
    const { root, selection, tree } = prepared;
    const list = textListOf(root, selection);
    if (list === undefined) return undefined;
    const { name, content, mode, mtimeNs } = list;
    const path = joinPath(tree.realTarget, name);
    const attributes = { mode, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeNs };
    await account.guarded(path, () =>
      writeFile(path, () => readContent(content, context.source), attributes, "replace"),
    );
    return toText(joinPath(tree.target, name));
  }

  #writeRunbook(textListPath: string | undefined): RestoreResult["runbook"] {
    const { account, context, prepared } = this.#underWay;
    if (context.runbook === undefined) return undefined;
    const text = context.runbook({
      mailboxes: this.#names,
      findings: account.findings.shown,
      listIsWithout: this.#absentNames.areTakenOut,
      ...(textListPath === undefined ? {} : { textListPath }),
    });
    const name = fromText(`cyrvault-runbook-${prepared.root.backup}.txt`);
    const path = joinPath(prepared.tree.target, name);
    writeOwnFile(path, text);
    return { path: toText(path), text };
  }
}
