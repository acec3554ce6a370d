/**
 * One small file of the server (anything that is no message): taken over from the parent backup if its stat says
 * that it is the same, otherwise read in stretches, cut and stored.
 */
import { type ByteString, toText } from "../base/byte-string.ts";
import { CyrvaultError } from "../base/errors.ts";
import { listXattrs } from "../base/posix.ts";
import { chunkSmallFile } from "../chunker/small-file.ts";
import { storeContent } from "../manifest/content.ts";
import type { Content, FileStat } from "../manifest/model.ts";
import type { PageSink } from "../manifest/pages-io.ts";
import { type HeldFile, NOTHING_HELD, type SourceHolder } from "../source/held.ts";
import { sameStat } from "../source/read-file.ts";
import type { FindingSink } from "./finding-sink.ts";

export interface FileToCapture {
  /** As on the server. */
  readonly path: ByteString;
  readonly realPath: ByteString;
  readonly stat: FileStat;
  readonly before:
    | { readonly stat: FileStat; readonly content?: Content; readonly racy: boolean }
    | undefined;
  readonly mailbox?: ByteString;
  /** How it is opened, where that is not as the source's files are. */
  readonly open?: (path: ByteString) => HeldFile | undefined;
}

export interface CaptureCounts {
  bytesRead: number;
  filesRead: number;
}

export interface CapturedFile {
  /** As it was when the content was read: what belongs to the content. */
  readonly stat: FileStat;
  /** undefined where it could not be read: there is a finding then. */
  readonly content: Content | undefined;
}

const STRETCH_BYTES = 1024 * 1024;
/** Of a mailbox that has changed, the next run reads it again. */
const INDEX_NAME = "cyrus.index";
/** A file that keeps changing under our eyes is read so often, then taken as it is, with a finding. */
const ATTEMPTS = 3;

export class FileCapture {
  readonly counts: CaptureCounts = { bytesRead: 0, filesRead: 0 };
  readonly #sink: PageSink;
  readonly #findings: FindingSink;
  readonly #open: SourceHolder["open"];
  readonly #pace: ((bytes: number) => Promise<void>) | undefined;
  /** Failures that are none of the file's. */
  readonly #ofRepository = new Set<unknown>();

  /** @param pace - told of what was read; the next file is read when it is done. */
  constructor(
    sink: PageSink,
    findings: FindingSink,
    pace?: (bytes: number) => Promise<void>,
    holder: Pick<SourceHolder, "open"> = NOTHING_HELD,
  ) {
    this.#pace = pace;
    this.#open = (path) => holder.open(path);
    this.#sink = {
      put: async (...object) => {
        try {
          return await sink.put(...object);
        } catch (error) {
          this.#ofRepository.add(error);
          throw error;
        }
      },
    };
    this.#findings = findings;
  }

  /** @throws {CyrvaultError} as storing does; what is wrong with the file is a finding. */
  async capture(file: FileToCapture): Promise<CapturedFile> {
    const { before, stat, path } = file;
    if (before?.content !== undefined && !before.racy && sameStat(before.stat, stat)) {
      return { stat, content: before.content };
    }
    const about = file.mailbox === undefined ? {} : { mailbox: file.mailbox };
    try {
      for (let attempt = 1; ; attempt++) {
        const captured = await this.#read(file);
        if (captured === undefined) {
          this.#findings.add(
            "file-vanished",
            "warning",
            path,
            "the file vanished before it could be read",
            about,
          );
          return { stat, content: undefined };
        }
        if (captured.steady) {
          this.nameAttributes(file);
          return captured;
        }
        if (attempt === ATTEMPTS) {
          this.#findings.add("file-changed", "error", path, "the file changed while it was read", about);
          return captured;
        }
      }
    } catch (error) {
      if (this.#ofRepository.has(error)) throw error;
      if (!(error instanceof CyrvaultError) || (error.code !== "IO" && error.code !== "SOURCE_INVALID"))
        throw error;
      this.#findings.add("file-unreadable", "error", path, error.message, about);
      return { stat, content: undefined };
    }
  }

  async #read(file: FileToCapture): Promise<(CapturedFile & { readonly steady: boolean }) | undefined> {
    const source = await (file.open ?? this.#open)(file.realPath);
    if (source === undefined) return undefined;
    const readBefore = this.counts.bytesRead;
    // What Cyrus reads at every turn, and we again in a moment, stays.
    const isOurs = !file.path.endsWith("/cyrus.index") && source.isCached() === false;
    try {
      this.counts.filesRead++;
      const { stat } = source;
      const name = file.path.slice(file.path.lastIndexOf("/") + 1);
      const chunks = chunkSmallFile(name, stat.size, (offset, length) => {
        const bytes = source.read(offset, Math.min(length, STRETCH_BYTES));
        this.counts.bytesRead += bytes.length;
        return bytes;
      });
      const content = await storeContent(chunks, this.#sink, name === INDEX_NAME ? "mailbox" : undefined);
      const after = source.statAgain();
      const size = content.form === "inline" ? content.bytes.length : content.size;
      await this.#pace?.(this.counts.bytesRead - readBefore);
      return { stat, content, steady: sameStat(stat, after) && size === stat.size };
    } finally {
      if (isOurs) source.dropFromCache();
      source.close();
    }
  }

  /** Extended attributes and ACLs are not kept; whoever relies on them is told. */
  nameAttributes({ path, realPath, mailbox }: Pick<FileToCapture, "path" | "realPath" | "mailbox">): void {
    const names = (listXattrs(realPath) ?? []).filter((name) => !SET_BY_THE_SYSTEM.has(name));
    if (names.length === 0) return;
    const message = `extended attributes are not kept: ${names.map(toText).join(", ")}`;
    this.#findings.add(
      "attributes-not-kept",
      "note",
      path,
      message,
      mailbox === undefined ? {} : { mailbox },
    );
  }
}

/** Labels that a restored file gets from the system's policy, whether it was backed up or not. */
const SET_BY_THE_SYSTEM: ReadonlySet<string> = new Set(["security.selinux", "security.ima", "security.evm"]);
