/**
 * What a machine with a key that may only write remembers. The packs that it has stored, 32 bytes each, one after the other:
 * what is lost of it is stored again. And a secret, with which it opens the lists of what it has stored, and no mail: if
 * that is lost, everything is read again.
 */
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import type { OwnPacks } from "../store/vouching.ts";

/** Of a pack's id, and of the secret. */
const ID_BYTES = 32;

export class OwnPacksFile implements OwnPacks {
  readonly #path: string;
  readonly #secretPath: string;
  #known: Set<string> | undefined;

  readonly #onFailure: (error: Error) => void;

  /**
   * @param repository - its id, in hex.
   * @param onFailure - it cannot be read or written: nobody is kept from storing by that.
   */
  constructor(cache: string, repository: string, onFailure: (error: Error) => void) {
    this.#path = join(cache, `own-packs-${repository}`);
    this.#secretPath = join(cache, `own-secret-${repository}`);
    this.#onFailure = onFailure;
  }

  /** Made when it is first asked for. Two that make one at once: what is sealed with the one that is lost is read again. */
  get secret(): Uint8Array | undefined {
    const path = this.#secretPath;
    try {
      return this.#readSecret() ?? this.#makeSecret();
    } catch (cause) {
      this.#onFailure(ioError(`cannot write ${path}`, cause));
      return undefined;
    }
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

  /** undefined: there is none, or not a whole one. */
  #readSecret(): Buffer | undefined {
    try {
      const bytes = readFileSync(this.#secretPath);
      return bytes.length === ID_BYTES ? bytes : undefined;
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return undefined;
      throw cause;
    }
  }

  #makeSecret(): Buffer {
    const secret = randomBytes(ID_BYTES);
    const temporary = `${this.#secretPath}.${process.pid}`;
    mkdirSync(dirname(this.#secretPath), { recursive: true, mode: 0o700 });
    const file = openSync(temporary, "w", 0o600);
    try {
      writeSync(file, secret);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#secretPath);
    return this.#readSecret() ?? secret;
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
