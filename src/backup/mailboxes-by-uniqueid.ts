/** Mailboxes of the list by their uniqueids: four bytes for each. */
import type { ByteString } from "../base/byte-string.ts";
import type { ListedMailboxes } from "./listed-mailboxes.ts";

export class MailboxesByUniqueid {
  readonly #listed: ListedMailboxes;
  readonly #rows: Uint32Array;

  constructor(listed: ListedMailboxes) {
    const rows = new Uint32Array(listed.length);
    let count = 0;
    for (let row = 0; row < listed.length; row++)
      if (listed.uniqueid(row) !== undefined && listed.kind(row) !== "none") rows[count++] = row;
    this.#listed = listed;
    this.#rows = rows.subarray(0, count).sort((a, b) => (this.#uniqueid(a) < this.#uniqueid(b) ? -1 : 1));
  }

  /** Its internal name; undefined: no mailbox has that uniqueid. */
  nameOf(uniqueid: ByteString): ByteString | undefined {
    let [low, high] = [0, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#uniqueid(this.#rows[middle] as number) < uniqueid) low = middle + 1;
      else high = middle;
    }
    const row = this.#rows[low];
    return row !== undefined && this.#uniqueid(row) === uniqueid ? this.#listed.name(row) : undefined;
  }

  #uniqueid(row: number): ByteString {
    return this.#listed.uniqueid(row) as ByteString;
  }
}
