/**
 * The packs that this machine has stored with a key that may only write: 32 bytes each, one after the other. What is lost of
 * it is stored again.
 */
import { appendFileSync, mkdirSync, readFileSync, truncateSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import type { OwnPacks } from "../store/vouching.ts";

const ID_BYTES = 32;

export class OwnPacksFile implements OwnPacks {
  readonly #path: string;
  #known: Set<string> | undefined;

  readonly #onFailure: (error: Error) => void;

  /**
   * @param repository - its id, in hex.
   * @param onFailure - it cannot be read or written: nobody is kept from storing by that.
   */
  constructor(cache: string, repository: string, onFailure: (error: Error) => void) {
    this.#path = join(cache, `own-packs-${repository}`);
    this.#onFailure = onFailure;
  }

  has(hex: string): boolean {
    return this.#all().has(hex);
  }

  add(hex: string): void {
    const known = this.#all();
    if (known.has(hex)) return;
    known.add(hex);
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      appendFileSync(this.#path, Buffer.from(hex, "hex"), { mode: 0o600 });
    } catch (cause) {
      this.#onFailure(ioError(`cannot write ${this.#path}`, cause));
    }
  }

  #all(): Set<string> {
    if (this.#known !== undefined) return this.#known;
    this.#known = new Set();
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return this.#known;
      this.#onFailure(ioError(`cannot read ${this.#path}`, cause));
      return this.#known;
    }
    // A power cut may have left the beginning of one: what is put behind it must not be read askew.
    const rest = bytes.length % ID_BYTES;
    try {
      if (rest !== 0) truncateSync(this.#path, bytes.length - rest);
    } catch (cause) {
      this.#onFailure(ioError(`cannot write ${this.#path}`, cause));
    }
    for (let at = 0; at + ID_BYTES <= bytes.length; at += ID_BYTES)
      this.#known.add(bytes.subarray(at, at + ID_BYTES).toString("hex"));
    return this.#known;
  }
}
