/** Reads one segment from a backend. Holds its directory in memory, nothing open. Format: docs/formats/segment.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Cache } from "./cache.ts";
import type { FileSeal, Sealer } from "./sealer.ts";
import {
  type CoveredPack,
  decodeSegmentDirectory,
  decodeSegmentEnds,
  fenceOf,
  filterMayHold,
  GROUP_PAGES,
  type PagePlace,
  PREFIX_BYTES,
  SEGMENT_FOOTER_BYTES,
  SEGMENT_HEADER_BYTES,
  SEGMENT_PURPOSE,
  type SegmentDirectory,
  type SegmentId,
  SegmentShape,
  segmentName,
} from "./segment-format.ts";

/** Pages of all segments of a repository, opened. */
export type PageCache = Cache<string, Buffer>;

export interface SegmentEntry {
  /** Position in the segment's list of packs. */
  readonly pack: number;
  readonly ordinal: number;
}

export class Segment {
  readonly id: SegmentId;
  readonly name: string;
  readonly fileBytes: number;
  readonly #directory: SegmentDirectory;
  readonly #shape: SegmentShape;
  readonly #backend: Backend;
  readonly #seal: FileSeal;
  readonly #pages: PageCache;

  private constructor(
    id: SegmentId,
    fileBytes: number,
    directory: SegmentDirectory,
    backend: Backend,
    seal: FileSeal,
    pages: PageCache,
  ) {
    this.id = id;
    this.name = segmentName(id);
    this.fileBytes = fileBytes;
    this.#directory = directory;
    this.#shape = new SegmentShape(directory.packBytes, directory.ordinalBytes, directory.entries);
    this.#backend = backend;
    this.#seal = seal;
    this.#pages = pages;
  }

  /**
   * @returns undefined: no such segment.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `REPOSITORY_VERSION`.
   */
  static async open(
    backend: Backend,
    sealer: Sealer,
    id: SegmentId,
    pages: PageCache,
  ): Promise<Segment | undefined> {
    const name = segmentName(id);
    const fileBytes = await backend.size(name);
    if (fileBytes === undefined) return undefined;
    if (fileBytes < SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES)
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: too short for a segment`);
    const header = await backend.readRange(name, 0, SEGMENT_HEADER_BYTES);
    const footer = await backend.readRange(name, fileBytes - SEGMENT_FOOTER_BYTES, SEGMENT_FOOTER_BYTES);
    if (header === undefined || footer === undefined) return undefined;
    const ends = decodeSegmentEnds(id, header, footer, fileBytes);
    const sealed = await backend.readRange(name, ends.directoryOffset, ends.directoryBytes);
    if (sealed === undefined) return undefined;
    const seal = sealer.fileSeal(SEGMENT_PURPOSE, id);
    const directory = decodeSegmentDirectory(seal.open(0, sealed), name);
    const segment = new Segment(id, fileBytes, directory, backend, seal, pages);
    if (segment.#shape.pagesEnd !== ends.directoryOffset)
      throw new CyrvaultError(
        "REPOSITORY_DAMAGED",
        `${name}: the pages do not end where the directory begins`,
      );
    return segment;
  }

  get entries(): number {
    return this.#directory.entries;
  }

  get packs(): readonly CoveredPack[] {
    return this.#directory.packs;
  }

  get replaces(): readonly SegmentId[] {
    return this.#directory.replaces;
  }

  get pageCount(): number {
    return this.#shape.pageCount;
  }

  /**
   * All entries of this id.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `OBJECT_MISSING`: the segment's file has gone.
   */
  async find(id: Uint8Array): Promise<readonly SegmentEntry[]> {
    const fence = fenceOf(id);
    const { fences } = this.#directory;
    let first = Math.max(0, lowerBound(fences, fence) - 1);
    let found: SegmentEntry[] | undefined;
    for (; first < fences.length && (fences[first] as number) <= fence; first++) {
      const filter = await this.#page(this.#shape.filterPage(Math.floor(first / GROUP_PAGES)));
      if (!filterMayHold(filter, id)) continue;
      const page = await this.#page(this.#shape.dataPage(first));
      for (const entry of this.#findInPage(page, id)) {
        found ??= [];
        found.push(entry);
      }
    }
    return found ?? NONE;
  }

  /** Opened and not kept: for reading a segment through. */
  async readPage(page: number): Promise<Buffer> {
    return await this.#load(this.#shape.dataPage(page));
  }

  get entryBytes(): number {
    return this.#shape.entryBytes;
  }

  packAt(page: Buffer, offset: number): number {
    const pack = page.readUIntBE(offset + PREFIX_BYTES, this.#shape.packBytes);
    if (pack >= this.packs.length) throw this.#damaged("an entry names no pack");
    return pack;
  }

  ordinalAt(page: Buffer, offset: number): number {
    return page.readUIntBE(offset + PREFIX_BYTES + this.#shape.packBytes, this.#shape.ordinalBytes);
  }

  *#findInPage(page: Buffer, id: Uint8Array): Generator<SegmentEntry> {
    const { entryBytes } = this.#shape;
    const count = page.length / entryBytes;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePrefix(page, middle * entryBytes, id) < 0) low = middle + 1;
      else high = middle;
    }
    for (; low < count && comparePrefix(page, low * entryBytes, id) === 0; low++) {
      const pack = this.packAt(page, low * entryBytes);
      const ordinal = this.ordinalAt(page, low * entryBytes);
      if (ordinal >= (this.packs[pack] as CoveredPack).objects)
        throw this.#damaged("an entry names no object of its pack");
      yield { pack, ordinal };
    }
  }

  #page(place: PagePlace): Promise<Buffer> {
    return this.#pages.get(`${this.name}#${place.part}`, () => this.#load(place));
  }

  async #load(place: PagePlace): Promise<Buffer> {
    const sealed = await this.#backend.readRange(this.name, place.offset, place.storedBytes);
    if (sealed === undefined)
      throw new CyrvaultError("OBJECT_MISSING", `${this.name}: the segment has gone since it was opened`);
    try {
      return this.#seal.open(place.part, sealed);
    } catch (cause) {
      throw new CyrvaultError("REPOSITORY_DAMAGED", `${this.name}: a page is damaged`, {
        context: { segment: this.name, part: place.part },
        cause,
      });
    }
  }

  #damaged(why: string): CyrvaultError {
    return new CyrvaultError("REPOSITORY_DAMAGED", `${this.name}: ${why}`, {
      context: { segment: this.name },
    });
  }
}

const NONE: readonly SegmentEntry[] = [];

function comparePrefix(page: Buffer, offset: number, id: Uint8Array): number {
  return page.compare(id, 0, PREFIX_BYTES, offset, offset + PREFIX_BYTES);
}

/** The first position whose value is not below `value`. */
function lowerBound(values: Float64Array, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
