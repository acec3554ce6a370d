/** The small files of one mailbox that has changed: kept, and its header and index understood and compared. */
import { crc32 } from "node:zlib";
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { type MailboxHeader, parseMailboxHeader } from "../cyrus/mailbox-header.ts";
import type { FindingCode, Severity } from "../manifest/finding.ts";
import type { MessageFilter } from "../manifest/message-filter.ts";
import type { FileStat, MailboxEntry, MailboxFile } from "../manifest/model.ts";
import type { HeldMailbox } from "../source/held.ts";
import type { Listing } from "../source/list-directory.ts";
import type { FileCapture } from "./capture-file.ts";
import { type IndexColumns, readIndexColumns } from "./index-columns.ts";
import { uniqueidOfPlace } from "./mailbox-history.ts";
import type { PlaceDirectory } from "./mailbox-places.ts";
import type { PlacedTask } from "./mailbox-tasks.ts";
import type { Keep } from "./survey.ts";
import { tornPieces } from "./torn-mailbox.ts";

const STRETCH_BYTES = 1024 * 1024;

export interface DirectoryNow extends PlaceDirectory {
  /** Its position in the parent's entry, -1 when it is not there. */
  readonly before: number;
  /** undefined: it is as the parent's entry has it. */
  readonly listing: Listing | undefined;
}

export interface KnownMailbox {
  readonly files: readonly MailboxFile[];
  readonly header: MailboxHeader | undefined;
  readonly columns: IndexColumns | undefined;
  /** Header, records, and the checksums over both fit together: of Cyrus 2.4 and later. */
  readonly isProven: boolean;
}

export interface MailboxFilesInput {
  readonly task: PlacedTask;
  readonly before: MailboxEntry | undefined;
  readonly directories: readonly DirectoryNow[];
  readonly held: HeldMailbox;
  readonly files: FileCapture;
  readonly isRacy: (stat: FileStat) => boolean;
  readonly keepFile: (name: ByteString) => Keep;
  readonly leavesOut: MessageFilter | undefined;
  readonly find: (code: FindingCode, severity: Severity, path: ByteString, message: string) => void;
  /** A file could not be read: there is a finding already. */
  readonly onUnread: () => void;
}

export class MailboxFiles {
  readonly #input: MailboxFilesInput;
  #headerBytes: Buffer | undefined;

  constructor(input: MailboxFilesInput) {
    this.#input = input;
  }

