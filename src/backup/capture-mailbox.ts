/** One mailbox that has changed: its small files, its index understood and checked, its messages read or taken over. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { type ByteString, fromText, joinPath, toText } from "../base/byte-string.ts";
import { equalBytes } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type MailboxHeader, parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import { contentEquals, readContent } from "../manifest/content.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";
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
import { PageTreeWriter } from "../manifest/page-tree.ts";
import type { PageSink, PageSource } from "../manifest/pages-io.ts";
import { readPageTree } from "../manifest/read-page-tree.ts";
import { EMPTY_LISTING, type Listing, listDirectory } from "../source/list-directory.ts";
import { lstatSource, SourceFile, sameStat } from "../source/read-file.ts";
import type { ObjectId } from "../store/object.ts";
import type { FileCapture } from "./capture-file.ts";
import { MessageCapture } from "./capture-messages.ts";
import { Cursor } from "./cursor.ts";
import type { FindingSink } from "./finding-sink.ts";
import { type IndexColumns, readIndexColumns } from "./index-columns.ts";
import type { PlaceDirectory } from "./mailbox-places.ts";
import type { PlacedTask } from "./mailbox-tasks.ts";
import { type DirectoryContent, planMessages } from "./message-plan.ts";
import type { MessagePipeline } from "./pipeline/pipeline.ts";
import { notReachedText, untilLate } from "./restrict-messages.ts";
import type { Keep } from "./survey.ts";

export interface MailboxCaptureContext {
  readonly sink: PageSink;
  readonly source: PageSource & { stream(kind: "message", id: ObjectId): AsyncIterable<Uint8Array> };
  readonly files: FileCapture;
  readonly pipeline: MessagePipeline;
  readonly findings: FindingSink;
  readonly isRacy: (stat: FileStat) => boolean;
  readonly keepFile: (name: ByteString) => Keep;
  readonly rules: number;
  readonly scrub: (name: ByteString) => boolean;
  /** Called now and then while messages are captured: a checkpoint may be made meanwhile. */
  readonly breathe: () => Promise<void>;
  /** No further message is to be read. */
  readonly isLate: () => boolean;
}

const STRETCH_BYTES = 1024 * 1024;

interface DirectoryNow extends PlaceDirectory {
  /** Its position in the parent's entry, -1 when it is not there. */
  readonly before: number;
  /** undefined: it is as the parent's entry has it. */
  readonly listing: Listing | undefined;
}

interface Known {
  readonly files: readonly MailboxFile[];
  readonly header: MailboxHeader | undefined;
  readonly columns: IndexColumns | undefined;
}

/** One mailbox, one capture. */
export class MailboxCapture {
  readonly #context: MailboxCaptureContext;
  readonly #task: PlacedTask;
  readonly #before: MailboxEntry | undefined;
  readonly #directories: readonly DirectoryNow[];
  #known: Known | undefined;
  #writer: PageTreeWriter<MessageEntry, number> | undefined;
  #bytes = 0;
  #openFindings = 0;
  #headerBytes: Buffer | undefined;

  constructor(context: MailboxCaptureContext, task: PlacedTask, before: MailboxEntry | undefined) {
    this.#context = context;
    this.#task = task;
    this.#before = before;
    this.#directories = task.place.directories.map((directory) => this.#lookAt(directory));
  }

  async run(): Promise<MailboxEntry> {
    const files = await this.#captureFiles();
    const header = await this.#readHeader(files);
    const columns = await this.#readIndex(files, header);
    this.#checkIdentity(header);
    this.#known = { files, header, columns };
    const messages = await this.#captureMessages(this.#known);
    this.#requireSteady(files);
    return this.#entry(this.#known, messages);
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

  #entry({ files, header, columns }: Known, messages: { tree: PageTree; bytes: number }): MailboxEntry {
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
      racy: directories.some(({ stat }) => this.#context.isRacy(stat)) || files.some(({ racy }) => racy),
      rules: this.#context.rules,
    };
  }

