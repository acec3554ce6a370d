/**
 * Where an object lies. Three sources, each enough for what it covers: the loose table in memory (packs that no
 * segment covers), the object index (when a writer of ours holds it), the segments. An entry counts only if its
 * pack is live. Answers are places to look at, not proof: the pack's directory has the whole id.
 */
import type { Backend } from "../backend/backend.ts";
import { toHex } from "../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Cache } from "./cache.ts";
import { LookupIndex } from "./lookup-index.ts";
import { LookupPacks, type PackSlot } from "./lookup-packs.ts";
import { LookupTable } from "./lookup-table.ts";
import type { ObjectIndex } from "./object-index.ts";
import type { PackDirectory } from "./pack-directory.ts";
import { openPack } from "./pack-reader.ts";
import { PACKS_PREFIX, type PackId, type PackKind, parsePackName } from "./pack-types.ts";
import type { Sealer } from "./sealer.ts";
import { type PageCache, Segment } from "./segment.ts";
import { parseSegmentName, SEGMENTS_PREFIX, type SegmentId, segmentName } from "./segment-format.ts";
import { mergeSegments, planMerge } from "./segment-merge.ts";
import { SegmentWriter } from "./segment-writer.ts";

/** Packs whose directories are read at once. */
const BATCH = 8;
/** So many entries take 15 MB of memory, 22 while the table grows: time to make a segment of them. */
export const LOOSE_ENTRIES_MAX = 400_000;
/** A listing that names what is gone when it is opened is taken anew so often. */
const RELISTS_MAX = 5;

export interface LookupOptions {
  readonly backend: Backend;
  readonly sealer: Sealer;
  readonly log: Logger;
  /** For pages of segments. */
  readonly pageBytesMax: number;
}

export interface RefreshOptions {
  readonly mayWrite?: boolean;
  readonly onProgress?: (objects: number) => void;
}

export interface Candidate {
  readonly pack: PackSlot;
  readonly ordinal: number;
}

interface Loose {
  readonly table: LookupTable;
  readonly packs: Set<PackSlot>;
}

export class Lookup {
  readonly packs = new LookupPacks();
  readonly #options: LookupOptions;
  readonly #pages: PageCache;
  /** Replaced whole, never changed: who goes through them keeps what it began with. */
  #segments: readonly Segment[] = [];
  #damagedSegments = new Map<string, SegmentId>();
  /** Still there, although one that is in use replaces them: left over from a merge that broke off. */
  #superseded: readonly string[] = [];
  #loose: Loose = newLoose();
  /** What a flush under way is writing. */
  #frozen: Loose | undefined;
  #index: LookupIndex | undefined;
  #generation = 0;
  #isReady = false;
  #isStale = false;
  /** Refresh, flush and merge come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LookupOptions) {
    this.#options = options;
    this.#pages = new Cache(options.pageBytesMax, (page) => page.length);
  }

  /** Something was read that is newer than what was last looked at: a miss means little. */
  get isStale(): boolean {
    return this.#isStale;
  }

  markStale(): void {
    this.#isStale = true;
  }

