/**
 * A position in the leaf pages of a tree, for merging it with another sequence. Within a page it is moved without
 * waiting: `load` is needed only where `isLoaded` is false.
 */
import type { ByteString } from "../base/byte-string.ts";
import type { LeafPage } from "../manifest/page-tree.ts";

export class PageCursor<T> {
  readonly #pages: AsyncIterator<LeafPage<T>>;
  readonly #keyOf: (entry: T) => ByteString;
  /** Told of each page when it has been read. */
  onPage: ((page: LeafPage<T>) => void) | undefined;
  #entries: readonly T[] = [];
  #at = 0;
  #ended = false;

  constructor(
    pages: AsyncIterable<LeafPage<T>>,
    keyOf: (entry: T) => ByteString,
    onPage?: (page: LeafPage<T>) => void,
  ) {
    this.#pages = pages[Symbol.asyncIterator]();
    this.#keyOf = keyOf;
    this.onPage = onPage;
  }

  /** An entry is at hand, or it is known that there are no more. */
  get isLoaded(): boolean {
    return this.#at < this.#entries.length || this.#ended;
  }

  async load(): Promise<void> {
    while (!this.isLoaded) {
      const next = await this.#pages.next();
      this.#ended = next.done === true;
      this.#entries = next.done === true ? [] : next.value.entries;
      this.#at = 0;
      if (next.done !== true) this.onPage?.(next.value);
    }
  }

  /** Of a loaded cursor: undefined at the end. */
  get current(): T | undefined {
    return this.#entries[this.#at];
  }

  step(): void {
    this.#at++;
  }

  /** The entry with this key, if it is there; it, and everything before it, is passed over. */
  async take(key: ByteString): Promise<T | undefined> {
    for (;;) {
      if (!this.isLoaded) await this.load();
      const entry = this.current;
      if (entry === undefined) return undefined;
      const found = this.#keyOf(entry);
      if (found > key) return undefined;
      this.step();
      if (found === key) return entry;
    }
  }

  async close(): Promise<void> {
    await this.#pages.return?.();
  }
}
