/** Where findings wait when there are too many for memory: sorted runs in temporary files, written and read synchronously. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writevSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CyrvaultError } from "../base/errors.ts";
import { ioError } from "../base/io-error.ts";
import type { Finding } from "./finding.ts";
import { findingPages } from "./finding-page.ts";

const PAGE_ENTRIES = 256;
const LENGTH_BYTES = 4;

/** Runs come back as they went in. Nothing of it is needed after a crash. Errors: `IO`, `NO_SPACE`. */
export class FindingSpill {
  readonly #parent: string;
  #directory: string | undefined;
  #runs = 0;

  /** @param parent - an existing directory on a disk with room. */
  constructor(parent: string = tmpdir()) {
    this.#parent = parent;
  }

  get runs(): number {
    return this.#runs;
  }

  /** @param findings - sorted by key, no key twice, at least one. */
  write(findings: readonly Finding[]): void {
    try {
      this.#directory ??= mkdtempSync(join(this.#parent, "cyrvault-findings-"));
      const file = openSync(this.#name(this.#runs), "wx", 0o600);
      try {
        for (let at = 0; at < findings.length; at += PAGE_ENTRIES)
          writePage(file, findingPages.encode(findings.slice(at, at + PAGE_ENTRIES)));
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw ioError(`cannot keep findings aside below ${this.#parent}`, cause);
    }
    this.#runs++;
  }

  /** @param run - 0 to `runs` - 1. Holds one page of it. */
  *read(run: number): Generator<Finding> {
    const name = this.#name(run);
    let file: number | undefined;
    try {
      file = openSync(name, "r");
      for (let page = readPage(file); page !== undefined; page = readPage(file))
        yield* findingPages.decode(page);
    } catch (cause) {
      throw ioError(`cannot read findings kept aside in ${name}`, cause);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  /** Removes everything. */
  discard(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = undefined;
    this.#runs = 0;
  }

  #name(run: number): string {
    return join(this.#directory ?? this.#parent, `run-${run}`);
  }
}

function writePage(file: number, page: Uint8Array): void {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(page.length);
  if (writevSync(file, [length, page]) !== LENGTH_BYTES + page.length)
    throw new CyrvaultError("NO_SPACE", "cannot keep findings aside: written only in part");
}

function readPage(file: number): Buffer | undefined {
  const length = Buffer.alloc(LENGTH_BYTES);
  if (readSync(file, length) === 0) return undefined;
  const page = Buffer.alloc(length.readUInt32BE());
  readSync(file, page);
  return page;
}