  /** Looks what there is, unless that has been done before. */
  async ready(): Promise<void> {
    if (!this.#isReady) await this.refresh();
  }

  /** Packs that may be read, but count as absent for deduplication. @param marked - hex. */
  setMarked(marked: ReadonlySet<string>): void {
    for (const pack of this.packs.live()) pack.marked = marked.has(pack.hex);
  }

  /** Grows whenever entries have moved from memory into a segment: a miss from before must be asked again. */
  get generation(): number {
    return this.#generation;
  }

  get looseEntries(): number {
    return this.#loose.table.size;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  get index(): LookupIndex | undefined {
    return this.#index;
  }

  /** Packs whose directories cannot be read and that no segment covers: what they hold cannot be found. */
  *unreadablePacks(): Generator<PackSlot> {
    for (const pack of this.packs.live()) if (pack.unreadable !== undefined) yield pack;
  }

  /**
   * Looks again at what packs and segments there are.
   * @param options - `mayWrite`: where many packs are uncovered, segments are written on the way, so that memory
   *   stays bounded. Otherwise all of their entries are held. `onProgress`: objects read from directories.
   */
  refresh(options: RefreshOptions = {}): Promise<void> {
    return this.#exclusively(() => this.#refresh(options));
  }

  /** A pack that is durable. Its objects are found from now on. */
  async addPack(packId: PackId, packKind: PackKind, directory: PackDirectory): Promise<void> {
    this.#addLoose(this.packs.take(packId), packKind, directory);
    await this.#withIndex((index) => index.addPack(packId, directory));
  }

  /** Whether the loose table has it in a pack that is not marked: no waiting. */
  isLoose(id: Uint8Array): boolean {
    for (const { pack } of this.#looseCandidates(id)) if (!pack.marked) return true;
    return false;
  }

  /** Every place that is told of, the nearest first; some may be told twice. */
  async *candidates(id: Uint8Array): AsyncGenerator<Candidate> {
    yield* this.#looseCandidates(id);
    const [hit] = (await this.#withIndex((index) => index.find([id]))) ?? [];
    if (hit !== undefined && hit !== "absent" && hit.pack.live) yield hit;
    yield* await this.#inSegments(id);
  }

  /** For each id whether a live pack that is not marked has it. An index that is there is believed when it says no. */
  async known(ids: readonly Uint8Array[]): Promise<boolean[]> {
    const hits = await this.#withIndex((index) => index.find(ids));
    const known: boolean[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as Uint8Array;
      const hit = hits?.[i];
      if (hit === "absent") known.push(this.isLoose(id));
      else if (hit?.pack.live === true && !hit.pack.marked) known.push(true);
      else known.push(this.isLoose(id) || (await this.#inSegments(id)).some(({ pack }) => !pack.marked));
    }
    return known;
  }

  /** Makes a segment of what is loose: durable and in use when the promise resolves. */
  flush(): Promise<void> {
    return this.#exclusively(() => this.#flush());
  }

  /** As `flush`, if there is so much that memory wants it. */
  flushIfLarge(): Promise<void> {
    if (this.looseEntries < LOOSE_ENTRIES_MAX) return Promise.resolve();
    return this.#exclusively(async () => {
      if (this.looseEntries >= LOOSE_ENTRIES_MAX) await this.#flush();
    });
  }

  /** Merges when there are too many segments, and removes what is superseded. Failures leave what there was. */
  merge(): Promise<void> {
    return this.#exclusively(() => this.#merge());
  }

  /** Uses this index from now on; first brings it up to the live packs. */
  attachIndex(index: ObjectIndex, onProgress?: (objects: number) => void): Promise<void> {
    return this.#exclusively(async () => {
      const attached = new LookupIndex(index, this.packs);
      await attached.catchUp(this.#segments, (pack) => this.#openDirectory(pack), onProgress);
      this.#index = attached;
    });
  }

  async detachIndex(): Promise<void> {
    const index = this.#index;
    this.#index = undefined;
    await index?.close();
  }

  /** Forgets all segments, as if there were none: everything is read from the packs. */
  forgetSegments(): Promise<void> {
    return this.#exclusively(async () => {
      for (const segment of this.#segments) this.#damagedSegments.set(segment.name, segment.id);
      this.#segments = [];
    });
  }

  async #refresh(options: RefreshOptions = {}): Promise<void> {
    const { backend } = this.#options;
    this.#isStale = false;
    for (let attempt = 0; ; attempt++) {
      const ids: SegmentId[] = [];
      for await (const { name } of backend.list(SEGMENTS_PREFIX)) {
        const id = parseSegmentName(name);
        if (id !== undefined && !this.#damagedSegments.has(name)) ids.push(id);
      }
      const live = new Set<string>();
      const slotsBefore = this.packs.count;
      for await (const { name } of backend.list(PACKS_PREFIX)) {
        const packId = parsePackName(name);
        if (packId !== undefined) live.add(this.packs.take(packId).hex);
      }
      const listed = this.packs.count;
      const segments = await this.#openSegments(ids);
      if (segments === undefined && attempt < RELISTS_MAX) continue;
      if (segments === undefined)
        throw new CyrvaultError("IO", "the segments change faster than they can be read");
      for (const hex of live) (this.packs.byHex(hex) as PackSlot).live = true;
      this.packs.setLive(live, Math.min(slotsBefore, listed));
      this.#segments = segments;
      break;
    }
    await this.#readUncovered(options);
    this.#isReady = true;
  }

  async #openSegments(ids: readonly SegmentId[]): Promise<Segment[] | undefined> {
    const { backend, sealer, log } = this.#options;
    const open = new Map(this.#segments.map((segment) => [segment.name, segment]));
    const segments: Segment[] = [];
    let isStale = false;
    await inBatches(ids, async (id) => {
      try {
        const known = open.get(segmentName(id));
        const segment = known ?? (await Segment.open(backend, sealer, id, this.#pages));
        if (segment === undefined) isStale = true;
        else segments.push(segment);
      } catch (error) {
        if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
        const name = segmentName(id);
        this.#damagedSegments.set(name, id);
        log.warning("a segment is damaged: its packs are read instead", {
          segment: name,
          reason: error.message,
        });
      }
    });
    if (isStale) return undefined;
    const replaced = new Set<string>();
    for (const segment of segments) for (const id of segment.replaces) replaced.add(toHex(id));
    const current = segments.filter(({ id }) => !replaced.has(toHex(id)));
    this.#superseded = segments.filter(({ id }) => replaced.has(toHex(id))).map(({ name }) => name);
    for (const segment of current)
      for (const { packId, packKind, objects } of segment.packs) {
        const slot = this.packs.take(packId);
        slot.packKind = packKind;
        slot.objects = objects;
      }
    return current;
  }

  /** Brings packs that no segment covers into the loose table. */
  async #readUncovered(options: RefreshOptions = {}): Promise<void> {
    await inBatches(
      this.#uncovered(),
      async (pack) => {
        const opened = await this.#openDirectory(pack);
        if (opened === undefined || this.#loose.packs.has(pack)) return;
        this.#addLoose(pack, opened.packKind, opened.directory);
        options.onProgress?.(opened.directory.objectCount);
      },
      async () => {
        if (options.mayWrite === true && this.looseEntries >= LOOSE_ENTRIES_MAX) await this.#flush();
      },
    );
  }

  /** Live packs of which nothing is known yet. */
  #uncovered(): PackSlot[] {
    const covered = new Set<PackSlot>();
    for (const { packs } of this.#segments)
      for (const { packId } of packs) covered.add(this.packs.take(packId));
    return [...this.packs.live()].filter(
      (pack) =>
        !covered.has(pack) &&
        !this.#loose.packs.has(pack) &&
        this.#frozen?.packs.has(pack) !== true &&
        pack.unreadable === undefined,
    );
  }

  /** Undefined for a pack that has gone or is damaged. */
  async #openDirectory(
    pack: PackSlot,
  ): Promise<{ packKind: PackKind; directory: PackDirectory } | undefined> {
    const { backend, sealer, log } = this.#options;
    try {
      const opened = await openPack(backend, pack.packId, sealer.context);
      if (opened === undefined) pack.live = false;
      return opened;
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      pack.unreadable = error;
      log.warning("a pack is damaged: what it holds cannot be found", {
        pack: pack.hex,
        reason: error.message,
      });
      return undefined;
    }
  }

  #addLoose(pack: PackSlot, packKind: PackKind, directory: PackDirectory): void {
    const { table, packs } = this.#loose;
    pack.live = true;
    pack.packKind = packKind;
    pack.objects = directory.objectCount;
    packs.add(pack);
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++)
      table.add(directory.idAt(ordinal), pack.slot, ordinal);
  }

