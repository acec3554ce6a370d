/** What the page trees need to know about one kind of entry, and what all leaf pages have in common. */
import type { ByteString } from "../base/byte-string.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";

/** Numbers are UIDs (0 to 2^32-1). */
export type PageKey = number | ByteString;

/** In bytes of pages: never renumber. Inner pages have INNER added. */
export const PAGE_KINDS = { messages: 1, mailboxes: 2, files: 3, findings: 4 } as const;
export const INNER = 0x80;
export const PAGE_VERSION = 1;

/** How many entries a page has. Not part of the format: another rule makes valid trees that share less. */
export interface CutRule {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

export interface PageCodec<T, K extends PageKey> {
  /** One of PAGE_KINDS. */
  readonly kind: number;
  /** For errors: `mailbox page`. */
  readonly what: string;
  readonly keys: "uid" | "string";
  readonly cut: CutRule;
  key(entry: T): K;
  /** About how many bytes the entry takes. */
  weigh(entry: T): number;
  /** @param entries - at least one, keys strictly ascending: anything else is an assertion. Same values, same bytes. */
  encode(entries: readonly T[]): Uint8Array;
  /** The entries keep no reference to `bytes`. @throws {CyrvaultError} `REPOSITORY_DAMAGED` for anything that `encode` would not make. */
  decode(bytes: Uint8Array): T[];
}

/** @param writer - gets the two bytes that begin every page. */
export function beginPage(kind: number, writer: ByteWriter = new ByteWriter(4096)): ByteWriter {
  return writer.u8(kind).u8(PAGE_VERSION);
}

export function openPage(bytes: Uint8Array, kind: number, what: string): ByteReader {
  const reader = new ByteReader(bytes, what);
  const found = reader.u8();
  if (found !== kind) throw reader.damaged(`it is of kind ${found}, not ${kind}`);
  const version = reader.u8();
  if (version === 0) throw reader.damaged("it has version 0");
  if (version !== PAGE_VERSION) {
    throw new CyrvaultError("REPOSITORY_VERSION", `${what}: version ${version} is not known here`, {
      hint: "read this repository with the version of cyrvault that wrote it, or a newer one",
      context: { version },
    });
  }
  return reader;
}

/** @throws {TypeError} unless there are entries and their keys ascend strictly. */
export function assertAscending<T, K extends PageKey>(entries: readonly T[], key: (entry: T) => K): void {
  assert(entries.length > 0, "a page has at least one entry");
  let previous: K | undefined;
  for (const entry of entries) {
    const next = key(entry);
    assert(previous === undefined || next > previous, "the keys of a page ascend");
    previous = next;
  }
}
