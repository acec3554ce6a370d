/** What a mailbox's cyrus.index says of its messages, in columns: 33 bytes a message, of one mailbox at a time. */
import { type ByteString, joinPath } from "../base/byte-string.ts";
import { isCyrvaultError } from "../base/errors.ts";
import { GUID_BYTES, MAX_HEADER_BYTES } from "../cyrus/index-format.ts";
import { forEachRecord, type IndexHeader, indexExtent, parseIndexHeader } from "../cyrus/index-reader.ts";
import { SourceFile } from "../source/read-file.ts";
import type { MailboxPlace } from "./places.ts";

const STRETCH_BYTES = 1024 * 1024;
const INDEX_NAME = "cyrus.index" as ByteString;

export interface IndexedMessage {
  readonly size: number;
  /** A view. undefined: none that a file can be compared with. */
  readonly guid: Buffer | undefined;
}

export class MailboxIndex {
  readonly #uids: Uint32Array;
  readonly #sizes: Float64Array;
  readonly #guids: Buffer;
  readonly #hasGuid: Uint8Array;
  #count = 0;

  private constructor(records: number) {
    this.#uids = new Uint32Array(records);
    this.#sizes = new Float64Array(records);
    this.#guids = Buffer.alloc(records * GUID_BYTES);
    this.#hasGuid = new Uint8Array(records);
  }

  /**
   * Without records whose CRC is wrong, or whose file Cyrus has removed.
   * @returns empty where there is no index, or none that can be understood.
   */
  static read(place: MailboxPlace): MailboxIndex {
    for (const { realPath, listing } of place.directories) {
      if (!listing.files.includes(INDEX_NAME)) continue;
      const file = SourceFile.open(joinPath(realPath, INDEX_NAME));
      if (file === undefined) continue;
      try {
        return MailboxIndex.#readFrom(file);
      } catch (error) {
        if (!isCyrvaultError(error)) throw error;
      } finally {
        file.close();
      }
    }
    return new MailboxIndex(0);
  }

  static #readFrom(file: SourceFile): MailboxIndex {
    const header: IndexHeader = parseIndexHeader(file.read(0, MAX_HEADER_BYTES));
    const { recordsPresent } = indexExtent(header, file.stat.size);
    const index = new MailboxIndex(recordsPresent);
    const perStretch = Math.max(1, Math.floor(STRETCH_BYTES / header.recordBytes));
    for (let first = 0; first < recordsPresent; first += perStretch) {
      const wanted = Math.min(perStretch, recordsPresent - first) * header.recordBytes;
      const bytes = file.read(header.headerBytes + first * header.recordBytes, wanted);
      if (bytes.length < wanted) break;
      forEachRecord(bytes, header, first, (record) => {
        if (record.isUnlinked || !record.crcOk) return;
        const at = index.#count;
        const previous = at === 0 ? 0 : (index.#uids[at - 1] as number);
        // Cyrus never writes them in another order: what a damaged file has is left out.
        if (record.uid <= previous) return;
        index.#uids[at] = record.uid;
        index.#sizes[at] = record.size;
        if (record.hasGuid) {
          index.#hasGuid[at] = 1;
          record.guid?.copy(index.#guids, at * GUID_BYTES);
        }
        index.#count++;
      });
    }
    return index;
  }

  get count(): number {
    return this.#count;
  }

  at(position: number): IndexedMessage {
    return {
      size: this.#sizes[position] as number,
      guid:
        this.#hasGuid[position] === 1
          ? this.#guids.subarray(position * GUID_BYTES, (position + 1) * GUID_BYTES)
          : undefined,
    };
  }

  find(uid: number): IndexedMessage | undefined {
    let low = 0;
    let high = this.#count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#uids[middle] as number;
      if (found === uid) return this.at(middle);
      if (found < uid) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }
}