  *#looseCandidates(id: Uint8Array): Generator<Candidate> {
    for (const loose of [this.#loose, this.#frozen]) {
      if (loose === undefined) continue;
      const { table } = loose;
      for (let at = table.find(id); at >= 0; at = table.findNext(id, at)) {
        const pack = this.packs.get(table.firstAt(at));
        if (pack.live) yield { pack, ordinal: table.secondAt(at) };
      }
    }
  }

  async #inSegments(id: Uint8Array): Promise<Candidate[]> {
    for (;;) {
      const segments = this.#segments;
      const found: Candidate[] = [];
      try {
        for (const segment of segments)
          for (const { pack, ordinal } of await segment.find(id)) {
            const slot = this.packs.take((segment.packs[pack] as { packId: PackId }).packId);
            if (slot.live) found.push({ pack: slot, ordinal });
          }
        return found;
      } catch (error) {
        await this.#segmentFailed(error, segments);
        // What the segment covered may be in memory now.
        const loose = [...this.#looseCandidates(id)];
        if (loose.length > 0) return loose;
      }
    }
  }

  /** One that has gone was replaced; a damaged one is done without. Anything else is thrown again. */
  async #segmentFailed(error: unknown, segments: readonly Segment[]): Promise<void> {
    if (isCyrvaultError(error, "OBJECT_MISSING")) {
      await this.#exclusively(async () => {
        if (this.#segments === segments) await this.#refresh();
      });
      return;
    }
    const name = isCyrvaultError(error, "REPOSITORY_DAMAGED") ? error.context["segment"] : undefined;
    const damaged = segments.find((segment) => segment.name === name);
    if (damaged === undefined) throw error;
    await this.#exclusively(() => this.#doWithout(damaged));
  }

  async #doWithout(damaged: Segment): Promise<void> {
    if (!this.#segments.includes(damaged)) return;
    this.#options.log.warning("a segment is damaged: its packs are read instead", { segment: damaged.name });
    this.#damagedSegments.set(damaged.name, damaged.id);
    const without = this.#segments;
    this.#segments = without.filter((segment) => segment !== damaged);
    try {
      await this.#readUncovered();
    } catch (error) {
      // Not done without after all: the next look-up tries again.
      this.#segments = without;
      this.#damagedSegments.delete(damaged.name);
      throw error;
    }
  }

  async #flush(): Promise<void> {
    const { backend, sealer } = this.#options;
    const frozen = this.#loose;
    if (frozen.packs.size > 0) {
      this.#frozen = frozen;
      this.#loose = newLoose();
      try {
        const packs = [...frozen.packs].sort((a, b) => a.slot - b.slot);
        const positions = new Map(packs.map((pack, position) => [pack.slot, position]));
        const writer = await SegmentWriter.begin(backend, sealer, {
          packs: packs.map(({ packId, packKind, objects }) => ({
            packId,
            packKind: packKind as PackKind,
            objects,
          })),
          replaces: this.#uncovered().length === 0 ? [...this.#damagedSegments.values()] : [],
        });
        try {
          for (const { bytes, offset, first, second } of frozen.table.sorted()) {
            const written = writer.add(bytes, offset, positions.get(first) as number, second);
            if (written !== undefined) await written;
          }
          const { id } = await writer.finish();
          const segment = await Segment.open(backend, sealer, id, this.#pages);
          if (segment === undefined) throw new CyrvaultError("IO", "a segment just written is not there");
          this.#segments = [...this.#segments, segment];
        } catch (error) {
          await writer.abort();
          throw error;
        }
      } catch (error) {
        this.#thaw(frozen);
        throw error;
      } finally {
        this.#frozen = undefined;
      }
      this.#generation++;
    }
    if (this.#damagedSegments.size === 0 || this.#uncovered().length > 0) return;
    await this.#removeSegments([...this.#damagedSegments.keys()]);
    this.#damagedSegments.clear();
  }

  #thaw(frozen: Loose): void {
    const { table, packs } = this.#loose;
    for (const pack of frozen.packs) packs.add(pack);
    for (const { bytes, offset, first, second } of frozen.table.sorted())
      table.add(bytes.subarray(offset), first, second);
  }

  async #merge(): Promise<void> {
    const { backend, sealer } = this.#options;
    await this.#removeSegments(this.#superseded);
    this.#superseded = [];
    const chosen = planMerge(this.#segments);
    if (chosen.length === 0) return;
    let merged: Segment | undefined;
    try {
      const isLive = ({ packId }: { packId: PackId }) => this.packs.take(packId).live;
      const { id } = await mergeSegments(backend, sealer, chosen, isLive);
      merged = await Segment.open(backend, sealer, id, this.#pages);
    } catch (error) {
      if (isCyrvaultError(error, "OBJECT_MISSING")) return await this.#refresh();
      const name = isCyrvaultError(error, "REPOSITORY_DAMAGED") ? error.context["segment"] : undefined;
      const damaged = chosen.find((segment) => segment.name === name);
      if (damaged === undefined) throw error;
      await this.#doWithout(damaged);
      return await this.#flush();
    }
    if (merged === undefined) return await this.#refresh();
    this.#segments = [...this.#segments.filter((segment) => !chosen.includes(segment)), merged];
    await this.#removeSegments(chosen.map(({ name }) => name));
  }

  async #removeSegments(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#options.backend.remove(name);
  }

  /** An index that fails is given up: the segments know the same. */
  async #withIndex<T>(use: (index: LookupIndex) => Promise<T>): Promise<T | undefined> {
    const index = this.#index;
    if (index === undefined) return undefined;
    try {
      return await use(index);
    } catch (error) {
      if (!isCyrvaultError(error, "IO")) throw error;
      this.#options.log.warning("the object index failed: segments are used", { reason: error.message });
      if (this.#index === index) await this.detachIndex();
      return undefined;
    }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function newLoose(): Loose {
  return { table: new LookupTable(), packs: new Set() };
}

async function inBatches<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  afterBatch?: () => Promise<void>,
): Promise<void> {
  for (let at = 0; at < items.length; at += BATCH) {
    await Promise.all(items.slice(at, at + BATCH).map(work));
    await afterBatch?.();
  }
}
