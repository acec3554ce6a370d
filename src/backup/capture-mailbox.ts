/** One mailbox that has changed: its small files, its index understood and checked, its messages read or taken over. */
import { createHash } from "node:crypto";
import { type ByteString, fromText, joinPath } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { contentEquals, readContent } from "../manifest/content.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";
import type { MessageFilter } from "../manifest/message-filter.ts";
import { messagePages } from "../manifest/message-page.ts";
import type {
  Content,
  FileStat,
  MailboxDirectory,
  MailboxEntry,
  MailboxFile,
  MessageEntry,
  PageTree,
} from "../manifest/model.ts";
import { EMPTY_TREE, PageTreeWriter } from "../manifest/page-tree.ts";
import type { PageSink, PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { type HeldMailbox, type MailboxToHold, NOTHING_HELD, type SourceHolder } from "../source/held.ts";
import { EMPTY_LISTING, type Listing, listDirectory } from "../source/list-directory.ts";
import { lstatSource, sameStat } from "../source/read-file.ts";
import type { ObjectId } from "../store/object.ts";
import type { FileCapture } from "./capture-file.ts";
import { MessageCapture } from "./capture-messages.ts";
import { Cursor } from "./cursor.ts";
import type { FindingSink } from "./finding-sink.ts";
import { type IndexColumns, readIndexColumns } from "./index-columns.ts";
import { type DirectoryNow, type KnownMailbox, MailboxFiles } from "./mailbox-files.ts";
import { uniqueidOfPlace } from "./mailbox-history.ts";
import type { PlaceDirectory } from "./mailbox-places.ts";
import type { PlacedTask } from "./mailbox-tasks.ts";
import { type DirectoryContent, planMessages } from "./message-plan.ts";
import type { MessagePipeline } from "./pipeline/pipeline.ts";
import { leftOutText, notReachedText, untilLate, withoutLeftOut } from "./restrict-messages.ts";
import type { Keep } from "./survey.ts";

export interface MailboxCaptureContext {
  readonly sink: PageSink;
  readonly source: PageSource & { stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array> };
  readonly files: FileCapture;
  readonly pipeline: MessagePipeline;
  readonly findings: FindingSink;
  readonly isRacy: (stat: FileStat) => boolean;
  readonly keepFile: (name: ByteString) => Keep;
  /** Whether no message of a mailbox is kept; `keepOfExcluded` then says which files are. */
  readonly excludes: (task: PlacedTask) => boolean;
  readonly keepOfExcluded: (name: ByteString) => Keep;
  /** Which messages are left out; undefined: none. */
  readonly leavesOut: MessageFilter | undefined;
  readonly rulesOf: (task: PlacedTask) => number;
  readonly scrub: (name: ByteString) => boolean;
  /** Called now and then while messages are captured: a checkpoint may be made meanwhile. */
  readonly breathe: () => Promise<void>;
  /** undefined: the tree holds still. */
  readonly holder?: SourceHolder | undefined;
  /** No further message is to be read. */
  readonly isLate: () => boolean;
  /** Of a tree in use: what does not prove to be of one moment is looked at again, and so is what anything is said about. */
  readonly mustProve?: boolean;
}

/** One mailbox, one capture. */
export class MailboxCapture {
  readonly #context: MailboxCaptureContext;
  readonly #task: PlacedTask;
  readonly #before: MailboxEntry | undefined;
  readonly #directories: readonly DirectoryNow[];
  #known: KnownMailbox | undefined;
  #writer: PageTreeWriter<MessageEntry, number> | undefined;
  #bytes = 0;
  #openFindings = 0;

  constructor(context: MailboxCaptureContext, task: PlacedTask, before: MailboxEntry | undefined) {
    this.#context = context;
    this.#task = task;
    this.#before = before;
    this.#directories = task.place.directories.map((directory) => this.#lookAt(directory));
  }

  async run(): Promise<MailboxEntry> {
    const held = await (this.#context.holder ?? NOTHING_HELD).enter(this.#toHold());
    try {
      if (held.problem !== undefined)
        this.#find("file-changed", "error", this.#pathOfMailbox(), held.problem);
      const { files, isRacy, leavesOut } = this.#context;
      const isExcluded = this.#context.excludes(this.#task);
      this.#known = await new MailboxFiles({
        task: this.#task,
        before: this.#before,
        directories: this.#directories,
        held,
        files,
        isRacy,
        keepFile: isExcluded ? this.#context.keepOfExcluded : this.#context.keepFile,
        leavesOut,
        find: (...finding) => this.#find(...finding),
        onUnread: () => {
          this.#openFindings++;
        },
      }).read();
      const messages = isExcluded
        ? { tree: EMPTY_TREE, bytes: 0 }
        : await this.#captureMessages(this.#known, held);
      if (held.isFrozen) this.#requireSteady(this.#known.files);
      return this.#entry(this.#known, messages);
    } finally {
      held.release(this.#openFindings === 0);
    }
  }

  /**
   * The entry as far as the messages have come, undefined while there are none. It says that it must be looked
   * at again, whatever its stats say.
   */
  async partial(): Promise<MailboxEntry | undefined> {
    if (this.#known === undefined || this.#writer === undefined) return undefined;
    const tree = await this.#writer.snapshot();
    return { ...this.#entry(this.#known, { tree, bytes: this.#bytes }), racy: true };
  }

  #entry(
    { files, header, columns, isProven }: KnownMailbox,
    messages: { tree: PageTree; bytes: number },
  ): MailboxEntry {
    const { name, list, place } = this.#task;
    const directories = this.#directories.map(
      ({ role, path, stat }): MailboxDirectory => ({ role, path, stat }),
    );
    return {
      name,
      uniqueid: list?.uniqueid ?? header?.uniqueId,
      partition: place.partition,
      mailboxType: list?.mailboxType ?? header?.mailboxType ?? fromText("e"),
      acl: list?.acl ?? header?.acl ?? fromText(""),
      quotaRoot: header?.quotaRoot,
      listed: list !== undefined,
      uidvalidity: columns?.header.uidValidity ?? list?.uidvalidity ?? 0,
      lastUid: columns?.header.lastUid ?? 0,
      highestModseq: columns?.header.highestModseq ?? 0n,
      generation: columns?.header.generation ?? 0,
      indexVersion: columns?.header.version ?? 0,
      messages: messages.tree.entries,
      bytes: messages.bytes,
      directories,
      files,
      messagePages: messages.tree,
      openFindings: this.#openFindings,
      racy:
        (this.#context.mustProve === true && !isProven) ||
        directories.some(({ stat }) => this.#context.isRacy(stat)) ||
        files.some(({ racy }) => racy),
      rules: this.#context.rulesOf(this.#task),
    };
  }

  async #captureMessages(
    { files, header, columns }: KnownMailbox,
    held: HeldMailbox,
  ): Promise<{ tree: PageTree; bytes: number }> {
    const indexContent = files.find(({ name }) => name === "cyrus.index")?.content;
    const before = this.#before;
    const uniqueid = this.#task.list?.uniqueid ?? header?.uniqueId;
    const sameMailbox =
      before !== undefined &&
      before.uniqueid === uniqueid &&
      columns !== undefined &&
      before.uidvalidity === columns.header.uidValidity;
    const beforeColumns = sameMailbox ? await this.#columnsBefore(columns, indexContent) : undefined;
    const contents: DirectoryContent[] = [];
    for (const directory of this.#directories) {
      const { role, before: position, stat } = directory;
      const then = before?.directories[position]?.stat;
      const otherwise = then !== undefined && !sameAttributes(then, stat);
      // What was not listed is known from the parent's entries, if they are of this mailbox.
      const listing = directory.listing ?? (sameMailbox ? undefined : this.#list(directory));
      contents.push({ role, before: position, uids: listing?.uids, otherwise });
    }
    const decisions = planMessages({
      directories: contents,
      columns,
      beforeColumns,
      beforeEntries:
        before === undefined || !sameMailbox
          ? Cursor.empty<MessageEntry>()
          : new Cursor(readPageTree(before.messagePages, this.#context.source, messagePages), (entry) =>
              uidKey(entry.uid),
            ),
      isFrozen: held.isFrozen,
      mayReuse: sameMailbox && !this.#context.scrub(this.#task.name),
      hasFile: (directory, uid) => {
        const { role, realPath } = this.#directories[directory] as DirectoryNow;
        if (role === "meta") return false;
        const path = joinPath(realPath, `${uid}.` as ByteString);
        return held.asidePath(path) !== undefined || lstatSource(path)?.type === "file";
      },
      statOf: (directory, uid) => {
        const { realPath } = this.#directories[directory] as DirectoryNow;
        const found = lstatSource(joinPath(realPath, `${uid}.` as ByteString));
        return found?.type === "file" ? found.stat : undefined;
      },
    });
    const writer = new PageTreeWriter<MessageEntry, number>(messagePages, this.#context.sink);
    this.#writer = writer;
    const notReached = { messages: 0, kept: 0 };
    const capture = new MessageCapture({
      pipeline: this.#context.pipeline,
      directories: this.#directories,
      asidePath: (path) => held.asidePath(path),
      goodCopy: (id, guid) => this.#matchesGuid(id, guid),
      notReached,
      find: (code, severity, path, message, uid) => this.#find(code, severity, path, message, uid),
    });
    const leftOut = { files: 0, bytes: 0 };
    const wanted = untilLate(withoutLeftOut(decisions, leftOut), this.#context.isLate, notReached);
    for await (const { entry, size } of capture.entries(wanted)) {
      await writer.add(entry);
      this.#bytes += size;
      await this.#context.breathe();
    }
    if (leftOut.files > 0)
      this.#find("messages-left-out", "note", this.#pathOfMailbox(), leftOutText(leftOut));
    if (notReached.messages > 0) {
      this.#find("not-reached", "error", this.#pathOfMailbox(), notReachedText(notReached));
      // Whoever has accepted it wants no alarm, but the messages all the same.
      this.#openFindings++;
    }
    return { tree: await writer.finish(), bytes: this.#bytes };
  }

  /** The index as the parent backup holds it; where it is the same file, the same columns. */
  async #columnsBefore(now: IndexColumns, indexNow: Content | undefined): Promise<IndexColumns | undefined> {
    const then = this.#before?.files.find(({ name }) => name === "cyrus.index")?.content;
    if (then === undefined) return undefined;
    if (indexNow !== undefined && contentEquals(indexNow, then)) return now;
    const columns = await readIndexColumns(readContent(then, this.#context.source), []);
    return columns instanceof CyrvaultError ? undefined : columns;
  }

  /** Whether an object of the store is the message that a GUID names: SHA-1 over all of it. */
  async #matchesGuid(id: ObjectId, guid: Uint8Array): Promise<boolean> {
    try {
      const hash = createHash("sha1");
      for await (const bytes of this.#context.source.stream("message", id)) hash.update(bytes);
      return equalBytes(hash.digest(), guid);
    } catch (error) {
      if (isCyrvaultError(error, "OBJECT_MISSING") || isCyrvaultError(error, "REPOSITORY_DAMAGED"))
        return false;
      // Who may only write cannot look: it was the message, if nothing was wrong with any of them when it was stored.
      if (isCyrvaultError(error, "KEY_WRITE_ONLY")) return this.#before?.openFindings === 0;
      throw error;
    }
  }

  /** A frozen view does not change; where it does, it was none, and the record says so. */
  #requireSteady(files: readonly MailboxFile[]): void {
    const places = this.#task.place.directories;
    const changed =
      places.some(({ realPath, stat }) => !isStill(realPath, stat)) ||
      files.some(
        (file) =>
          file.leftOut === undefined &&
          !isStill(joinPath(places[file.directory]?.realPath as ByteString, file.name), file.stat),
      );
    if (changed) {
      this.#find(
        "file-changed",
        "error",
        places[0]?.path as ByteString,
        "the mailbox changed while it was read: its files may be of different moments",
      );
    }
  }

  #lookAt(directory: PlaceDirectory): DirectoryNow {
    const before = this.#before?.directories.findIndex(({ path }) => path === directory.path) ?? -1;
    const then = this.#before?.directories[before];
    // What could not be read last time, or not yet, has no entry: only a listing tells that it is there.
    const isWhole = this.#before?.openFindings === 0 && !this.#before.racy;
    const asBefore =
      !directory.listed &&
      isWhole &&
      then !== undefined &&
      sameStat(then.stat, directory.stat) &&
      // On a live server it may have changed since the survey came by.
      (this.#context.holder === undefined || isStill(directory.realPath, then.stat));
    return { ...directory, before, listing: asBefore ? undefined : this.#list(directory) };
  }

  #pathOfMailbox(): ByteString {
    return this.#directories[0]?.path ?? this.#task.name;
  }

  #toHold(): MailboxToHold {
    const { name, place } = this.#task;
    return {
      name,
      uuid: uniqueidOfPlace(place),
      directories: this.#directories.map(({ realPath, role, before, listing }) => ({
        path: realPath,
        holdsMessages: role !== "meta",
        names: (
          listing?.files ??
          this.#before?.files.flatMap((file) => (file.directory === before ? file.name : [])) ??
          []
        ).filter((file) => this.#context.keepFile(file).leftOut === undefined),
      })),
    };
  }

  #list({ path, realPath, stat }: PlaceDirectory): Listing {
    try {
      const listing = listDirectory(realPath, "collect", stat.size);
      if (listing !== undefined) return listing;
      // On a live server it may have got another name; what was held of it stands.
      if (this.#context.holder !== undefined) return EMPTY_LISTING;
      this.#find("file-vanished", "error", path, "the mailbox's directory vanished while it was read");
    } catch (error) {
      if (!isCyrvaultError(error, "IO")) throw error;
      this.#find("file-unreadable", "error", path, error.message);
    }
    return EMPTY_LISTING;
  }

  #find(code: FindingCode, severity: Severity, path: ByteString, message: string, uid?: number): void {
    const { accepted } = this.#context.findings.add(code, severity, path, message, {
      mailbox: this.#task.name,
      ...(uid === undefined ? {} : { uid }),
    });
    if ((severity !== "note" || this.#context.mustProve === true) && !accepted) this.#openFindings++;
  }
}

function sameAttributes(a: FileStat, b: FileStat): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.inode === b.inode;
}

function isStill(realPath: ByteString | undefined, stat: FileStat): boolean {
  const now = realPath === undefined ? undefined : lstatSource(realPath);
  return now !== undefined && sameStat(now.stat, stat);
}

/** Cursors compare strings: numbers of one width. */
export function uidKey(uid: number): ByteString {
  return uid.toString(16).padStart(8, "0") as ByteString;
}
