/**
 * Values that are dear to load, as many as fit into so many bytes, least recently used out first. Requests for one
 * key that come while it is being loaded share the load; a failed load is not kept.
 */
export class Cache<K, V> {
  readonly #bytesMax: number;
  readonly #bytesOf: (value: V) => number;
  readonly #onDrop: (value: V) => void;
  /** In the order of use: a Map keeps the order of insertion. */
  readonly #values = new Map<K, V>();
  readonly #loading = new Map<K, Promise<V>>();
  #bytes = 0;

  /**
   * A value larger than `bytesMax` is handed out and not kept.
   * @param onDrop - is given each value that is kept no longer, or was never.
   */
  constructor(bytesMax: number, bytesOf: (value: V) => number, onDrop: (value: V) => void = () => {}) {
    this.#bytesMax = bytesMax;
    this.#bytesOf = bytesOf;
    this.#onDrop = onDrop;
  }

  get bytes(): number {
    return this.#bytes;
  }

  peek(key: K): V | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, value);
    }
    return value;
  }

  async get(key: K, load: () => Promise<V>): Promise<V> {
    const value = this.peek(key);
    if (value !== undefined) return value;
    const underWay = this.#loading.get(key);
    if (underWay !== undefined) return await underWay;
    const promise = load();
    this.#loading.set(key, promise);
    try {
      const loaded = await promise;
      if (this.#loading.get(key) === promise) this.#keep(key, loaded);
      else this.#onDrop(loaded);
      return loaded;
    } finally {
      if (this.#loading.get(key) === promise) this.#loading.delete(key);
    }
  }

  /** A load under way is finished for those who wait for it, and not kept. */
  delete(key: K): void {
    this.#loading.delete(key);
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#values.delete(key);
    this.#bytes -= this.#bytesOf(value);
    this.#onDrop(value);
  }

  clear(): void {
    this.#loading.clear();
    for (const value of this.#values.values()) this.#onDrop(value);
    this.#values.clear();
    this.#bytes = 0;
  }

  #keep(key: K, value: V): void {
    const bytes = this.#bytesOf(value);
    if (bytes > this.#bytesMax) {
      this.#onDrop(value);
      return;
    }
    this.delete(key);
    this.#values.set(key, value);
    this.#bytes += bytes;
    for (const [oldest, old] of this.#values) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#values.delete(oldest);
      this.#bytes -= this.#bytesOf(old);
      this.#onDrop(old);
    }
  }
}
