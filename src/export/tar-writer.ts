/** A tar archive as a stream: entries one after the other, what was handed in is given on in large pieces. */
import { assert } from "../base/errors.ts";
import { paddingAfter, TAR_BLOCK_BYTES, type TarEntry, tarHeader } from "./tar-header.ts";

/** Resolves when the bytes may be overwritten. */
export type TarSink = (bytes: Uint8Array) => Promise<void>;

const BUFFER_BYTES = 256 * 1024;
/** Tapes are written in records of 20 blocks, and tar fills the last one. */
const RECORD_BYTES = 20 * TAR_BLOCK_BYTES;

export class TarWriter {
  readonly #sink: TarSink;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  #written = 0;
  #missing = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** All bytes so far. */
  get bytes(): number {
    return this.#written;
  }

  /** Its content follows by `content`, until `finishEntry`. */
  async begin(entry: TarEntry): Promise<void> {
    assert(this.#missing === 0, "an entry within an entry");
    this.#missing = entry.size;
    await this.#write(tarHeader(entry));
  }

  async content(bytes: Uint8Array): Promise<void> {
    assert(bytes.length <= this.#missing, "more content than the header says");
    this.#missing -= bytes.length;
    await this.#write(bytes);
  }

  async finishEntry(size: number): Promise<void> {
    assert(this.#missing === 0, "less content than the header says");
    await this.#write(Buffer.alloc(paddingAfter(size)));
  }

  /** Two blocks of zeros, and more up to a whole record. Without them a reader knows that the archive is cut off. */
  async end(): Promise<void> {
    assert(this.#missing === 0, "an archive that ends within an entry");
    const least = 2 * TAR_BLOCK_BYTES;
    const over = (this.#written + least) % RECORD_BYTES;
    await this.#write(Buffer.alloc(least + (over === 0 ? 0 : RECORD_BYTES - over)));
    await this.#flush();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#written += bytes.length;
    for (let done = 0; done < bytes.length; ) {
      const some = Math.min(bytes.length - done, BUFFER_BYTES - this.#used);
      this.#buffer.set(bytes.subarray(done, done + some), this.#used);
      this.#used += some;
      done += some;
      if (this.#used === BUFFER_BYTES) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    await this.#sink(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}
