/** Segments as bytes: header, entries, filter, directory, footer. Format: docs/formats/segment.md. Pure. */
import { createHash } from "node:crypto";
import { ByteReader, ByteWriter, equalBytes, toHex } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import {
  asPackId,
  PACK_ID_BYTES,
  PACK_KIND_BYTES,
  PACK_OBJECTS_MAX,
  type PackId,
  type PackKind,
  parsePackKind,
} from "./pack-types.ts";
import { SEAL_BYTES } from "./seal.ts";

/** So many bytes of an ObjectId stand in segments and in the object index. */
export const PREFIX_BYTES = 20;
export const SEGMENT_ID_BYTES = 32;
export const SEGMENTS_PREFIX = "segments/";
export const SEGMENT_HEADER_BYTES = 41;
export const SEGMENT_FOOTER_BYTES = 40;
export const SEGMENT_PURPOSE = "segment";
/** Data pages that share a filter page. */
export const GROUP_PAGES = 16;
const PAGE_BYTES = 65_536 - SEAL_BYTES;
/** Of an entry's first bytes, in the directory. */
const FENCE_BYTES = 6;
const FILTER_BITS_PER_ENTRY = 10;
const FILTER_HASHES = 7;
const HEADER_MAGIC = "CYRVSEGM";
const FOOTER_MAGIC = "CYRVSEGE";
const FORMAT_VERSION = 1;
export const SEGMENT_PACKS_MAX = 1 << 22;
const REPLACES_MAX = 1 << 16;
const ENTRIES_MAX = 2 ** 40;
const DIRECTORY_BYTES_MAX = 2 ** 29;

export type SegmentId = Uint8Array & { readonly [segmentId]: true };
declare const segmentId: unique symbol;

export interface CoveredPack {
  readonly packId: PackId;
  readonly packKind: PackKind;
  readonly objects: number;
}

export interface SegmentDirectory {
  readonly packBytes: number;
  readonly ordinalBytes: number;
  readonly entries: number;
  readonly packs: readonly CoveredPack[];
  readonly replaces: readonly SegmentId[];
  /** The first 6 bytes of each data page's first entry, as an integer. */
  readonly fences: Float64Array;
}

export interface SegmentFooter {
  readonly directoryOffset: number;
  readonly directoryBytes: number;
}

/** Where a page stands in the file, and what number it is sealed under. `entries`: those it holds or speaks for. */
export interface PagePlace {
  readonly part: number;
  readonly offset: number;
  readonly storedBytes: number;
  readonly entries: number;
}

export function asSegmentId(bytes: Uint8Array): SegmentId {
  if (bytes.length !== SEGMENT_ID_BYTES) throw new RangeError("a segment id has 32 bytes");
  return bytes as SegmentId;
}

export function segmentName(id: SegmentId): string {
  return SEGMENTS_PREFIX + toHex(id);
}

/** Undefined for any name that `segmentName` did not make. */
export function parseSegmentName(name: string): SegmentId | undefined {
  const match = /^segments\/([0-9a-f]{64})$/.exec(name);
  return match === null ? undefined : asSegmentId(Buffer.from(match[1] as string, "hex"));
}

/** Bytes that a number up to `max` takes: 1 to 4. */
export function widthOf(max: number): number {
  return max < 0x100 ? 1 : max < 0x1_0000 ? 2 : max < 0x100_0000 ? 3 : 4;
}

/** Sizes that follow from the two widths and the number of entries. */
export class SegmentShape {
  readonly packBytes: number;
  readonly ordinalBytes: number;
  readonly entryBytes: number;
  readonly entriesPerPage: number;
  readonly entries: number;
  readonly pageCount: number;

  constructor(packBytes: number, ordinalBytes: number, entries: number) {
    this.packBytes = packBytes;
    this.ordinalBytes = ordinalBytes;
    this.entryBytes = PREFIX_BYTES + packBytes + ordinalBytes;
    this.entriesPerPage = Math.floor(PAGE_BYTES / this.entryBytes);
    this.entries = entries;
    this.pageCount = Math.ceil(entries / this.entriesPerPage);
  }

