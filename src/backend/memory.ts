import { assert } from "../base/errors.ts";
import type { Backend, BackendFile, BackendProperties, BackendWriter } from "./backend.ts";
import { assertName, assertPrefix, checkSize, nameExists, rangeStart } from "./backend-name.ts";

/** Files in memory: for tests and for runs that shall leave nothing. Two backends on one map see the same files. */
export class MemoryBackend implements Backend {
  readonly properties: BackendProperties = {
    description: "memory",
    localDirectory: undefined,
    connections: 16,
  };
  readonly #files: Map<string, Buffer>;

  constructor(files: Map<string, Buffer> = new Map()) {
    this.#files = files;
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    assertName(name);
    this.#add(name, Buffer.from(bytes));
  }

  async begin(name: string): Promise<BackendWriter> {
    assertName(name);
    return new MemoryWriter(name, (bytes) => this.#add(name, bytes));
  }

  async replace(name: string, bytes: Uint8Array): Promise<void> {
    assertName(name);
    this.#files.set(name, Buffer.from(bytes));
  }

  async read(name: string, maxBytes: number): Promise<Buffer | undefined> {
    assertName(name);
    const file = this.#files.get(name);
    if (file === undefined) return undefined;
    checkSize(name, file.length, maxBytes);
    return Buffer.from(file);
  }

  async readRange(name: string, offset: number, length: number): Promise<Buffer | undefined> {
    assertName(name);
    const file = this.#files.get(name);
    if (file === undefined) return undefined;
    const start = rangeStart(name, file.length, offset, length);
    return Buffer.from(file.subarray(start, start + length));
  }

  async size(name: string): Promise<number | undefined> {
    assertName(name);
    return this.#files.get(name)?.length;
  }

  async *list(prefix: string): AsyncGenerator<BackendFile, void, undefined> {
    assertPrefix(prefix);
    for (const [name, { length }] of [...this.#files])
      if (name.startsWith(prefix)) yield { name, bytes: length };
  }

  async remove(name: string): Promise<boolean> {
    assertName(name);
    return this.#files.delete(name);
  }

  async close(): Promise<void> {
    // The files belong to the map.
  }

  #add(name: string, bytes: Buffer): void {
    if (this.#files.has(name)) throw nameExists(name);
    this.#files.set(name, bytes);
  }
}

class MemoryWriter implements BackendWriter {
  readonly #name: string;
  readonly #add: (bytes: Buffer) => void;
  #parts: Buffer[] = [];
  #state: "writing" | "committed" | "gone" = "writing";

  constructor(name: string, add: (bytes: Buffer) => void) {
    this.#name = name;
    this.#add = add;
  }

  async append(bytes: Uint8Array): Promise<void> {
    assert(this.#state === "writing", `append to ${this.#name} after its end`);
    this.#parts.push(Buffer.from(bytes));
  }

  async commit(): Promise<void> {
    if (this.#state === "committed") return;
    assert(this.#state === "writing", `${this.#name} was aborted or refused`);
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#state = "gone";
    this.#add(bytes);
    this.#state = "committed";
  }

  async abort(): Promise<void> {
    this.#parts = [];
    if (this.#state === "writing") this.#state = "gone";
  }
}
