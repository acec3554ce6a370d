/** Objects that lie in several packs: one pass over all segments at once, with one page of each in memory. */
import type { LookupPacks, PackSlot } from "./lookup-packs.ts";
import type { Segment } from "./segment.ts";
import { type CoveredPack, fenceOf, PREFIX_BYTES } from "./segment-format.ts";

export interface CopyPlace {
  readonly pack: PackSlot;
  readonly ordinal: number;
}

/** Places that have the first 20 bytes of an id in common: what the packs' directories say of them decides. */
export type CopiedObject = readonly CopyPlace[];

interface LooseEntry extends CopyPlace {
  readonly bytes: Buffer;
  readonly offset: number;
}

/** Every one is told once. Those of packs that are not live are left out. */
export async function* findCopies(
  segments: readonly Segment[],
  packs: LookupPacks,
  loose: Iterator<LooseEntry>,
): AsyncGenerator<CopiedObject> {
  const all: Cursor[] = [
    new LooseCursor(loose),
    ...segments.map((segment) => new SegmentCursor(segment, packs)),
  ];
  let open: Cursor[] = [];
  for (const cursor of all) if (await cursor.next()) open.push(cursor);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  let places: CopyPlace[] = [];
  while (open.length > 0) {
    let least = open[0] as Cursor;
    for (let i = 1; i < open.length; i++) {
      const cursor = open[i] as Cursor;
      if (isBefore(cursor, least)) least = cursor;
    }
    if (places.length === 0 || compare(least, prefix, 0) !== 0) {
      if (places.length > 1) yield places;
      least.bytes.copy(prefix, 0, least.offset, least.offset + PREFIX_BYTES);
      places = [];
    }
    const { pack, ordinal } = least;
    // Two segments may cover one pack.
    if (!places.some((place) => place.pack === pack && place.ordinal === ordinal))
      places.push({ pack, ordinal });
    if (!(least.advance() || (await least.next()))) open = open.filter((cursor) => cursor !== least);
  }
  if (places.length > 1) yield places;
}

/** A place in a sorted list, moving through the entries of live packs. */
interface Cursor extends LooseEntry {
  readonly fence: number;
  /** To the next entry if that takes no waiting. */
  advance(): boolean;
  /** To the next entry; false at the end. */
  next(): Promise<boolean>;
}

class SegmentCursor implements Cursor {
  readonly #segment: Segment;
  readonly #slots: readonly PackSlot[];
  bytes: Buffer = Buffer.alloc(0);
  offset = 0;
  fence = 0;
  ordinal = 0;
  #pack = 0;
  #nextPage = 0;

  constructor(segment: Segment, packs: LookupPacks) {
    this.#segment = segment;
    this.#slots = segment.packs.map(({ packId }: CoveredPack) => packs.take(packId));
  }

  get pack(): PackSlot {
    return this.#slots[this.#pack] as PackSlot;
  }

  advance(): boolean {
    const { entryBytes } = this.#segment;
    for (;;) {
      this.offset += entryBytes;
      if (this.offset >= this.bytes.length) return false;
      this.#pack = this.#segment.packAt(this.bytes, this.offset);
      if (!this.pack.live) continue;
      this.ordinal = this.#segment.ordinalAt(this.bytes, this.offset);
      this.fence = fenceOf(this.bytes, this.offset);
      return true;
    }
  }

  async next(): Promise<boolean> {
    for (;;) {
      if (this.#nextPage >= this.#segment.pageCount) return false;
      this.bytes = await this.#segment.readPage(this.#nextPage++);
      this.offset = -this.#segment.entryBytes;
      if (this.advance()) return true;
    }
  }
}

class LooseCursor implements Cursor {
  readonly #entries: Iterator<LooseEntry>;
  #entry: LooseEntry | undefined;
  fence = 0;

  constructor(entries: Iterator<LooseEntry>) {
    this.#entries = entries;
  }

  get bytes(): Buffer {
    return (this.#entry as LooseEntry).bytes;
  }

  get offset(): number {
    return (this.#entry as LooseEntry).offset;
  }

  get pack(): PackSlot {
    return (this.#entry as LooseEntry).pack;
  }

  get ordinal(): number {
    return (this.#entry as LooseEntry).ordinal;
  }

  advance(): boolean {
    do this.#entry = this.#entries.next().value as LooseEntry | undefined;
    while (this.#entry?.pack.live === false);
    if (this.#entry === undefined) return false;
    this.fence = fenceOf(this.#entry.bytes, this.#entry.offset);
    return true;
  }

  async next(): Promise<boolean> {
    return this.#entry === undefined && this.advance();
  }
}

function isBefore(a: Cursor, b: Cursor): boolean {
  return a.fence === b.fence ? compare(a, b.bytes, b.offset) < 0 : a.fence < b.fence;
}

function compare(cursor: Cursor, bytes: Buffer, offset: number): number {
  const { bytes: own, offset: at } = cursor;
  return own.compare(bytes, offset, offset + PREFIX_BYTES, at, at + PREFIX_BYTES);
}
