/**
 * Where an object lies. Three sources, each enough for what it covers: the loose table in memory (packs that no
 * segment covers), the object index (when a writer of ours holds it), the segments. An entry counts only if its
 * pack is live. Answers are places to look at, not proof: the pack's directory has the whole id.
 */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { AttachedIndex } from "./attached-index.ts";
import { type CopiedObject, findCopies } from "./lookup-copies.ts";
import { LookupDirectories } from "./lookup-directories.ts";
import { LookupIndex } from "./lookup-index.ts";
import { LoosePacks } from "./lookup-loose.ts";
import { LookupPacks, type PackSlot } from "./lookup-packs.ts";
import { LookupSegments } from "./lookup-segments.ts";
import { LookupTrust } from "./lookup-trust.ts";
import type { ObjectIndex } from "./object-index.ts";
import type { PackDirectory } from "./pack-directory.ts";
import { PACKS_PREFIX, type PackId, type PackKind, parsePackName } from "./pack-types.ts";
import type { Sealer } from "./sealer.ts";
import type { Segment } from "./segment.ts";
import { mergeSegments, planMerge } from "./segment-merge.ts";
import type { Vouching } from "./vouching.ts";

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

export class Lookup {
  readonly packs = new LookupPacks();
  readonly #options: LookupOptions;
  readonly #segments: LookupSegments;
  readonly #directories: LookupDirectories;
  readonly #trust: LookupTrust;
  #loose = new LoosePacks();
  /** What a flush under way is writing. */
  #frozen: LoosePacks | undefined;
  readonly #index: AttachedIndex;
  #generation = 0;
  #flushedBytes = 0;
  #isReady = false;
  #isStale = false;
  /** Refresh, flush and merge come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LookupOptions) {
    this.#options = options;
    this.#segments = new LookupSegments(options);
    this.#index = new AttachedIndex(options.log);
    const trust = new LookupTrust(this.packs, options.sealer);
    this.#trust = trust;
    this.#directories = new LookupDirectories(options, (pack, seal) => trust.opened(pack, seal));
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
    if (this.#isReady) return;
    await this.#exclusively(async () => {
      if (!this.#isReady) await this.#refresh();
    });
  }

  /** Packs that may be read, but count as absent for deduplication. @param marked - hex. */
  setMarked(marked: ReadonlySet<string>): void {
    this.#trust.setMarked(marked);
  }

  /** From now on nothing counts for deduplication but what `vouching` lets count. */
  setVouching(vouching: Vouching): void {
    this.#trust.setVouching(vouching);
  }

  /** Of all segments that were made of what was loose; merged ones do not count. */
  get flushedBytes(): number {
    return this.#flushedBytes;
  }

  /** Grows whenever entries have moved from memory into a segment: a miss from before must be asked again. */
  get generation(): number {
    return this.#generation;
  }

  get looseEntries(): number {
    return this.#loose.entries;
  }

  get segments(): readonly Segment[] {
    return this.#segments.current;
  }

  /** Whether no segment covers it: it is in memory, or its directory cannot be read. */
  isUncovered(pack: PackSlot): boolean {
    return this.#loose.has(pack) || this.#frozen?.has(pack) === true || pack.unreadable !== undefined;
  }