  get groupCount(): number {
    return Math.ceil(this.pageCount / GROUP_PAGES);
  }

  /** Where the last page ends. */
  get pagesEnd(): number {
    return this.#groupOffset(this.groupCount);
  }

  dataPage(page: number): PagePlace {
    const group = Math.floor(page / GROUP_PAGES);
    const inGroup = page % GROUP_PAGES;
    const entries = Math.min(this.entriesPerPage, this.entries - page * this.entriesPerPage);
    return {
      part: 1 + page + group,
      offset: this.#groupOffset(group) + inGroup * this.#fullPageBytes,
      storedBytes: entries * this.entryBytes + SEAL_BYTES,
      entries,
    };
  }

  filterPage(group: number): PagePlace {
    const pages = Math.min(GROUP_PAGES, this.pageCount - group * GROUP_PAGES);
    const perGroup = GROUP_PAGES * this.entriesPerPage;
    const entries = Math.min(perGroup, this.entries - group * perGroup);
    return {
      part: 1 + group * (GROUP_PAGES + 1) + pages,
      offset: this.#groupOffset(group) + entries * this.entryBytes + pages * SEAL_BYTES,
      storedBytes: filterBytes(entries) + SEAL_BYTES,
      entries,
    };
  }

  get #fullPageBytes(): number {
    return this.entriesPerPage * this.entryBytes + SEAL_BYTES;
  }

  #groupOffset(group: number): number {
    const perGroup = GROUP_PAGES * this.entriesPerPage;
    const before = group * GROUP_PAGES;
    if (before > this.pageCount || group * perGroup > this.entries) {
      const last = this.filterPage(group - 1);
      return last.offset + last.storedBytes;
    }
    return (
      SEGMENT_HEADER_BYTES + group * (GROUP_PAGES * this.#fullPageBytes + filterBytes(perGroup) + SEAL_BYTES)
    );
  }
}

/** The first 6 bytes as an integer. */
export function fenceOf(bytes: Uint8Array, offset = 0): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, FENCE_BYTES).readUIntBE(0, FENCE_BYTES);
}

export function filterBytes(entries: number): number {
  return Math.ceil((entries * FILTER_BITS_PER_ENTRY) / 8);
}

export function addToFilter(filter: Uint8Array, h: number, g: number): void {
  const bits = filter.length * 8;
  for (let i = 0; i < FILTER_HASHES; i++) {
    const bit = (h + i * g) % bits;
    const at = Math.floor(bit / 8);
    filter[at] = (filter[at] as number) | (1 << (bit & 7));
  }
}

