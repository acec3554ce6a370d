/**
 * All mailboxes in the order of their names: what has not changed is taken over from the parent, the rest is
 * captured, several at once; entries come out in order.
 */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { mailboxPages } from "../manifest/mailbox-page.ts";
import type { FileStat, MailboxEntry, ManifestRoot } from "../manifest/model.ts";
import type { PageSource } from "../manifest/pages-io.ts";
import { findInPageTree, readPageTree } from "../manifest/read-page-tree.ts";
import { lstatSource } from "../source/read-file.ts";
import { captureMailbox, type MailboxCaptureContext } from "./capture-mailbox.ts";
import { Cursor } from "./cursor.ts";
import type { MailboxTask } from "./mailbox-join.ts";
import type { MailboxPlace } from "./mailbox-places.ts";
import type { Parents } from "./parents.ts";
import { whyChanged } from "./unchanged.ts";

export type PlacedTask = MailboxTask & { readonly place: MailboxPlace };

export interface ProcessedMailbox {
  readonly entry: MailboxEntry;
  readonly state: "new" | "changed" | "unchanged";
}

/** Small mailboxes are many: enough of them under way that the workers always have something. */
const UNDER_WAY = 12;

export class MailboxProcessor {
  readonly #context: MailboxCaptureContext;
  readonly #source: PageSource;
  readonly #parents: readonly ManifestRoot[];
  readonly #cursors: readonly Cursor<MailboxEntry>[];
  /** Names that the parent had and that are gone: a mailbox of that uniqueid may have been renamed. */
  #gone = new Map<ByteString, ByteString>();
  goneCount = 0;

  constructor(context: MailboxCaptureContext, source: PageSource, parents: Parents) {
    this.#context = context;
    this.#source = source;
    this.#parents = [parents.checkpoint, parents.backup].filter((root) => root !== undefined);
    this.#cursors = this.#parents.map(
      (root) => new Cursor(readPageTree(root.mailboxes, source, mailboxPages), nameOf),
    );
  }

  async *process(tasks: readonly PlacedTask[], parents: Parents): AsyncGenerator<ProcessedMailbox> {
    await this.#findGone(tasks, parents.backup);
    const underWay: Promise<ProcessedMailbox>[] = [];
    for (const task of tasks) {
      const befores = await this.#before(task);
      const result = this.#one(task, befores);
      result.catch(() => {});
      underWay.push(result);
      while (underWay.length >= UNDER_WAY) yield (await underWay.shift()) as ProcessedMailbox;
    }
    for (const result of underWay) yield await result;
  }

  async close(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.close();
  }

  async #one(task: PlacedTask, befores: readonly MailboxEntry[]): Promise<ProcessedMailbox> {
    const state = befores.length === 0 ? "new" : "changed";
    for (const before of befores) {
      if (this.#whyChanged(task, before) !== undefined) continue;
      return { entry: takenOver(task, before), state: "unchanged" };
    }
    return { entry: await captureMailbox(this.#context, task, befores[0]), state };
  }

  #whyChanged(task: PlacedTask, before: MailboxEntry): string | undefined {
    const { directories } = task.place;
    return whyChanged(before, {
      uniqueid: task.list?.uniqueid,
      uidvalidity: task.list?.uidvalidity,
      rules: this.#context.rules,
      scrub: this.#context.scrub(task.name),
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

  /** The entries of this mailbox in checkpoint and parent, by its name, or by its uniqueid if it was renamed. */
  async #before(task: PlacedTask): Promise<MailboxEntry[]> {
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

  async #findGone(tasks: readonly PlacedTask[], parent: ManifestRoot | undefined): Promise<void> {
    if (parent === undefined) return;
    const names = new Set(tasks.map(({ name }) => name));
    for await (const { name, uniqueid } of readPageTree(parent.mailboxes, this.#source, mailboxPages)) {
      if (names.has(name)) continue;
      this.goneCount++;
      if (uniqueid !== undefined) this.#gone.set(uniqueid, name);
    }
  }
}

/** The record as the parent has it, with what is always taken fresh from the mailbox list. */
function takenOver(task: PlacedTask, before: MailboxEntry): MailboxEntry {
  const { list, name, place } = task;
  return {
    ...before,
    name,
    partition: place.partition,
    listed: list !== undefined,
    ...(list === undefined
      ? {}
      : { uniqueid: list.uniqueid ?? before.uniqueid, mailboxType: list.mailboxType, acl: list.acl }),
  };
}

/** A name that was given to another mailbox: a deleted and newly made one. */
function isOther(entry: MailboxEntry, task: PlacedTask): boolean {
  const uniqueid = task.list?.uniqueid;
  return uniqueid !== undefined && entry.uniqueid !== undefined && uniqueid !== entry.uniqueid;
}

/** In the uuid layout the last directory of the path is the uniqueid. */
function uniqueidOfPlace(place: MailboxPlace): ByteString | undefined {
  return place.relative.startsWith("uuid/")
    ? (place.relative.slice(place.relative.lastIndexOf("/") + 1) as ByteString)
    : undefined;
}

function nameOf(entry: MailboxEntry): ByteString {
  return entry.name;
}
