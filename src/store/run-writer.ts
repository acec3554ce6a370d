/**
 * What a run stores. One coordinator uses it; workers build packs elsewhere and hand over their bytes. It answers
 * which objects are new, keeps the claims of those under way, and makes finished packs findable.
 */
import type { Backend, BackendWriter } from "../backend/backend.ts";
import { assert } from "../base/errors.ts";
import type { Compression } from "./codec.ts";
import { LOOSE_ENTRIES_MAX, type Lookup } from "./lookup.ts";
import { LookupTable } from "./lookup-table.ts";
import type { ObjectId, ObjectKind } from "./object.ts";
import { ObjectHasher } from "./object-id.ts";
import type { PackDirectory } from "./pack-directory.ts";
import { type BlockLane, type PackId, type PackKind, packName } from "./pack-types.ts";
import { PackWriter } from "./pack-writer.ts";
import type { SealContext } from "./seal-context.ts";

const NO_BYTES = new Uint8Array(0);
/** A claim that only its claimer relies on; one that others were told of; one given back of which others were told. */
const CLAIMED = 1;
const SHARED = 2;
const OWED = 3;

/** One pack, in the order of its bytes. Calls may not overlap. */
export interface PackSink {
  /** The bytes may be reused once the promise has resolved. */
  append(bytes: Uint8Array): Promise<void>;
  /** When it resolves, the pack is durable and its objects can be found. */
  commit(directory: PackDirectory): Promise<void>;
  /**
   * Leaves nothing behind. Does nothing after `commit`.
   * @param claimed - ids claimed for this pack: they are given back (`RunWriter.release`).
   */
  abort(claimed?: readonly ObjectId[]): Promise<void>;
}

interface MetaPack {
  readonly writer: PackWriter;
  readonly sink: PackSink;
}

export interface KindStats {
  /** Claimed. */
  readonly objects: number;
  /** In finished packs, as stored before compression (a message: what is its own). */
  readonly bytes: number;
}

export interface RunStats {
  readonly newObjects: number;
  readonly newBytes: number;
  /** Bytes of packs, unfinished ones included. */
  readonly storedBytes: number;
  /** Of segments made of what was stored; merging them does not count. */
  readonly segmentBytes: number;
  readonly packs: number;
  readonly kinds: Readonly<Record<ObjectKind, KindStats>>;
}

