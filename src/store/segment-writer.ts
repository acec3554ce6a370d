/**
 * Writes a segment in one pass: entries in ascending order in, one data page and one filter page in memory.
 * Format: docs/formats/segment.md.
 */
import { randomBytes } from "node:crypto";
import type { Backend, BackendWriter } from "../backend/backend.ts";
import { assert } from "../base/errors.ts";
import type { FileSeal, Sealer } from "./sealer.ts";
import {
  addToFilter,
  asSegmentId,
  type CoveredPack,
  encodeSegmentDirectory,
  encodeSegmentFooter,
  encodeSegmentHeader,
  fenceOf,
  filterBytes,
  GROUP_PAGES,
  PREFIX_BYTES,
  SEGMENT_FOOTER_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_ID_BYTES,
  SEGMENT_PURPOSE,
  type SegmentId,
  SegmentShape,
  segmentName,
  widthOf,
} from "./segment-format.ts";

export interface SegmentOptions {
  readonly packs: readonly CoveredPack[];
  readonly replaces: readonly SegmentId[];
  readonly random?: (count: number) => Uint8Array;
}

export interface WrittenSegment {
  readonly id: SegmentId;
  readonly entries: number;
  readonly storedBytes: number;
}

export class SegmentWriter {
  readonly #writer: BackendWriter;
  readonly #seal: FileSeal;
  readonly #id: SegmentId;
  readonly #options: SegmentOptions;
  /** Its number of entries is not known yet. */
  readonly #shape: SegmentShape;
  readonly #page: Buffer;
  #pageLength = 0;
  /** The two hashes of each entry of the group: its filter's size depends on how many there will be. */
  readonly #hashes: Uint32Array;
  #groupEntries = 0;
  #groupPages = 0;
  readonly #fences: number[] = [];
  #part = 1;
  #entries = 0;
  #storedBytes = 0;
  #pending: Buffer[] = [];

  private constructor(writer: BackendWriter, seal: FileSeal, id: SegmentId, options: SegmentOptions) {
    this.#writer = writer;
    this.#seal = seal;
    this.#id = id;
    this.#options = options;
    const objectsMax = options.packs.reduce((max, { objects }) => Math.max(max, objects), 1);
    this.#shape = new SegmentShape(
      widthOf(Math.max(0, options.packs.length - 1)),
      widthOf(objectsMax - 1),
      0,
    );
    this.#page = Buffer.alloc(this.#shape.entriesPerPage * this.#shape.entryBytes);
    this.#hashes = new Uint32Array(2 * GROUP_PAGES * this.#shape.entriesPerPage);
  }

  /** End with `finish` or `abort`. */
  static async begin(backend: Backend, sealer: Sealer, options: SegmentOptions): Promise<SegmentWriter> {
    const id = asSegmentId(Uint8Array.from((options.random ?? randomBytes)(SEGMENT_ID_BYTES)));
    const writer = await backend.begin(segmentName(id));
    const segment = new SegmentWriter(writer, sealer.fileSeal(SEGMENT_PURPOSE, id), id, options);
    segment.#put(encodeSegmentHeader(id));
    return segment;
  }

  /**
   * Entries must ascend by prefix, pack and ordinal. Await the result where there is one.
   * @param offset - where the id, or its first 20 bytes, begins in `bytes`; copied.
   */
  add(bytes: Buffer, offset: number, pack: number, ordinal: number): Promise<void> | undefined {
    const { packBytes, ordinalBytes, entryBytes } = this.#shape;
    const at = this.#pageLength;
    bytes.copy(this.#page, at, offset, offset + PREFIX_BYTES);
    this.#page.writeUIntBE(pack, at + PREFIX_BYTES, packBytes);
    this.#page.writeUIntBE(ordinal, at + PREFIX_BYTES + packBytes, ordinalBytes);
    assert(
      at === 0 || this.#page.compare(this.#page, at - entryBytes, at, at, at + entryBytes) >= 0,
      "entries of a segment ascend",
    );
    if (at === 0) this.#fences.push(fenceOf(this.#page));
    this.#hashes[2 * this.#groupEntries] = this.#page.readUInt32BE(at + 8);
    this.#hashes[2 * this.#groupEntries + 1] = this.#page.readUInt32BE(at + 12);
    this.#groupEntries++;
    this.#entries++;
    this.#pageLength += entryBytes;
    if (this.#pageLength < this.#page.length) return undefined;
    this.#endPage();
    if (this.#groupPages === GROUP_PAGES) this.#endGroup();
    return this.#write();
  }

  /** The segment is durable when the promise resolves. */
  async finish(): Promise<WrittenSegment> {
    if (this.#pageLength > 0) this.#endPage();
    if (this.#groupPages > 0) this.#endGroup();
    const { packBytes, ordinalBytes } = this.#shape;
    const shape = new SegmentShape(packBytes, ordinalBytes, this.#entries);
    const directoryOffset = this.#storedBytes;
    assert(
      directoryOffset === shape.pagesEnd && this.#fences.length === shape.pageCount,
      "a segment's pages lie where readers look for them",
    );
    const { packs, replaces } = this.#options;
    const fences = Float64Array.from(this.#fences);
    const directory = { packBytes, ordinalBytes, entries: this.#entries, packs, replaces, fences };
    const sealed = this.#seal.seal(0, encodeSegmentDirectory(directory));
    this.#put(sealed);
    this.#put(encodeSegmentFooter(this.#id, { directoryOffset, directoryBytes: sealed.length }));
    await this.#write();
    await this.#writer.commit();
    assert(
      this.#storedBytes === directoryOffset + sealed.length + SEGMENT_FOOTER_BYTES &&
        directoryOffset >= SEGMENT_HEADER_BYTES,
      "a segment's length adds up",
    );
    return { id: this.#id, entries: this.#entries, storedBytes: this.#storedBytes };
  }

  async abort(): Promise<void> {
    await this.#writer.abort();
  }

  #endPage(): void {
    this.#put(this.#seal.seal(this.#part++, this.#page.subarray(0, this.#pageLength)));
    this.#pageLength = 0;
    this.#groupPages++;
  }

  #endGroup(): void {
    const filter = Buffer.alloc(filterBytes(this.#groupEntries));
    for (let i = 0; i < this.#groupEntries; i++)
      addToFilter(filter, this.#hashes[2 * i] as number, this.#hashes[2 * i + 1] as number);
    this.#put(this.#seal.seal(this.#part++, filter));
    this.#groupPages = 0;
    this.#groupEntries = 0;
  }

  #put(bytes: Buffer): void {
    this.#pending.push(bytes);
    this.#storedBytes += bytes.length;
  }

  async #write(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const bytes of pending) await this.#writer.append(bytes);
  }
}
