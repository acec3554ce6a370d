/** Many segments into one, in one pass over all of them, with one page of each in memory. */
import type { Backend } from "../backend/backend.ts";
import { toHex } from "../base/bytes.ts";
import type { Sealer } from "./sealer.ts";
import type { Segment } from "./segment.ts";
import { type CoveredPack, fenceOf, PREFIX_BYTES } from "./segment-format.ts";
import { SegmentWriter, type WrittenSegment } from "./segment-writer.ts";

/** More than so many are merged at a commit. */
export const SEGMENTS_MAX = 16;
const MERGE_MIN = 8;

/**
 * Which segments to merge: the smallest ones, and each larger one that is no larger than those before it together,
 * so that an entry is written anew only some log n times. Empty: nothing to do.
 */
export function planMerge<T extends { readonly entries: number }>(segments: readonly T[]): T[] {
  if (segments.length <= SEGMENTS_MAX) return [];
  const ascending = [...segments].sort((a, b) => a.entries - b.entries);
  const least = Math.max(MERGE_MIN, segments.length - SEGMENTS_MAX + 1);
  const chosen: T[] = [];
  let entries = 0;
  for (const segment of ascending) {
    if (chosen.length >= least && segment.entries > entries) break;
    chosen.push(segment);
    entries += segment.entries;
  }
  return chosen;
}

/**
 * Writes the segment that replaces all of `segments`. Does not remove them.
 * @param isLive - packs for which this is false are left out, and so are their entries.
 * @throws {CyrvaultError} as reading does; nothing is left behind then.
 */
export async function mergeSegments(
  backend: Backend,
  sealer: Sealer,
  segments: readonly Segment[],
  isLive: (pack: CoveredPack) => boolean,
): Promise<WrittenSegment> {
  const packs: CoveredPack[] = [];
  const positions = new Map<string, number>();
  const cursors = segments.map((segment) => {
    const mapping = segment.packs.map((pack) => {
      if (!isLive(pack)) return -1;
      const key = toHex(pack.packId);
      const known = positions.get(key);
      if (known !== undefined) return known;
      positions.set(key, packs.length);
      return packs.push(pack) - 1;
    });
    return new Cursor(segment, mapping);
  });
  const writer = await SegmentWriter.begin(backend, sealer, {
    packs,
    replaces: segments.map(({ id }) => id),
  });
  try {
    let open: Cursor[] = [];
    for (const cursor of cursors) if (await cursor.next()) open.push(cursor);
    const group = new Group();
    while (open.length > 0) {
      let least = open[0] as Cursor;
      for (let i = 1; i < open.length; i++) {
        const cursor = open[i] as Cursor;
        if (cursor.isBefore(least)) least = cursor;
      }
      if (!group.takes(least)) {
        const written = group.writeTo(writer);
        if (written !== undefined) await written;
        group.begin(least);
      }
      group.add(least);
      const more = least.advance() ?? (await least.next());
      if (!more) open = open.filter((cursor) => cursor !== least);
    }
    await group.writeTo(writer);
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** A place in one segment, moving through the entries of live packs. */
class Cursor {
  readonly #segment: Segment;
  readonly #mapping: readonly number[];
  page: Buffer = Buffer.alloc(0);
  offset = 0;
  fence = 0;
  /** In the merged segment's list. */
  pack = 0;
  ordinal = 0;
  #pageNumber = 0;

  constructor(segment: Segment, mapping: readonly number[]) {
    this.#segment = segment;
    this.#mapping = mapping;
  }

  /** To the next entry, reading as many pages as that takes; false at the end. */
  async next(): Promise<boolean> {
    for (;;) {
      if (this.#pageNumber >= this.#segment.pageCount) return false;
      this.page = await this.#segment.readPage(this.#pageNumber++);
      this.offset = -this.#segment.entryBytes;
      if (this.advance() === true) return true;
    }
  }

  /** To the next entry of this page; undefined at its end. */
  advance(): true | undefined {
    const { entryBytes } = this.#segment;
    for (;;) {
      this.offset += entryBytes;
      if (this.offset >= this.page.length) return undefined;
      const mapped = this.#mapping[this.#segment.packAt(this.page, this.offset)] as number;
      if (mapped < 0) continue;
      this.pack = mapped;
      this.ordinal = this.#segment.ordinalAt(this.page, this.offset);
      this.fence = fenceOf(this.page, this.offset);
      return true;
    }
  }

  isBefore(other: Cursor): boolean {
    if (this.fence !== other.fence) return this.fence < other.fence;
    return this.compare(other.page, other.offset) < 0;
  }

  /** The prefix here with that at `offset` of `bytes`. */
  compare(bytes: Buffer, offset: number): number {
    const { page, offset: here } = this;
    return page.compare(bytes, offset, offset + PREFIX_BYTES, here, here + PREFIX_BYTES);
  }
}

/** The entries of one id: from several segments they come in no particular order, and some come twice. */
class Group {
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #entries: { readonly pack: number; readonly ordinal: number }[] = [];

  takes(cursor: Cursor): boolean {
    return this.#entries.length > 0 && cursor.compare(this.#prefix, 0) === 0;
  }

  begin(cursor: Cursor): void {
    cursor.page.copy(this.#prefix, 0, cursor.offset, cursor.offset + PREFIX_BYTES);
    this.#entries = [];
  }

  add({ pack, ordinal }: Cursor): void {
    this.#entries.push({ pack, ordinal });
  }

  /** A promise only where there is something to wait for: millions of entries go through here. */
  writeTo(writer: SegmentWriter): Promise<void> | undefined {
    const only = this.#entries[0];
    if (only === undefined) return undefined;
    if (this.#entries.length === 1) return writer.add(this.#prefix, 0, only.pack, only.ordinal);
    return this.#writeAll(writer);
  }

  async #writeAll(writer: SegmentWriter): Promise<void> {
    this.#entries.sort((a, b) => a.pack - b.pack || a.ordinal - b.ordinal);
    let last: { readonly pack: number; readonly ordinal: number } | undefined;
    for (const entry of this.#entries) {
      if (entry.pack === last?.pack && entry.ordinal === last.ordinal) continue;
      last = entry;
      await writer.add(this.#prefix, 0, entry.pack, entry.ordinal);
    }
  }
}
