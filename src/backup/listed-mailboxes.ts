/** What the mailbox list names, in the order of the list, in columns. */
import type { ByteString } from "../base/byte-string.ts";
import { ByteColumn, NumberColumn } from "../base/columns.ts";

/** An entry of the mailbox list, as far as a backup needs it. */
export interface ListedMailbox {
  readonly name: ByteString;
  readonly uniqueid: ByteString | undefined;
  readonly partition: ByteString | undefined;
  /** Letters as since 3.6. */
  readonly mailboxType: ByteString;
  /** `id TAB rights TAB …`. */
  readonly acl: ByteString;
  readonly uidvalidity: number | undefined;
  /**
   * `local`: has directories here. `remote`: on another server of a Murder. `none`: a name only (a tombstone, an
   * intermediate name, a reserved one).
   */
  readonly kind: "local" | "remote" | "none";
}

const KINDS = ["local", "remote", "none"] as const;

/** Grows, and is never changed. Rows count from 0. */
export class ListedMailboxes {
  readonly #texts = new ByteColumn();
  /** Numbers of texts, plus one; 0: there is none. */
  readonly #names = new NumberColumn("u32");
  readonly #uniqueids = new NumberColumn("u32");
  readonly #partitions = new NumberColumn("u32");
  readonly #types = new NumberColumn("u32");
  readonly #acls = new NumberColumn("u32");
  readonly #uidvalidities = new NumberColumn("f64");
  readonly #kinds = new NumberColumn("u8");
  #length = 0;

  static of(mailboxes: Iterable<ListedMailbox>): ListedMailboxes {
    const listed = new ListedMailboxes();
    for (const mailbox of mailboxes) listed.add(mailbox);
    return listed;
  }

  get length(): number {
    return this.#length;
  }

  add({ name, uniqueid, partition, mailboxType, acl, uidvalidity, kind }: ListedMailbox): void {
    const row = this.#length++;
    this.#names.set(row, this.#texts.add(name) + 1);
    this.#uniqueids.set(row, uniqueid === undefined ? 0 : this.#texts.add(uniqueid) + 1);
    this.#addRepeated(this.#partitions, row, partition);
    this.#addRepeated(this.#types, row, mailboxType);
    this.#addRepeated(this.#acls, row, acl);
    this.#uidvalidities.set(row, uidvalidity ?? Number.NaN);
    this.#kinds.set(row, KINDS.indexOf(kind));
  }

  get(row: number): ListedMailbox {
    const uidvalidity = this.#uidvalidities.get(row);
    return {
      name: this.name(row),
      uniqueid: this.uniqueid(row),
      partition: this.#text(this.#partitions, row),
      mailboxType: this.#text(this.#types, row) as ByteString,
      acl: this.#text(this.#acls, row) as ByteString,
      uidvalidity: Number.isNaN(uidvalidity) ? undefined : uidvalidity,
      kind: this.kind(row),
    };
  }

  name(row: number): ByteString {
    return this.#text(this.#names, row) as ByteString;
  }

  uniqueid(row: number): ByteString | undefined {
    return this.#text(this.#uniqueids, row);
  }

  kind(row: number): ListedMailbox["kind"] {
    return KINDS[this.#kinds.get(row)] as ListedMailbox["kind"];
  }

  isUniqueid(row: number, uniqueid: ByteString): boolean {
    const text = this.#uniqueids.get(row);
    return text !== 0 && this.#texts.equals(text - 1, uniqueid);
  }

  isName(row: number, name: ByteString): boolean {
    return this.#texts.equals(this.#names.get(row) - 1, name);
  }

  /** What it has in common with the row before is kept once: a user's mailboxes have much. */
  #addRepeated(column: NumberColumn, row: number, value: ByteString | undefined): void {
    const before = row === 0 ? 0 : column.get(row - 1);
    if (value === undefined) column.set(row, 0);
    else if (before !== 0 && this.#texts.equals(before - 1, value)) column.set(row, before);
    else column.set(row, this.#texts.add(value) + 1);
  }

  #text(column: NumberColumn, row: number): ByteString | undefined {
    const text = column.get(row);
    return text === 0 ? undefined : this.#texts.get(text - 1);
  }
}