export class RunWriter {
  readonly #backend: Backend;
  readonly #context: SealContext;
  readonly #lookup: Lookup;
  readonly #compression: Compression;
  readonly #hasher: ObjectHasher;
  readonly #onProgress: () => void;
  /** Ids claimed and not yet in a finished pack. */
  readonly #claims = new LookupTable();
  readonly #open = new Set<BackendWriter>();
  readonly #kinds: Record<ObjectKind, { objects: number; bytes: number }> = {
    data: { objects: 0, bytes: 0 },
    message: { objects: 0, bytes: 0 },
    meta: { objects: 0, bytes: 0 },
    manifest: { objects: 0, bytes: 0 },
  };
  #storedBytes = 0;
  readonly #flushedBefore: number;
  #packs = 0;
  /** What the next run reads of this one, and what nobody but a restore does: in one pack, where whoever runs may read. */
  readonly #meta = new Map<"remembered" | "other", MetaPack>();
  #metaQueue: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  /** @param parts.onProgress - called after each finished pack. */
  constructor(parts: {
    readonly backend: Backend;
    readonly context: SealContext;
    readonly lookup: Lookup;
    readonly compression: Compression;
    readonly onProgress: () => void;
  }) {
    this.#backend = parts.backend;
    this.#context = parts.context;
    this.#lookup = parts.lookup;
    this.#compression = parts.compression;
    this.#onProgress = parts.onProgress;
    this.#hasher = new ObjectHasher(parts.context);
    this.#flushedBefore = parts.lookup.flushedBytes;
  }

  get stats(): RunStats {
    const kinds = { ...this.#kinds };
    const all = Object.values(kinds);
    return {
      newObjects: all.reduce((sum, { objects }) => sum + objects, 0),
      newBytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      storedBytes: this.#storedBytes,
      segmentBytes: this.#lookup.flushedBytes - this.#flushedBefore,
      packs: this.#packs,
      kinds,
    };
  }

  /** Ids that were claimed and are in no finished pack. */
  get openClaims(): number {
    return this.#claims.size;
  }

  /**
   * For each id: true when nobody has it: the caller has claimed it and must store it in this run. False when a
   * live pack has it, or somebody (the caller too, earlier in `ids`) has claimed it.
   */
  async claim(kind: ObjectKind, ids: readonly ObjectId[]): Promise<boolean[]> {
    this.#assertSound();
    const claimed: boolean[] = new Array(ids.length).fill(false);
    let open: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as ObjectId;
      if (this.#claims.find(id) >= 0) claimed[i] = this.#take(kind, id);
      else if (!this.#lookup.isLoose(id)) open.push(i);
    }
    while (open.length > 0) {
      const { generation } = this.#lookup;
      const known = await this.#lookup.known(open.map((i) => ids[i] as ObjectId));
      this.#assertSound();
      // While we waited, packs were finished, and what was in memory may have moved into a segment.
      const hasMoved = generation !== this.#lookup.generation;
      open = open.filter((i, n) => {
        const id = ids[i] as ObjectId;
        if (known[n] === true || this.#lookup.isLoose(id)) return false;
        if (hasMoved && this.#claims.find(id) < 0) return true;
        claimed[i] = this.#take(kind, id);
        return false;
      });
    }
    return claimed;
  }

  /** Gives claims back whose objects will not be stored: who claims one next must store it. */
  release(ids: readonly ObjectId[]): void {
    for (const id of ids) {
      const at = this.#claims.find(id);
      if (at < 0) continue;
      if (this.#claims.firstAt(at) === CLAIMED) this.#claims.removeAt(at);
      else this.#claims.setFirst(at, OWED);
    }
  }

  /**
   * Hashes, and stores if new, in a meta pack of the run's own.
   * @param bytes - at most 16 MiB; must not change until the promise resolves.
   */
  async put(kind: "meta" | "manifest", bytes: Uint8Array, lane: BlockLane = "text"): Promise<ObjectId> {
    const id = this.#hasher.id(kind, bytes);
    const [isNew] = await this.claim(kind, [id]);
    if (isNew === true) await this.#inMetaQueue(() => this.#addMeta(kind, id, bytes, lane));
    return id;
  }

  /** @param isRemembered - as its writer was told. */
  async beginPack(packId: PackId, packKind: PackKind, isRemembered = false): Promise<PackSink> {
    this.#assertSound();
    const writer = await this.#backend.begin(packName(packId));
    this.#open.add(writer);
    let isEnded = false;
    return {
      append: async (bytes) => {
        this.#assertSound();
        await writer.append(bytes);
        this.#storedBytes += bytes.length;
      },
      commit: async (directory) => {
        assert(!isEnded, "a pack ends once");
        this.#assertSound();
        await writer.commit();
        isEnded = true;
        this.#open.delete(writer);
        await this.#addPack(packId, packKind, directory, isRemembered);
      },
      abort: async (claimed = []) => {
        if (isEnded) return;
        isEnded = true;
        this.#open.delete(writer);
        this.release(claimed);
        await writer.abort();
      },
    };
  }

  /** Ends the run's meta packs. All finished packs are then durable, and in a segment and the object index. */
  async flush(): Promise<void> {
    this.#assertSound();
    await this.#inMetaQueue(() => this.#endMeta("other"));
    await this.#inMetaQueue(() => this.#endMeta("remembered"));
    await this.#lookup.flush();
  }

  /** Nothing can be stored any more; unfinished packs leave nothing behind. */
  async abort(): Promise<void> {
    this.#failure ??= new TypeError("cyrvault has a bug: a run is used after its end");
    await this.#metaQueue;
    const open = [...this.#open];
    this.#open.clear();
    for (const writer of open) await writer.abort();
  }

  /** The claim is the caller's, unless somebody holds it. */
  #take(kind: ObjectKind, id: ObjectId): boolean {
    const at = this.#claims.find(id);
    if (at >= 0 && this.#claims.firstAt(at) !== OWED) {
      this.#claims.setFirst(at, SHARED);
      return false;
    }
    if (at >= 0) this.#claims.setFirst(at, SHARED);
    else this.#claims.add(id, CLAIMED, 0);
    if (at < 0) this.#kinds[kind].objects++;
    return true;
  }

  async #addPack(
    packId: PackId,
    packKind: PackKind,
    directory: PackDirectory,
    isRemembered: boolean,
  ): Promise<void> {
    const added = this.#lookup.addPack(packId, packKind, directory, isRemembered);
    this.#packs++;
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
      const at = this.#claims.find(directory.idAt(ordinal));
      if (at >= 0) this.#claims.removeAt(at);
      const { headLength, tailLength } = directory.place(ordinal);
      this.#kinds[directory.kindAt(ordinal)].bytes += headLength + tailLength;
    }
    await added;
    if (this.#lookup.looseEntries >= LOOSE_ENTRIES_MAX) await this.#lookup.flushIfLarge();
    this.#onProgress();
  }

  async #addMeta(kind: ObjectKind, id: ObjectId, bytes: Uint8Array, lane: BlockLane): Promise<void> {
    const canRemember = this.#context.encrypted && this.#context.remembered !== undefined;
    const isRemembered = canRemember && (kind === "manifest" || lane === "mailbox");
    const which = isRemembered ? "remembered" : "other";
    let pack = this.#meta.get(which);
    if (pack === undefined) {
      const options = { packKind: "meta", compression: this.#compression, isRemembered } as const;
      const writer = new PackWriter(this.#context, options);
      pack = { writer, sink: await this.beginPack(writer.packId, "meta", isRemembered) };
      this.#meta.set(which, pack);
      await pack.sink.append(writer.header());
    }
    const { writer, sink } = pack;
    const block = writer.add({ kind, id, head: bytes, tail: NO_BYTES, references: [] }, lane);
    if (block !== undefined) await sink.append(block);
    if (writer.isFull) await this.#endMeta(which);
  }

  async #endMeta(which: "remembered" | "other"): Promise<void> {
    const pack = this.#meta.get(which);
    if (pack === undefined) return;
    const { writer, sink } = pack;
    await sink.append(writer.finish());
    await sink.commit(writer.directory());
    this.#meta.delete(which);
  }

  /** A meta pack that failed halfway has lost objects that were promised: the run is over then. */
  #inMetaQueue(work: () => Promise<void>): Promise<void> {
    const result = this.#metaQueue.then(async () => {
      this.#assertSound();
      try {
        await work();
      } catch (error) {
        this.#failure ??= error;
        throw error;
      }
    });
    this.#metaQueue = result.catch(() => undefined);
    return result;
  }

  #assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
