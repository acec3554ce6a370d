/** The mailboxes of a run in the order of their names: rows of the list and of the places, put together when one is asked for. */
import type { ByteString } from "../base/byte-string.ts";
import type { ByteColumn, NumberColumn } from "../base/columns.ts";
import type { ListedMailbox, ListedMailboxes } from "./listed-mailboxes.ts";
import type { MailboxPlace, MailboxPlaces } from "./mailbox-places.ts";

/** A mailbox with a directory here. */
export interface PlacedTask {
  /** The key of its entry in the manifest. */
  readonly name: ByteString;
  readonly list: ListedMailbox | undefined;
  readonly place: MailboxPlace;
}

/** By number of the task. They grow while tasks are gathered. */
export interface TaskColumns {
  readonly listed: ListedMailboxes;
  readonly places: MailboxPlaces;
  readonly names: ByteColumn;
  /** The row of the list plus one; 0: it is in none. */
  readonly row: NumberColumn;
  readonly place: NumberColumn;
}

export class MailboxTasks implements Iterable<PlacedTask> {
  readonly #columns: TaskColumns;
  readonly #order: readonly number[];

  /** @param order - numbers of tasks, ascending by name. */
  constructor(columns: TaskColumns, order: readonly number[]) {
    this.#columns = columns;
    this.#order = order;
  }

  get length(): number {
    return this.#order.length;
  }

  *[Symbol.iterator](): Generator<PlacedTask> {
    for (const task of this.#order) yield this.#make(task);
  }

  at(position: number): PlacedTask | undefined {
    const task = this.#order[position];
    return task === undefined ? undefined : this.#make(task);
  }

  /** Where a name stands among them. */
  positionOf(name: ByteString): number | undefined {
    let from = 0;
    for (let to = this.length - 1; from <= to; ) {
      const middle = (from + to) >> 1;
      const order = this.#columns.names.compareWith(this.#order[middle] as number, name);
      if (order === 0) return middle;
      if (order < 0) from = middle + 1;
      else to = middle - 1;
    }
    return undefined;
  }

  *names(): Generator<ByteString> {
    for (const task of this.#order) yield this.#columns.names.get(task);
  }

  #make(task: number): PlacedTask {
    const { listed, places, names, row: rows, place } = this.#columns;
    const row = rows.get(task);
    return {
      name: names.get(task),
      list: row === 0 ? undefined : listed.get(row - 1),
      place: places.get(place.get(task)),
    };
  }
}