  async #captureFiles(): Promise<MailboxFile[]> {
    const mailbox = this.#task.name;
    const captured: MailboxFile[] = [];
    for (const [directory, { path, realPath, before, listing }] of this.#directories.entries()) {
      const known = this.#before?.files.filter((file) => file.directory === before) ?? [];
      const names = listing?.files ?? known.map((file) => file.name);
      for (const name of names) {
        const found = lstatSource(joinPath(realPath, name));
        // A symbolic link belongs to the files of the walk, wherever it lies.
        if (found?.type !== "file") continue;
        const then = known.find((file) => file.name === name);
        const keep = this.#context.keepFile(name);
        const { stat } = found;
        const common = { directory, name, stat, fileClass: keep.fileClass, racy: this.#context.isRacy(stat) };
        if (keep.leftOut !== undefined) captured.push({ ...common, leftOut: keep.leftOut });
        else {
          const file = await this.#context.files.capture({
            path: joinPath(path, name),
            realPath: joinPath(realPath, name),
            stat,
            before: then,
            mailbox,
          });
          if (file.content === undefined) this.#openFindings++;
          captured.push({
            ...common,
            stat: file.stat,
            ...(file.content === undefined ? {} : { content: file.content }),
          });
        }
      }
    }
    return captured;
  }

  async #readHeader(files: readonly MailboxFile[]): Promise<MailboxHeader | undefined> {
    const file = files.find(({ name }) => name === "cyrus.header");
    if (file === undefined) {
      this.#find(
        "header-missing",
        "error",
        this.#pathOf("cyrus.header"),
        "the mailbox has no cyrus.header: its uniqueid, flag names and ACL copy are lost",
      );
      return undefined;
    }
    if (file.content === undefined) return undefined;
    try {
      this.#headerBytes = this.#bytesAtSource(file);
      return parseMailboxHeader(this.#headerBytes);
    } catch (error) {
      if (!isCyrvaultError(error, "CYRUS_BAD_FORMAT")) throw error;
      this.#find("header-damaged", "error", this.#pathOf("cyrus.header"), error.message);
      return undefined;
    }
  }

  async #readIndex(
    files: readonly MailboxFile[],
    header: MailboxHeader | undefined,
  ): Promise<IndexColumns | undefined> {
    const path = this.#pathOf("cyrus.index");
    const file = files.find(({ name }) => name === "cyrus.index");
    if (file === undefined) {
      this.#find(
        "index-missing",
        "error",
        path,
        "the mailbox has no cyrus.index: flags, dates and UIDs are lost",
      );
      return undefined;
    }
    if (file.content === undefined) return undefined;
    const columns = await readIndexColumns(this.#stretchesAtSource(file), header?.flagNames ?? []);
    if (columns instanceof CyrvaultError) {
      this.#find("index-damaged", "error", path, columns.message);
      return undefined;
    }
    if (columns.missingRecords > 0) {
      this.#find(
        "index-damaged",
        "error",
        path,
        `the index is too short: ${columns.missingRecords} of ${columns.header.recordCount} records are cut off`,
      );
    }
    if (columns.damaged > 0) {
      this.#find("index-record-damaged", "error", path, `${columns.damaged} records fail their checksum`);
    }
    if (!columns.ordered)
      this.#find("index-damaged", "error", path, "the records are not in the order of UIDs");
    if (columns.beyondBytes > 0) {
      this.#find(
        "index-uncommitted-records",
        "note",
        path,
        `${columns.beyondBytes} bytes after the committed records: an append that was never committed`,
      );
    }
    if (columns.withoutGuid > 0 && columns.header.version >= 10) {
      this.#find(
        "guid-absent",
        "note",
        path,
        `${columns.withoutGuid} records have no GUID: their messages can't be checked against the index`,
      );
    }
    this.#compareWithHeader(header, columns);
    return columns;
  }

  /** Header and index of one moment: Cyrus keeps the CRC of the one in the other (index header, offset 96). */
  #compareWithHeader(header: MailboxHeader | undefined, columns: IndexColumns): void {
    const { headerFileCrc, syncCrcBasic } = columns.header;
    let sameMoment = true;
    if (this.#headerBytes !== undefined && headerFileCrc !== undefined && headerFileCrc !== 0) {
      sameMoment = crc32(this.#headerBytes) === headerFileCrc;
      if (!sameMoment) {
        this.#find(
          "header-index-mismatch",
          "warning",
          this.#pathOf("cyrus.header"),
          "cyrus.header and cyrus.index are of different moments: names of flags may not fit",
        );
      }
    }
    // 0 can mean «not computed»; with damaged records or another header it could not come out right.
    if (
      header !== undefined &&
      sameMoment &&
      columns.damaged === 0 &&
      columns.missingRecords === 0 &&
      syncCrcBasic &&
      columns.syncCrc !== syncCrcBasic
    ) {
      this.#find(
        "sync-crc-mismatch",
        "warning",
        this.#pathOf("cyrus.index"),
        "the mailbox's checksum over all records is not the one that Cyrus keeps",
      );
    }
  }

  #checkIdentity(header: MailboxHeader | undefined): void {
    const listed = this.#task.list?.uniqueid;
    if (header?.uniqueId === undefined || listed === undefined || header.uniqueId === listed) return;
    this.#find(
      "uniqueid-duplicate",
      "warning",
      this.#pathOf("cyrus.header"),
      `its uniqueid is ${toText(header.uniqueId)}, the mailbox list says ${toText(listed)}`,
    );
  }

  async #captureMessages({ files, header, columns }: Known): Promise<{ tree: PageTree; bytes: number }> {
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
      mayReuse: sameMailbox && !this.#context.scrub(this.#task.name),
      hasFile: (directory, uid) => {
        const { role, realPath } = this.#directories[directory] as DirectoryNow;
        return role !== "meta" && lstatSource(joinPath(realPath, `${uid}.` as ByteString))?.type === "file";
      },
      statOf: (directory, uid) => {
        const { realPath } = this.#directories[directory] as DirectoryNow;
        const found = lstatSource(joinPath(realPath, `${uid}.` as ByteString));
        return found?.type === "file" ? found.stat : undefined;
      },
    });
    const writer = new PageTreeWriter<MessageEntry, number>(messagePages, this.#context.sink);
    this.#writer = writer;
    const capture = new MessageCapture({
      pipeline: this.#context.pipeline,
      directories: this.#directories,
      goodCopy: (id, guid) => this.#matchesGuid(id, guid),
      find: (code, severity, path, message, uid) => this.#find(code, severity, path, message, uid),
    });
    const notReached = { messages: 0, kept: 0 };
    const wanted = untilLate(decisions, this.#context.isLate, notReached);
    for await (const { entry, size } of capture.entries(wanted)) {
      await writer.add(entry);
      this.#bytes += size;
      await this.#context.breathe();
    }
    if (notReached.messages > 0) {
      const path = this.#directories[0]?.path ?? this.#task.name;
      this.#find("not-reached", "error", path, notReachedText(notReached));
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

  #bytesAtSource(file: MailboxFile): Buffer {
    return Buffer.concat([...this.#stretchesAtSource(file)]);
  }

  *#stretchesAtSource(file: MailboxFile): Generator<Buffer> {
    const directory = this.#directories[file.directory] as DirectoryNow;
    const source = SourceFile.open(joinPath(directory.realPath, file.name));
    if (source === undefined) return;
    try {
      for (let offset = 0; ; ) {
        // One byte more than is left tells the end. A MiB for each of many small files would keep V8 collecting.
        const wanted = Math.max(1, Math.min(STRETCH_BYTES, source.stat.size + 1 - offset));
        const bytes = source.read(offset, wanted);
        yield bytes;
        offset += bytes.length;
        if (bytes.length < wanted) return;
      }
    } finally {
      source.close();
    }
  }

  /** Where a file of the mailbox is, or would be: for findings. */
  #pathOf(name: string): ByteString {
    const holder = this.#directories.find(({ listing }) => listing?.files.includes(name as ByteString));
    const usual = this.#directories.find(({ role }) => role === "meta") ?? this.#directories[0];
    return joinPath((holder ?? usual)?.path as ByteString, name as ByteString);
  }

  #lookAt(directory: PlaceDirectory): DirectoryNow {
    const before = this.#before?.directories.findIndex(({ path }) => path === directory.path) ?? -1;
    const then = this.#before?.directories[before];
    // What could not be read last time, or not yet, has no entry: only a listing tells that it is there.
    const isWhole = this.#before?.openFindings === 0 && !this.#before.racy;
    const asBefore =
      !directory.listed && isWhole && then !== undefined && sameStat(then.stat, directory.stat);
    return { ...directory, before, listing: asBefore ? undefined : this.#list(directory) };
  }

  #list({ path, realPath }: PlaceDirectory): Listing {
    try {
      const listing = listDirectory(realPath, "collect");
      if (listing !== undefined) return listing;
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
    if (severity !== "note" && !accepted) this.#openFindings++;
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
