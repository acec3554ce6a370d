/** What earlier backups know of a mailbox: by its name, or by its uniqueid if it was renamed. */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { FileStat, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { LeafPage } from "../manifest/page-tree.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree, readPages, readPageTree } from "../manifest/read-page-tree.ts";
import { lstatSource } from "../source/read-file.ts";
import type { MailboxPlace } from "./mailbox-places.ts";
import type { MailboxTasks, PlacedTask } from "./mailbox-tasks.ts";
import { PageCursor } from "./page-cursor.ts";
import type { Parents } from "./parents.ts";
import { whyChanged } from "./unchanged.ts";

export interface HistoryRules {
  /** Of the selection rules and the manifest encoder. */
  readonly rulesOf: (task: PlacedTask) => number;
  readonly scrub: (name: ByteString) => boolean;
}

/** Ask in the order of names: the parents' entries are read along. */
export class MailboxHistory {
  readonly #source: PageSource;
  readonly #tasks: MailboxTasks;
  readonly #parents: readonly ManifestRoot[];
  readonly #cursors: readonly PageCursor<MailboxEntry>[];
  readonly #backup: ManifestRoot | undefined;
  /** uniqueid to the name that a mailbox had in the parent and has no longer. Made when it is first asked for. */
  #gone: ReadonlyMap<ByteString, ByteString> | undefined;
  #stillThere = 0;
  /** Names that mailboxes of today had in the parent. */
  readonly #earlierNames = new Set<ByteString>();

  /**
   * @param tasks - all mailboxes of today.
   * @param onPage - told of each page of earlier entries when it is read.
   */
  constructor(
    source: PageSource,
    parents: Parents,
    tasks: MailboxTasks,
    onPage?: (page: LeafPage<MailboxEntry>) => void,
  ) {
    this.#source = source;
    this.#tasks = tasks;
    this.#backup = parents.backup;
    this.#parents = [...parents.checkpoints, parents.backup].filter((root) => root !== undefined);
    this.#cursors = this.#parents.map(
      (root) => new PageCursor(readPages(root.mailboxes, source, mailboxPages), mailboxPages.key, onPage),
    );
  }

  /** Mailboxes of the parent that are there no longer. Known when all of today's have been asked for, as what follows. */
  get goneCount(): number {
    return (this.#backup?.mailboxes.entries ?? 0) - this.#stillThere - this.renamedCount;
  }

  /** Mailboxes of the parent that have another name now, by their uniqueid. */
  get renamedCount(): number {
    return this.#earlierNames.size;
  }

  /** Newest first. */
  async before(task: PlacedTask): Promise<MailboxEntry[]> {
    const found: MailboxEntry[] = [];
    let stands = false;
    for (let i = 0; i < this.#cursors.length; i++) {
      const entry = await this.#cursors[i]?.take(task.name);
      if (entry === undefined || isOther(entry, task)) continue;
      if (this.#parents[i] === this.#backup) stands = true;
      found.push(entry);
    }
    if (stands) this.#stillThere++;
    if (stands || this.#backup === undefined) return found;
    const uniqueid = task.list?.uniqueid ?? uniqueidOfPlace(task.place);
    if (uniqueid === undefined) return found;
    this.#gone ??= await this.#findGone(this.#backup);
    const oldName = this.#gone.get(uniqueid);
    if (oldName === undefined) return found;
    this.#earlierNames.add(oldName);
    if (found.length > 0) return found;
    const renamed = await findInPageTree(this.#backup.mailboxes, oldName, this.#source, mailboxPages);
    return renamed === undefined ? [] : [renamed];
  }

  async close(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.close();
  }

  async #findGone(backup: ManifestRoot): Promise<ReadonlyMap<ByteString, ByteString>> {
    const gone = new Map<ByteString, ByteString>();
    for await (const entry of readPageTree(backup.mailboxes, this.#source, mailboxPages)) {
      const today = this.#tasks.at(this.#tasks.positionOf(entry.name) ?? -1);
      if (today !== undefined && !isOther(entry, today)) continue;
      // Its name is free, or another mailbox's.
      if (entry.uniqueid !== undefined) gone.set(entry.uniqueid, entry.name);
    }
    return gone;
  }
}

/** The unchanged rule, put to the files as they are now. */
export function whyMailboxChanged(
  task: PlacedTask,
  before: MailboxEntry,
  history: HistoryRules,
): string | undefined {
  const { directories } = task.place;
  return whyChanged(before, {
    uniqueid: task.list?.uniqueid,
    uidvalidity: task.list?.uidvalidity,
    rules: history.rulesOf(task),
    scrub: history.scrub(task.name),
    directories,
    get files(): (FileStat | undefined)[] {
      return before.files.map(({ directory, name, leftOut }) => {
        const realPath = directories[directory]?.realPath;
        if (realPath === undefined || leftOut !== undefined) return undefined;
        return lstatSource(joinPath(realPath, name))?.stat;
      });
    },
  });
}

/** A name that was given to another mailbox: deleted, and made anew. */
function isOther(entry: MailboxEntry, task: PlacedTask): boolean {
  const uniqueid = task.list?.uniqueid;
  return uniqueid !== undefined && entry.uniqueid !== undefined && uniqueid !== entry.uniqueid;
}

/** In the uuid layout the last directory of the path is the uniqueid. */
export function uniqueidOfPlace({ relative }: MailboxPlace): ByteString | undefined {
  return relative.startsWith("uuid/")
    ? (relative.slice(relative.lastIndexOf("/") + 1) as ByteString)
    : undefined;
}
