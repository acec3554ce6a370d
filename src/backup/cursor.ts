/** A position in an ascending sequence that comes in asynchronously: for merging it with another. */
import type { ByteString } from "../base/byte-string.ts";

export class Cursor<T> {
  readonly #source: AsyncIterator<T>;
  readonly #keyOf: (entry: T) => ByteString;
  #current: { readonly key: ByteString; readonly entry: T } | undefined;
  #started = false;

  constructor(source: AsyncIterable<T>, keyOf: (entry: T) => ByteString) {
    this.#source = source[Symbol.asyncIterator]();
    this.#keyOf = keyOf;
  }

  static empty<T>(): Cursor<T> {
    return new Cursor<T>((async function* () {})(), () => "" as ByteString);
  }

  async peek(): Promise<T | undefined> {
    if (!this.#started) await this.#advance();
    return this.#current?.entry;
  }

  /** The entry with this key, if it is there; everything before it is passed over. */
  async take(key: ByteString): Promise<T | undefined> {
    const found = await this.seek(key);
    if (found === undefined || this.#current?.key !== key) return undefined;
    await this.#advance();
    return found;
  }

  /** The first entry whose key is `key` or greater. */
  async seek(key: ByteString): Promise<T | undefined> {
    if (!this.#started) await this.#advance();
    while (this.#current !== undefined && this.#current.key < key) await this.#advance();
    return this.#current?.entry;
  }

  async skip(): Promise<void> {
    if (!this.#started) await this.#advance();
    await this.#advance();
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #advance(): Promise<void> {
    this.#started = true;
    const next = await this.#source.next();
    this.#current = next.done ? undefined : { key: this.#keyOf(next.value), entry: next.value };
  }
}
