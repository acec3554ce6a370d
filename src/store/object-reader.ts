/**
 * Objects out of the repository. Each is hashed and compared with its id before it is handed out; where a copy is
 * damaged or has gone, the next one serves.
 */
import type { Backend } from "../backend/backend.ts";
import { toHex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { BlockUsage } from "./block-usage.ts";
import { Cache } from "./cache.ts";
import type { Lookup } from "./lookup.ts";
import type { PackSlot } from "./lookup-packs.ts";
import { beginMessage, type StoredMessage } from "./message-stream.ts";
import type { AssembleMessage, ObjectId, ObjectKind } from "./object.ts";
import { ObjectHasher } from "./object-id.ts";
import { RecentPlaces } from "./object-reader-recent.ts";
import { type OpenedPack, openPack, readBlock } from "./pack-reader.ts";
import type { PackKind } from "./pack-types.ts";
import type { SealContext } from "./seal-context.ts";

const MIB = 1024 * 1024;
/** A miss makes us look again what packs there are, but not at every miss. */
const REFRESH_AFTER_MS = 1000;

export interface ObjectReaderOptions {
  /** Raw blocks kept in memory. Default 16 MiB. */
  readonly blockCacheBytes?: number;
  /** Directories of packs kept in memory. Default 24 MiB. */
  readonly directoryCacheBytes?: number;
}

export interface ObjectInfo {
  /** Hex. */
  readonly pack: string;
  readonly packKind: PackKind;
  readonly ordinal: number;
  readonly block: number;
  /** Of the object in its stored form, before compression. */
  readonly headLength: number;
  readonly tailLength: number;
  readonly references: readonly ObjectId[];
  readonly blockStoredBytes: number;
  readonly blockRawBytes: number;
  /** The object's share of its block as stored. */
  readonly storedBytes: number;
}

/** Where one copy of an object lies, by its pack's directory. */
export interface ObjectCopy {
  readonly pack: OpenedPack;
  /** The pack's id. */
  readonly hex: string;
  readonly ordinal: number;
}

interface Stored {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly references: readonly ObjectId[];
}

export class ObjectReader {
  readonly #backend: Backend;
  readonly #context: SealContext;
  readonly #lookup: Lookup;
  readonly #assemble: AssembleMessage;
  readonly #clock: Clock;
  readonly #hasher: ObjectHasher;
  readonly #packs: Cache<string, OpenedPack>;
  readonly #blocks: Cache<string, Buffer>;
  readonly #recent = new RecentPlaces();
  /** Counts on as long as this lives; whoever opens blocks elsewhere for the same purpose adds them. */
  readonly usage = new BlockUsage();
  #lastRefreshMs = Number.NEGATIVE_INFINITY;

  constructor(
    parts: {
      readonly backend: Backend;
      readonly context: SealContext;
      readonly lookup: Lookup;
      readonly assemble: AssembleMessage;
      readonly clock: Clock;
    },
    options: ObjectReaderOptions = {},
  ) {
    this.#backend = parts.backend;
    this.#context = parts.context;
    this.#lookup = parts.lookup;
    this.#assemble = parts.assemble;
    this.#clock = parts.clock;
    this.#hasher = new ObjectHasher(parts.context);
    this.#packs = new Cache(
      options.directoryCacheBytes ?? 24 * MIB,
      ({ directory }) => directory.memoryBytes,
    );
    this.#blocks = new Cache(options.blockCacheBytes ?? 16 * MIB, (block) => block.length);
  }

  /** Whether a live pack's directory names it. Reads no block. */
  async has(kind: ObjectKind, id: ObjectId): Promise<boolean> {
    return (await this.info(kind, id)) !== undefined;
  }

  /**
   * Where it lies; undefined when no live pack has it. Reads no block.
   * @throws {CyrvaultError} `REPOSITORY_DAMAGED`: the only places that are told of cannot be read.
   */
  async info(kind: ObjectKind, id: ObjectId): Promise<ObjectInfo | undefined> {
    const info = await this.#withCopies(kind, id, async ({ pack, hex, ordinal }) => {
      const { directory, packKind } = pack;
      const { block, headLength, tailLength } = directory.place(ordinal);
      const { storedBytes, rawBytes } = directory.blockAt(block);
      return {
        pack: hex,
        packKind,
        ordinal,
        block,
        headLength,
        tailLength,
        references: directory.referencesAt(ordinal),
        blockStoredBytes: storedBytes,
        blockRawBytes: rawBytes,
        storedBytes: rawBytes === 0 ? 0 : ((headLength + tailLength) * storedBytes) / rawBytes,
      };
    });
    return info;
  }

  /**
   * A copy of it, the nearest; undefined when none can be told of, also because of damage: `stream` and `get` say what.
   * Reads no block.
   */
  async locate(kind: ObjectKind, id: ObjectId): Promise<ObjectCopy | undefined> {
    await this.#lookup.ready();
    for await (const copy of this.#copies(kind, id, () => {})) return copy;
    return undefined;
  }

  /** As `locate`, if it is where the one asked for before lets us guess: no waiting. */
  locateNear(kind: ObjectKind, id: ObjectId): ObjectCopy | undefined {
    const near = this.#recent.guess(id, (hex) => this.#packs.peek(hex));
    return near?.pack.directory.kindAt(near.ordinal) === kind ? near : undefined;
  }

  /**
   * The plaintext, verified, in a buffer of its own. For a message: the whole message, so ask for large ones with `stream`.
   * @throws {CyrvaultError} `OBJECT_MISSING`; `REPOSITORY_DAMAGED`: no sound copy.
   */
  async get(kind: ObjectKind, id: ObjectId): Promise<Buffer> {
    if (kind !== "message") return Buffer.from(await this.#getPlain(kind, id));
    const parts: Uint8Array[] = [];
    for await (const part of this.stream(kind, id)) parts.push(Buffer.from(part));
    return Buffer.concat(parts);
  }

  /**
   * The plaintext in stretches; each is good until the next one is asked for. A message of up to 16 MiB is verified
   * before the first stretch; of a larger one the last stretch is held back until the whole has been verified.
   * @throws {CyrvaultError} as `get`; at the end of a large message too: what came before is then worthless.
   */
  async *stream(kind: ObjectKind, id: ObjectId): AsyncGenerator<Uint8Array, void, undefined> {
    if (kind !== "message") {
      yield await this.#getPlain(kind, id);
      return;
    }
    let begun = await this.#withCopies(kind, id, async (copy) => {
      return await beginMessage(await this.#storedMessage(id, copy), this.#assemble, this.#hasher);
    });
    if (begun === undefined) throw missing(kind, id);
    yield* begun.held;
    const { rest } = begun;
    begun = undefined;
    if (rest !== undefined) yield* rest;
  }

  /**
   * A message's stretches as they come, from sealed blocks but not compared with its id: for a look at its beginning,
   * which costs nothing of what comes after. Never for giving a message back.
   * @throws {CyrvaultError} as `get`.
   */
  async *peek(id: ObjectId): AsyncGenerator<Uint8Array, void, undefined> {
    const stored = await this.#withCopies("message", id, (copy) => this.#storedMessage(id, copy));
    if (stored === undefined) throw missing("message", id);
    yield* this.#assemble(stored.head, stored.tail, (position) => stored.loadPart(position));
  }

  /** Drops what is in memory. */
  clear(): void {
    this.#packs.clear();
    this.#blocks.clear();
  }

  async #storedMessage(id: ObjectId, copy: ObjectCopy): Promise<StoredMessage> {
    const { head, tail, references } = await this.#readStored(copy);
    const loadPart: StoredMessage["loadPart"] = async (position, onOwn) => {
      const reference = references[position];
      if (reference === undefined)
        throw damaged("message", id, `it refers to part ${position} of ${references.length}`);
      return await this.#getPlain("data", reference, onOwn);
    };
    return { id, head, tail, loadPart };
  }

  /** A view into a block in the cache, or in the one that `onOwn` is given. */
  async #getPlain(kind: ObjectKind, id: ObjectId, onOwn?: (block: Buffer) => void): Promise<Buffer> {
    const plain = await this.#withCopies(kind, id, async (copy) => {
      let own: Buffer | undefined;
      const { head } = await this.#readStored(
        copy,
        onOwn === undefined ? undefined : (block) => (own = block),
      );
      if (Buffer.compare(this.#hasher.id(kind, head), id) !== 0)
        throw damaged(kind, id, "its bytes are not those it is named for");
      if (own !== undefined) onOwn?.(own);
      return head;
    });
    if (plain === undefined) throw missing(kind, id);
    return plain;
  }

  /** @param onOwn - see `StoredMessage`. A block in the cache, or of several objects, stays in the cache. */
  async #readStored({ pack, hex, ordinal }: ObjectCopy, onOwn?: (block: Buffer) => void): Promise<Stored> {
    const { directory } = pack;
    const { block, headOffset, headLength, tailOffset, tailLength } = directory.place(ordinal);
    const key = `${hex}:${block}`;
    const open = async (): Promise<Buffer> => {
      const opened = await readBlock(this.#backend, pack, block);
      this.usage.addOpened(opened.length);
      return opened;
    };
    let raw: Buffer;
    const isAlone = directory.firstOrdinal(block + 1) === directory.firstOrdinal(block) + 1;
    if (onOwn !== undefined && isAlone && this.#blocks.peek(key) === undefined) {
      raw = await open();
      onOwn(raw);
    } else raw = await this.#blocks.get(key, open);
    this.usage.addNeeded(hex, directory.objectCount, ordinal, headLength + tailLength);
    return {
      head: raw.subarray(headOffset, headOffset + headLength),
      tail: raw.subarray(tailOffset, tailOffset + tailLength),
      references: directory.referencesAt(ordinal),
    };
  }

  /**
   * The result of `use` for the first copy for which it succeeds; undefined when there is no copy.
   * @throws {CyrvaultError} what was wrong with the first copy, when none is sound.
   */
  async #withCopies<T>(
    kind: ObjectKind,
    id: ObjectId,
    use: (copy: ObjectCopy) => Promise<T>,
  ): Promise<T | undefined> {
    let failure: CyrvaultError | undefined;
    for (let attempt = 0; attempt < 2; attempt++) {
      await this.#lookup.ready();
      for await (const copy of this.#copies(kind, id, (error) => {
        failure ??= error;
      })) {
        try {
          return await use(copy);
        } catch (error) {
          if (!isCyrvaultError(error)) throw error;
          if (error.code === "OBJECT_MISSING") this.#packs.delete(copy.hex);
          else if (error.code !== "REPOSITORY_DAMAGED" && error.code !== "KEY_WRITE_ONLY") throw error;
          failure ??= error;
        }
      }
      if (failure?.code === "KEY_WRITE_ONLY" || !this.#mayRefresh()) break;
      await this.#lookup.refresh();
    }
    if (failure === undefined)
      for (const { hex, unreadable } of this.#lookup.unreadablePacks())
        throw new CyrvaultError(
          "REPOSITORY_DAMAGED",
          `${kind} object ${toHex(id)} is not to be found, and pack ${hex} cannot be read`,
          { cause: unreadable },
        );
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /** Copies whose pack's directory has the whole id. */
  async *#copies(
    kind: ObjectKind,
    id: ObjectId,
    onFailure: (error: CyrvaultError) => void,
  ): AsyncGenerator<ObjectCopy> {
    const tried = new Set<string>();
    const near = this.locateNear(kind, id);
    if (near !== undefined) {
      tried.add(`${near.hex}:${near.ordinal}`);
      yield near;
    }
    for await (const { pack: slot, ordinal } of this.#lookup.candidates(id)) {
      const place = `${slot.hex}:${ordinal}`;
      if (tried.has(place)) continue;
      tried.add(place);
      let pack: OpenedPack | undefined;
      try {
        pack = await this.#open(slot);
      } catch (error) {
        if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
        onFailure(error);
        continue;
      }
      const { directory } = pack ?? {};
      if (pack === undefined || directory === undefined || ordinal >= directory.objectCount) continue;
      if (Buffer.compare(directory.idAt(ordinal), id) !== 0) continue;
      if (directory.kindAt(ordinal) !== kind) {
        onFailure(damaged(kind, id, `pack ${slot.hex} has it as ${directory.kindAt(ordinal)}`));
        continue;
      }
      this.#recent.note(slot.hex, ordinal);
      yield { pack, hex: slot.hex, ordinal };
    }
  }

  async #open(slot: PackSlot): Promise<OpenedPack | undefined> {
    try {
      return await this.#packs.get(slot.hex, async () => {
        const opened = await openPack(this.#backend, slot.packId, this.#context);
        if (opened === undefined) throw new CyrvaultError("OBJECT_MISSING", `pack ${slot.hex} has gone`);
        return opened;
      });
    } catch (error) {
      if (!isCyrvaultError(error, "OBJECT_MISSING")) throw error;
      slot.live = false;
      return undefined;
    }
  }

  #mayRefresh(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#lookup.isStale && nowMs - this.#lastRefreshMs < REFRESH_AFTER_MS) return false;
    this.#lastRefreshMs = nowMs;
    return true;
  }
}

function missing(kind: ObjectKind, id: ObjectId): CyrvaultError {
  return new CyrvaultError("OBJECT_MISSING", `no pack has ${kind} object ${toHex(id)}`, {
    hint: "cyrvault check tells which backups are concerned",
  });
}

function damaged(kind: ObjectKind, id: ObjectId, why: string): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", `${kind} object ${toHex(id)}: ${why}`);
}
