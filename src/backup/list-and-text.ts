/** The mailbox list of a run: its entries, and its text in the store. */
import { fromText, pathKey } from "../base/byte-string.ts";
import { storeContent } from "../manifest/content.ts";
import { filePages } from "../manifest/file-page.ts";
import type { Content, FileStat } from "../manifest/model.ts";
import type { PageSink, PageSource } from "../manifest/pages-io.ts";
import { findInPageTree } from "../manifest/read-page-tree.ts";
import type { SourceHolder } from "../source/held.ts";
import { sameStat } from "../source/read-file.ts";
import type { BoundServer } from "./bind-server.ts";
import type { FindingSink } from "./finding-sink.ts";
import {
  type MailboxList,
  openMailboxList,
  readMailboxListFile,
  TEXT_LIST_VERSION,
} from "./read-mailbox-list.ts";

export interface ListAndText {
  readonly list: Pick<MailboxList, "path" | "style" | "listed"> | undefined;
  readonly text: Content | undefined;
}

interface ListContext {
  readonly source: PageSource;
  readonly sink: PageSink;
  readonly holder: Pick<SourceHolder, "open"> | undefined;
  readonly isRacy: (stat: FileStat) => boolean;
}

/** The bytes of the list, a hundred million on a large server, are let go before anything else is looked at. */
export async function readListAndText(
  { view, server, parents }: BoundServer,
  findings: FindingSink,
  { source, sink, holder, isRacy }: ListContext,
): Promise<ListAndText> {
  const listPath = server.layout.databases.mailboxes.path ?? fromText("mailboxes.db");
  const file = await readMailboxListFile(view, listPath, holder);
  const opened = openMailboxList(file, listPath, server.configPath, findings);
  if (opened === undefined) return { list: undefined, text: undefined };
  const { path, style, listed } = opened;
  const text =
    (await textOfParent(opened, parents, source, isRacy)) ??
    (await storeContent(
      opened.text(() => true),
      sink,
    ));
  opened.release();
  return { list: { path, style, listed }, text };
}

/** The parent's text, where the list is the same file as then. */
async function textOfParent(
  { file, style }: MailboxList,
  { backup, checkpoints }: BoundServer["parents"],
  source: PageSource,
  isRacy: ListContext["isRacy"],
): Promise<Content | undefined> {
  if (
    backup?.mailboxList === undefined ||
    checkpoints.length > 0 ||
    style === undefined ||
    backup.cyrus.layout["mailboxListText"] !== TEXT_LIST_VERSION
  )
    return undefined;
  const then = await findInPageTree(backup.files, pathKey(file.path), source, filePages);
  const isSame =
    then?.content !== undefined && !then.racy && sameStat(then.stat, file.stat) && !isRacy(file.stat);
  return isSame ? backup.mailboxList : undefined;
}