  /** What is told of in several live packs, in one pass over everything. Nothing may be stored meanwhile. */
  copies(): AsyncGenerator<CopiedObject> {
    return findCopies(this.segments, this.packs, this.#loose.sorted());
  }

  get index(): LookupIndex | undefined {
    return this.#index.current;
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
  async addPack(
    packId: PackId,
    packKind: PackKind,
    directory: PackDirectory,
    isRemembered = false,
  ): Promise<void> {
    const pack = this.packs.take(packId);
    this.#trust.wrote(pack, isRemembered);
    this.#loose.add(pack, packKind, directory);
    await this.#index.use((index) => index.addPack(packId, directory));
  }

  /** Whether the loose table has it in a pack that is not marked: no waiting. */
  isLoose(id: Uint8Array): boolean {
    for (const { pack } of this.#looseCandidates(id)) if (this.#trust.countsLoose(pack)) return true;
    return false;
  }

  /** Every place that is told of, the nearest first; some may be told twice. */
  async *candidates(id: Uint8Array): AsyncGenerator<Candidate> {
    yield* this.#looseCandidates(id);
    const [hit] = (await this.#index.use((index) => index.find([id]))) ?? [];
    if (hit !== undefined && hit !== "absent" && hit.pack.live) yield hit;
    yield* await this.#inSegments(id);
  }

  /** For each id whether a live pack that is not marked has it. An index that is there is believed when it says no. */
  async known(ids: readonly Uint8Array[]): Promise<boolean[]> {
    if (this.#isAllLoose()) return ids.map((id) => this.isLoose(id));
    const hits = await this.#index.use((index) => index.find(ids));
    const known: boolean[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as Uint8Array;
      const hit = hits?.[i];
      if (hit === "absent") known.push(this.isLoose(id));
      else if (hit?.pack.live === true && (await this.#trust.counts(hit, id))) known.push(true);
      else known.push(this.isLoose(id) || (await this.#someCounts(id)));
    }
    return known;
  }

  async #someCounts(id: Uint8Array): Promise<boolean> {
    for (const candidate of await this.#inSegments(id))
      if (await this.#trust.counts(candidate, id)) return true;
    return false;
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
      await attached.catchUp(this.segments, (pack) => this.#directories.open(pack), onProgress);
      this.#index.attach(attached);
    });
  }

  detachIndex(): Promise<void> {
    return this.#index.detach();
  }

  /** Forgets all segments, as if there were none: after a `refresh` everything is told from the packs. */
  forgetSegments(): Promise<void> {
    return this.#exclusively(async () => this.#segments.forget());
  }

  async #refresh(options: RefreshOptions = {}): Promise<void> {
    this.#isStale = false;
    for (let attempt = 0; ; attempt++) {
      // Segments first: what they cover was durable before, and is in the list of packs then.
      const ids = await this.#segments.list();
      const slotsBefore = this.packs.count;
      const live = new Set<PackSlot>();
      for await (const { name } of this.#options.backend.list(PACKS_PREFIX)) {
        const packId = parsePackName(name);
        if (packId !== undefined) live.add(this.packs.take(packId));
      }
      if (await this.#segments.use(ids)) {
        this.packs.setLive(live, slotsBefore);
        break;
      }
      if (attempt >= RELISTS_MAX)
        throw new CyrvaultError("IO", "the segments change faster than they can be read");
    }
    for (const { packs } of this.segments)
      for (const { packId, packKind, objects } of packs)
        Object.assign(this.packs.take(packId), { packKind, objects });
    await this.#readUncovered(options);
    this.#isReady = true;
  }

  /** Brings packs that no segment covers into the loose table. */
  async #readUncovered(options: RefreshOptions = {}): Promise<void> {
    await this.#directories.openAll(
      this.#uncovered(),
      (pack, { packKind, directory }) => {
        if (this.#loose.has(pack)) return;
        this.#loose.add(pack, packKind, directory);
        options.onProgress?.(directory.objectCount);
      },
      async () => {
        if (options.mayWrite === true && this.looseEntries >= LOOSE_ENTRIES_MAX) await this.#flush();
      },
    );
  }

  /** Live packs of which nothing is known yet. */
  #uncovered(): PackSlot[] {
    const covered = new Set<PackSlot>();
    for (const { packs } of this.segments)
      for (const { packId } of packs) covered.add(this.packs.take(packId));
    return [...this.packs.live()].filter(
      (pack) =>
        !covered.has(pack) &&
        !this.#loose.has(pack) &&
        this.#frozen?.has(pack) !== true &&
        pack.unreadable === undefined,
    );
  }

  /** A first backup: nobody but the loose table can know anything. Older packs come first, so a no is quick. */
  #isAllLoose(): boolean {
    for (const pack of this.packs.live())
      if (!this.#loose.has(pack) && this.#frozen?.has(pack) !== true) return false;
    return true;
  }

  *#looseCandidates(id: Uint8Array): Generator<Candidate> {
    yield* this.#loose.find(id);
    if (this.#frozen !== undefined) yield* this.#frozen.find(id);
  }

  async #inSegments(id: Uint8Array): Promise<Candidate[]> {
    for (;;) {
      const { segments } = this;
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
        if (this.segments === segments) await this.#refresh();
      });
      return;
    }
    await this.#exclusively(() => this.#doWithoutBlamed(error, segments));
  }

  async #doWithoutBlamed(error: unknown, segments: readonly Segment[]): Promise<void> {
    const damaged = this.#segments.blamedBy(error);
    if (damaged === undefined) {
      // Somebody else may have done without it already.
      if (this.segments === segments) throw error;
      return;
    }
    this.#segments.doWithout(damaged);
    try {
      await this.#readUncovered();
    } catch (failure) {
      this.#segments.putBack(damaged);
      throw failure;
    }
  }

  async #flush(): Promise<void> {
    const { backend, sealer } = this.#options;
    const frozen = this.#loose;
    if (!frozen.isEmpty) {
      this.#frozen = frozen;
      this.#loose = new LoosePacks();
      try {
        const replaces = this.#uncovered().length === 0 ? this.#segments.damaged : [];
        const { id, storedBytes } = await frozen.write(backend, sealer, replaces);
        this.#flushedBytes += storedBytes;
        await this.#segments.add(id);
        this.#generation++;
      } catch (error) {
        this.#loose.addAll(frozen);
        throw error;
      } finally {
        this.#frozen = undefined;
      }
    }
    if (this.#uncovered().length === 0) await this.#segments.removeDamaged();
  }

  async #merge(): Promise<void> {
    const { backend, sealer } = this.#options;
    await this.#segments.tidy();
    const { segments } = this;
    const chosen = planMerge(segments);
    if (chosen.length === 0) return;
    try {
      const isLive = ({ packId }: { packId: PackId }) => this.packs.take(packId).live;
      const { id } = await mergeSegments(backend, sealer, chosen, isLive);
      await this.#segments.add(id, chosen);
    } catch (error) {
      // Somebody else has merged: the next commit sees what is left to do.
      if (isCyrvaultError(error, "OBJECT_MISSING")) return await this.#refresh();
      await this.#doWithoutBlamed(error, segments);
      return await this.#flush();
    }
    await this.#segments.tidy();
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
