/** Turns what the survey meets into entries of the file tree, capturing contents on the way. */
import { type ByteString, pathKey, toText } from "../base/byte-string.ts";
import { contentSize } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import type { FileEntry, FileStat, LeftOut, PageTree } from "../manifest/model.ts";
import { PageTreeWriter } from "../manifest/page-tree.ts";
import type { PageSink } from "../manifest/pages-io.ts";
import { sameStat } from "../source/read-file.ts";
import type { FileCapture } from "./capture-file.ts";
import type { OwnerNames } from "./owners.ts";
import type { PageCursor } from "./page-cursor.ts";
import type { SurveyItem } from "./survey.ts";

export interface SurveyedFiles {
  readonly tree: PageTree;
  /** Regular files kept, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly leftOut: readonly LeftOut[];
}

export async function captureSurveyedFiles(
  items: AsyncIterable<SurveyItem>,
  context: {
    /** Read along by the survey: its pages are taken over where they are the same. */
    readonly parentFiles: PageCursor<FileEntry>;
    readonly sink: PageSink;
    readonly files: FileCapture;
    readonly owners: OwnerNames;
    readonly isRacy: (stat: FileStat) => boolean;
    readonly onItem: () => void;
    /** Ascending by key: files that the server does not have. They go before what it has at the same place. */
    readonly more?: readonly FileEntry[] | undefined;
  },
): Promise<SurveyedFiles> {
  const writer = new PageTreeWriter<FileEntry, FileEntry["path"]>(filePages, context.sink);
  context.parentFiles.onPage = (page) => writer.know(page);
  const leftOut = new LeftOutSummary();
  let files = 0;
  let bytes = 0;
  const more = [...(context.more ?? [])];
  const paths = new Set(more.map(({ path }) => path));
  const addMore = async (upTo: ByteString | undefined): Promise<void> => {
    while (more[0] !== undefined && (upTo === undefined || pathKey(more[0].path) < pathKey(upTo))) {
      const entry = more.shift() as FileEntry;
      context.owners.note(entry.stat.uid, entry.stat.gid);
      await writer.add(entry);
    }
  };
  for await (const item of items) {
    if (more.length > 0) await addMore(item.path);
    if (paths.has(item.path)) continue;
    const entry = sameAsBefore(item, context.isRacy) ?? (await toEntry(item, context));
    context.owners.note(entry.stat.uid, entry.stat.gid);
    if (entry.leftOut !== undefined)
      leftOut.add(entry.path, entry.leftOut, item.type === "file" ? entry.stat.size : 0);
    if (entry.content !== undefined) {
      files++;
      bytes += contentSize(entry.content);
    }
    await writer.add(entry);
    context.onItem();
  }
  await addMore(undefined);
  return { tree: await writer.finish(), files, bytes, leftOut: leftOut.entries() };
}

async function toEntry(
  item: SurveyItem,
  { files, isRacy }: { readonly files: FileCapture; readonly isRacy: (stat: FileStat) => boolean },
): Promise<FileEntry> {
  const { path, realPath, stat, fileClass, before } = item;
  const entry = { path, stat, fileClass, racy: item.unlisted === true || isRacy(stat) };
  if (item.leftOut !== undefined) return { ...entry, racy: false, leftOut: item.leftOut };
  if (item.target !== undefined) return { ...entry, target: item.target };
  if (item.type === "directory") {
    // A directory's default ACL says that the files in it have ACLs: a message's own are not looked for.
    if (before === undefined || !sameStat(before.stat, stat)) files.nameAttributes({ path, realPath });
    return item.mailboxDirectory === true ? { ...entry, mailboxDirectory: true } : entry;
  }
  const captured = await files.capture({ path, realPath, stat, before });
  return {
    ...entry,
    stat: captured.stat,
    // It may have changed between the look and the reading.
    racy: entry.racy || isRacy(captured.stat),
    ...(captured.content === undefined ? {} : { content: captured.content }),
  };
}

/** The parent's entry, where `toEntry` would make the same and look into nothing. */
function sameAsBefore(item: SurveyItem, isRacy: (stat: FileStat) => boolean): FileEntry | undefined {
  const { before, stat } = item;
  return before !== undefined &&
    !before.racy &&
    sameStat(before.stat, stat) &&
    before.stat.links === stat.links &&
    before.fileClass === item.fileClass &&
    before.leftOut === item.leftOut &&
    before.target === item.target &&
    before.mailboxDirectory === item.mailboxDirectory &&
    (item.type !== "file" || before.content !== undefined || before.leftOut !== undefined) &&
    (item.type === "file" || before.content === undefined) &&
    item.unlisted !== true &&
    !isRacy(stat)
    ? before
    : undefined;
}

/** One line for each reason and directory, so that a million search files are not a million lines. */
const LINES_MAX = 1000;

export class LeftOutSummary {
  readonly #lines = new Map<string, LeftOut>();

  add(path: ByteString, reason: string, bytes: number): void {
    const shown = toText(path);
    const key = this.#lines.size < LINES_MAX ? shown : "";
    const known = this.#lines.get(`${key}\0${reason}`);
    this.#lines.set(`${key}\0${reason}`, {
      path: key === "" ? "…" : shown,
      reason,
      files: (known?.files ?? 0) + 1,
      bytes: (known?.bytes ?? 0) + bytes,
    });
  }

  entries(): LeftOut[] {
    return [...this.#lines.values()];
  }
}