  async read(): Promise<KnownMailbox> {
    const files = await this.#captureFiles();
    const header = await this.#readHeader(files);
    const columns = await this.#readIndex(files, header);
    this.#compareAll({ files, header, columns });
    return { files, header, columns, isProven: columns !== undefined && this.#isProven(columns) };
  }

  async #captureFiles(): Promise<MailboxFile[]> {
    const { task, held } = this.#input;
    const captured: MailboxFile[] = [];
    for (const [directory, { path, realPath, before, listing }] of this.#input.directories.entries()) {
      const known = this.#input.before?.files.filter((file) => file.directory === before) ?? [];
      const listed = listing?.files ?? known.map((file) => file.name);
      const names = new Set([...listed, ...held.moreNames(realPath)]);
      for (const name of [...names].sort()) {
        const found = held.stat(joinPath(realPath, name));
        // A symbolic link belongs to the files of the walk, wherever it lies.
        if (found?.type !== "file") continue;
        const then = known.find((file) => file.name === name);
        const keep = this.#input.keepFile(name);
        const { stat } = found;
        const common = { directory, name, stat, fileClass: keep.fileClass, racy: this.#input.isRacy(stat) };
        if (keep.leftOut !== undefined) captured.push({ ...common, leftOut: keep.leftOut });
        else {
          const file = await this.#input.files.capture({
            path: joinPath(path, name),
            realPath: joinPath(realPath, name),
            stat,
            before: then,
            mailbox: task.name,
            open: held.open,
          });
          if (file.content === undefined) this.#input.onUnread();
          captured.push({
            ...common,
            stat: file.stat,
            // It may have changed between the look and the reading.
            racy: common.racy || this.#input.isRacy(file.stat),
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
      this.#input.find(
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
      this.#input.find("header-damaged", "error", this.#pathOf("cyrus.header"), error.message);
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
      this.#input.find(
        "index-missing",
        "error",
        path,
        "the mailbox has no cyrus.index: flags, dates and UIDs are lost",
      );
      return undefined;
    }
    if (file.content === undefined) return undefined;
    const columns = await readIndexColumns(
      this.#stretchesAtSource(file),
      header?.flagNames ?? [],
      this.#input.leavesOut,
    );
    if (columns instanceof CyrvaultError) {
      this.#input.find("index-damaged", "error", path, columns.message);
      return undefined;
    }
    if (columns.missingRecords > 0) {
      this.#input.find(
        "index-damaged",
        "error",
        path,
        `the index is too short: ${columns.missingRecords} of ${columns.header.recordCount} records are cut off`,
      );
    }
    if (columns.damaged > 0) {
      this.#input.find(
        "index-record-damaged",
        "error",
        path,
        `${columns.damaged} records fail their checksum`,
      );
    }
    if (!columns.ordered)
      this.#input.find("index-damaged", "error", path, "the records are not in the order of UIDs");
    if (columns.beyondBytes > 0) {
      this.#input.find(
        "index-uncommitted-records",
        "note",
        path,
        `${columns.beyondBytes} bytes after the committed records: an append that was never committed`,
      );
    }
    if (columns.withoutGuid > 0 && columns.header.version >= 10) {
      this.#input.find(
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
        this.#input.find(
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
      this.#input.find(
        "sync-crc-mismatch",
        "warning",
        this.#pathOf("cyrus.index"),
        "the mailbox's checksum over all records is not the one that Cyrus keeps",
      );
    }
  }

  /** What `parseIndexHeader` has checked is not asked again: the CRC of the index's own header. */
  #isProven({ header, damaged, missingRecords, ordered, syncCrc }: IndexColumns): boolean {
    const { headerFileCrc, syncCrcBasic } = header;
    return (
      this.#headerBytes !== undefined &&
      headerFileCrc === crc32(this.#headerBytes) &&
      damaged === 0 &&
      missingRecords === 0 &&
      ordered &&
      syncCrc !== undefined &&
      syncCrc === syncCrcBasic
    );
  }

  #compareAll({ files, header, columns }: Pick<KnownMailbox, "files" | "header" | "columns">): void {
    const cache = files.find(
      ({ name, directory }) =>
        name === "cyrus.cache" && this.#input.directories[directory]?.role !== "archive",
    );
    const torn = tornPieces({
      listed: this.#input.task.list,
      header,
      // Elsewhere the path is the name, and the header keeps an old one (observed on 3.6.1).
      isNamedByHeader: uniqueidOfPlace(this.#input.task.place) !== undefined,
      indexGeneration: columns?.header.generation,
      cacheGeneration: cache?.content === undefined ? undefined : this.#generationOf(cache),
    });
    for (const { code, severity, file, message } of torn)
      this.#input.find(code, severity, this.#pathOf(file), message);
  }

  #generationOf(cache: MailboxFile): number | undefined {
    const directory = this.#input.directories[cache.directory] as DirectoryNow;
    const source = this.#input.held.open(joinPath(directory.realPath, cache.name));
    try {
      const bytes = source?.read(0, 4);
      return bytes?.length === 4 ? bytes.readUInt32BE(0) : undefined;
    } finally {
      source?.close();
    }
  }

  #bytesAtSource(file: MailboxFile): Buffer {
    return Buffer.concat([...this.#stretchesAtSource(file)]);
  }

  *#stretchesAtSource(file: MailboxFile): Generator<Buffer> {
    const directory = this.#input.directories[file.directory] as DirectoryNow;
    const source = this.#input.held.open(joinPath(directory.realPath, file.name));
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
    const holder = this.#input.directories.find(({ listing }) => listing?.files.includes(name as ByteString));
    const usual = this.#input.directories.find(({ role }) => role === "meta") ?? this.#input.directories[0];
    return joinPath((holder ?? usual)?.path as ByteString, name as ByteString);
  }
}