export function filterMayHold(filter: Uint8Array, id: Uint8Array): boolean {
  const view = Buffer.from(id.buffer, id.byteOffset, id.byteLength);
  const h = view.readUInt32BE(8);
  const g = view.readUInt32BE(12);
  const bits = filter.length * 8;
  for (let i = 0; i < FILTER_HASHES; i++) {
    const bit = (h + i * g) % bits;
    if (((filter[Math.floor(bit / 8)] as number) & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

export function encodeSegmentHeader(id: SegmentId): Buffer {
  return new ByteWriter(64).raw(Buffer.from(HEADER_MAGIC, "latin1")).u8(FORMAT_VERSION).raw(id).toBytes();
}

export function encodeSegmentFooter(id: SegmentId, footer: SegmentFooter): Buffer {
  const start = new ByteWriter(64)
    .u64(BigInt(footer.directoryOffset))
    .u32(footer.directoryBytes)
    .u32(0)
    .raw(Buffer.from(FOOTER_MAGIC, "latin1"))
    .toBytes();
  return Buffer.concat([start, check(encodeSegmentHeader(id), start)]);
}

/**
 * @param header - the file's first 41 bytes. @param footer - its last 40.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `REPOSITORY_VERSION`.
 */
export function decodeSegmentEnds(
  id: SegmentId,
  header: Uint8Array,
  footer: Uint8Array,
  fileBytes: number,
): SegmentFooter {
  const what = segmentName(id);
  const reader = new ByteReader(footer, what);
  const directoryOffset = Number(reader.u64());
  const directoryBytes = reader.u32();
  const zero = reader.u32();
  const magic = reader.raw(8).toString("latin1");
  if (!equalBytes(check(header, footer.subarray(0, 24)), reader.raw(16)) || magic !== FOOTER_MAGIC)
    throw reader.damaged("header and footer do not fit");
  if (header[8] !== FORMAT_VERSION)
    throw new CyrvaultError(
      "REPOSITORY_VERSION",
      `${what}: format version ${header[8]} is not known to this version of cyrvault`,
    );
  if (!equalBytes(header, encodeSegmentHeader(id))) throw reader.damaged("it holds another segment");
  if (
    zero !== 0 ||
    directoryBytes > DIRECTORY_BYTES_MAX ||
    directoryOffset < SEGMENT_HEADER_BYTES ||
    directoryOffset + directoryBytes + SEGMENT_FOOTER_BYTES !== fileBytes
  )
    throw reader.damaged("impossible lengths");
  return { directoryOffset, directoryBytes };
}

export function encodeSegmentDirectory(directory: SegmentDirectory): Buffer {
  const writer = new ByteWriter(4096)
    .u8(directory.packBytes)
    .u8(directory.ordinalBytes)
    .varint(directory.entries)
    .varint(directory.packs.length);
  for (const { packId, packKind, objects } of directory.packs)
    writer.raw(packId).u8(PACK_KIND_BYTES[packKind]).varint(objects);
  writer.varint(directory.replaces.length);
  for (const id of directory.replaces) writer.raw(id);
  writer.varint(directory.fences.length);
  const fence = Buffer.alloc(FENCE_BYTES);
  for (const value of directory.fences) {
    fence.writeUIntBE(value, 0, FENCE_BYTES);
    writer.raw(fence);
  }
  return writer.toBytes();
}

/** @throws {CyrvaultError} `REPOSITORY_DAMAGED`. */
export function decodeSegmentDirectory(bytes: Uint8Array, what: string): SegmentDirectory {
  const reader = new ByteReader(bytes, what);
  const packBytes = reader.u8();
  const ordinalBytes = reader.u8();
  if (packBytes < 1 || packBytes > 4 || ordinalBytes < 1 || ordinalBytes > 4)
    throw reader.damaged("impossible widths");
  const entries = reader.varint(ENTRIES_MAX);
  const packs: CoveredPack[] = [];
  for (let left = reader.varint(SEGMENT_PACKS_MAX); left > 0; left--)
    packs.push({
      packId: asPackId(Uint8Array.from(reader.raw(PACK_ID_BYTES))),
      packKind: parsePackKind(reader.u8()),
      objects: reader.varint(PACK_OBJECTS_MAX),
    });
  const replaces: SegmentId[] = [];
  for (let left = reader.varint(REPLACES_MAX); left > 0; left--)
    replaces.push(asSegmentId(Uint8Array.from(reader.raw(SEGMENT_ID_BYTES))));
  const pageCount = reader.varint(reader.remaining);
  if (pageCount !== new SegmentShape(packBytes, ordinalBytes, entries).pageCount)
    throw reader.damaged("so many entries do not make so many pages");
  if (pageCount * FENCE_BYTES !== reader.remaining) throw reader.damaged("the fan-out has the wrong length");
  const fences = new Float64Array(pageCount);
  for (let page = 0; page < pageCount; page++) {
    const fence = fenceOf(reader.raw(FENCE_BYTES));
    if (page > 0 && fence < (fences[page - 1] as number)) throw reader.damaged("the pages descend");
    fences[page] = fence;
  }
  return { packBytes, ordinalBytes, entries, packs, replaces, fences };
}

function check(header: Uint8Array, footerStart: Uint8Array): Buffer {
  return createHash("sha256").update(header).update(footerStart).digest().subarray(0, 16);
}
