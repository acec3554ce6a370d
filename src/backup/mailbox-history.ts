/** What earlier backups know of a mailbox: by its name, or by its uniqueid if it was renamed. */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { FileStat, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree, readPageTree } from "../manifest/read-page-tree.ts";
import { lstatSource } from "../source/read-file.ts";
import { Cursor } from "./cursor.ts";
import type { PlacedTask } from "./mailbox-join.ts";
import type { MailboxPlace } from "./mailbox-places.ts";
import type { Parents } from "./parents.ts";
import { whyChanged } from "./unchanged.ts";

export interface HistoryRules {
  /** Of the selection rules and the manifest encoder. */
  readonly rules: number;
  readonly scrub: (name: ByteString) => boolean;
}

/** Ask in the order of names: the parents' entries are read along. */
export class MailboxHistory {
  readonly #source: PageSource;
  readonly #parents: readonly ManifestRoot[];
  readonly #cursors: readonly Cursor<MailboxEntry>[];
  /** uniqueid to the name that a mailbox had in the parent and has no longer. */
  readonly #gone = new Map<ByteString, ByteString>();
  /** Names of the parent that are there no longer. */
  goneCount = 0;

  private constructor(source: PageSource, parents: Parents) {
    this.#source = source;
    this.#parents = [...parents.checkpoints, parents.backup].filter((root) => root !== undefined);
    this.#cursors = this.#parents.map(
      (root) => new Cursor(readPageTree(root.mailboxes, source, mailboxPages), ({ name }) => name),
    );
  }

  /** @param tasks - all mailboxes of today. */
  static async open(
    source: PageSource,
    parents: Parents,
    tasks: readonly PlacedTask[],
  ): Promise<MailboxHistory> {
    const history = new MailboxHistory(source, parents);
    if (parents.backup === undefined) return history;
    const byName = new Map(tasks.map((task) => [task.name, task]));
    for await (const entry of readPageTree(parents.backup.mailboxes, source, mailboxPages)) {
      const today = byName.get(entry.name);
      if (today === undefined) history.goneCount++;
      else if (!isOther(entry, today)) continue;
      // Its name is free, or another mailbox's.
      if (entry.uniqueid !== undefined) history.#gone.set(entry.uniqueid, entry.name);
    }
    return history;
  }

  /** Newest first. */
  async before(task: PlacedTask): Promise<MailboxEntry[]> {
    const found: MailboxEntry[] = [];
    for (const cursor of this.#cursors) {
      const entry = await cursor.take(task.name);
      if (entry !== undefined && !isOther(entry, task)) found.push(entry);
    }
    if (found.length > 0) return found;
    const uniqueid = task.list?.uniqueid ?? uniqueidOfPlace(task.place);
    const oldName = uniqueid === undefined ? undefined : this.#gone.get(uniqueid);
    const parent = this.#parents.at(-1);
    if (oldName === undefined || parent === undefined) return [];
    const renamed = await findInPageTree(parent.mailboxes, oldName, this.#source, mailboxPages);
    return renamed === undefined ? [] : [renamed];
  }

  async close(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.close();
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
    rules: history.rules,
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
function uniqueidOfPlace({ relative }: MailboxPlace): ByteString | undefined {
  return relative.startsWith("uuid/")
    ? (relative.slice(relative.lastIndexOf("/") + 1) as ByteString)
    : undefined;
}
