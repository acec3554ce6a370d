/**
 * Opens blocks, puts messages together, compares each with its id and writes it: everything but the reading of a block
 * is synchronous, and uses the processor only of the thread that it runs in.
 */
import { readSync, writeSync } from "node:fs";
import type { Backend } from "../../backend/backend.ts";
import { assert, CyrvaultError, isCyrvaultError } from "../../base/errors.ts";
import { giveBack } from "../../base/give-back.ts";
import { ioError } from "../../base/io-error.ts";
import { assembleStretches } from "../../chunker/assemble.ts";
import { Cache } from "../../store/cache.ts";
import { OBJECT_ID_BYTES } from "../../store/object.ts";
import { ObjectHasher } from "../../store/object-id.ts";
import { PackSeal } from "../../store/pack-seal.ts";
import { type PackId, packName } from "../../store/pack-types.ts";
import { letGoOfDirectories } from "../held-directories.ts";
import {
  type Extent,
  type MessageOutcome,
  SPILL,
  type TaskBlock,
  type TaskCopy,
  type TaskMessage,
  type WorkerSettings,
  type WriteResult,
  type WriteTask,
} from "./task.ts";
import { writeWhole } from "./write-whole.ts";

const BUFFER_BYTES = 1024 * 1024;
const BUFFER_BYTES_KEPT = 4 * BUFFER_BYTES;
/** For what a message has put aside. */
const SPILL_ROOM_BYTES = 2 * 1024 * 1024;
/** Packs of which the key is kept. */
const SEALS_MAX = 256;
const EMPTY = Buffer.alloc(0);

export class RestoreWorker {
  readonly #backend: Backend;
  readonly #settings: WorkerSettings;
  readonly #hasher: ObjectHasher;
  readonly #blocks: Cache<string, Buffer>;
  readonly #seals = new Cache<string, PackSeal>(SEALS_MAX, () => 1);
  /** Each message is put together here. */
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #room = new SpillRoom();
  /** Blocks that are in the cache no longer, and perhaps still at hand for a message. */
  #dropped: Buffer[] = [];
  #openedBytes = 0;

  constructor(backend: Backend, settings: WorkerSettings) {
    this.#backend = backend;
    this.#settings = settings;
    this.#hasher = new ObjectHasher(settings.seal);
    this.#blocks = new Cache(
      settings.cacheBytes,
      (block) => block.length,
      (block) => this.#dropped.push(block),
    );
  }

  /** @throws {CyrvaultError} what writing met: the restore ends. What is wrong in the repository is an outcome. */
  async run(task: WriteTask): Promise<WriteResult> {
    try {
      return await this.#run(task);
    } finally {
      letGoOfDirectories();
    }
  }

  async #run(task: WriteTask): Promise<WriteResult> {
    const before = this.#openedBytes;
    const window = new BlockWindow(
      task,
      this.#room,
      (block) => this.#block(block),
      (held) => this.#giveBackDropped(held),
    );
    for (const copy of task.copies) await this.#copy(copy, window);
    // What one large message needed is not kept for good.
    if (this.#buffer.length > BUFFER_BYTES_KEPT) this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const outcomes: MessageOutcome[] = [];
    const sizes: number[] = [];
    for (const [position, message] of task.messages.entries()) {
      const size = await this.#assemble(message, window);
      const isSound = size !== undefined && this.#isMessage(task.ids, position, size);
      const { path, attributes } = message;
      const outcome = isSound
        ? writeWhole(path, this.#buffer.subarray(0, size), attributes, this.#settings.compares)
        : "again";
      outcomes.push(outcome);
      sizes.push(outcome === "again" || size === undefined ? 0 : size);
    }
    this.#giveBackDropped(new Set());
    return { outcomes, sizes, openedBytes: this.#openedBytes - before };
  }

  #giveBackDropped(held: ReadonlySet<Buffer>): void {
    this.#dropped = this.#dropped.filter((block) => {
      if (held.has(block)) return true;
      giveBack(block);
      return false;
    });
  }

  /** One that cannot be read is met by its message, which then is not the one that its id says. */
  async #copy({ from, spillOffset }: TaskCopy, window: BlockWindow): Promise<void> {
    try {
      if (!window.has([from])) await window.open([from]);
      window.spill?.write(window.held(from), spillOffset);
    } catch (error) {
      if (!isOfRepository(error)) throw error;
    }
  }

  /** Into the buffer, from its beginning. @returns the size, undefined where something cannot be read. */
  async #assemble({ head, tail, parts }: TaskMessage, window: BlockWindow): Promise<number | undefined> {
    const extents = [head, tail, ...parts];
    let size = 0;
    this.#room.reuse();
    try {
      if (!window.has(extents)) await window.open(extents);
      assembleStretches(
        window.held(head),
        window.held(tail),
        (position) => window.held(parts[position]),
        (stretch) => {
          if (size + stretch.length > this.#buffer.length) this.#enlarge(size, size + stretch.length);
          this.#buffer.set(stretch, size);
          size += stretch.length;
        },
      );
    } catch (error) {
      if (!isOfRepository(error)) throw error;
      return undefined;
    }
    return size;
  }

  #isMessage(ids: Uint8Array, position: number, size: number): boolean {
    const id = this.#hasher.id("message", this.#buffer.subarray(0, size));
    const from = position * OBJECT_ID_BYTES;
    return Buffer.compare(id, ids.subarray(from, from + OBJECT_ID_BYTES)) === 0;
  }

  #enlarge(used: number, bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, used);
    this.#buffer = larger;
  }

  async #block({ packId, headerBytes, number, place }: TaskBlock): Promise<Buffer> {
    const name = packName(packId);
    return await this.#blocks.get(`${name}:${number}`, async () => {
      const seal = await this.#seals.get(name, () => this.#openSeal(packId, name, headerBytes));
      const stored = await this.#backend.readRange(name, place.offset, place.storedBytes);
      if (stored === undefined) throw gone(name);
      const raw = seal.openBlock(number, place, stored);
      this.#openedBytes += raw.length;
      if (raw.buffer !== stored.buffer) giveBack(stored);
      return raw;
    });
  }

  async #openSeal(packId: PackId, name: string, headerBytes: number): Promise<PackSeal> {
    const header = await this.#backend.readRange(name, 0, headerBytes);
    if (header === undefined) throw gone(name);
    return PackSeal.open(this.#settings.seal, packId, header);
  }
}

/** The blocks of a task that are at hand: those of the message in work, and of those before it that had the same. */
class BlockWindow {
  readonly spill: Spill | undefined;
  readonly #blocks: readonly TaskBlock[];
  readonly #open: (block: TaskBlock) => Promise<Buffer>;
  readonly #onHeld: (held: ReadonlySet<Buffer>) => void;
  #held = new Map<number, Buffer>();

  /** @param onHeld - is told which blocks are at hand whenever they have become others. */
  constructor(
    { blocks, spillFd }: WriteTask,
    room: SpillRoom,
    open: (block: TaskBlock) => Promise<Buffer>,
    onHeld: (held: ReadonlySet<Buffer>) => void,
  ) {
    this.#blocks = blocks;
    this.#open = open;
    this.#onHeld = onHeld;
    this.spill = spillFd === undefined ? undefined : new Spill(spillFd, room);
  }

  has(extents: readonly Extent[]): boolean {
    return extents.every(({ block, length }) => length === 0 || block === SPILL || this.#held.has(block));
  }

  /** After this, `held` has all of them, and no others. */
  async open(extents: readonly Extent[]): Promise<void> {
    const held = new Map<number, Buffer>();
    for (const { block, length } of extents) {
      if (length === 0 || block === SPILL || held.has(block)) continue;
      const known = this.#blocks[block];
      assert(known !== undefined, "an extent in no block of the task");
      held.set(block, this.#held.get(block) ?? (await this.#open(known)));
    }
    this.#held = held;
    this.#onHeld(new Set(held.values()));
  }

  held(extent: Extent | undefined): Buffer {
    if (extent === undefined)
      throw new CyrvaultError("REPOSITORY_DAMAGED", "a message refers to a part that it does not have");
    const { block, offset, length } = extent;
    if (length === 0) return EMPTY;
    if (block === SPILL) {
      assert(this.spill !== undefined, "no spill file");
      return this.spill.read(offset, length);
    }
    const bytes = this.#held.get(block);
    assert(bytes !== undefined, "a block that is not open");
    return bytes.subarray(offset, offset + length);
  }
}

/** The coordinator's spill file. */
class Spill {
  readonly #fd: number;
  readonly #room: SpillRoom;

  constructor(fd: number, room: SpillRoom) {
    this.#fd = fd;
    this.#room = room;
  }

  write(bytes: Uint8Array, offset: number): void {
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    } catch (error) {
      throw ioError("cannot put aside parts of messages in the target", error);
    }
  }

  read(offset: number, length: number): Buffer {
    const bytes = this.#room.take(length);
    try {
      for (let done = 0; done < length; ) {
        const count = readSync(this.#fd, bytes, done, length - done, offset + done);
        if (count === 0)
          throw new CyrvaultError("REPOSITORY_DAMAGED", "a part of a message was not put aside");
        done += count;
      }
    } catch (error) {
      throw ioError("cannot read what was put aside in the target", error);
    }
    return bytes;
  }
}

/** Where what is put aside of one message is read to, used again for the next. */
class SpillRoom {
  #bytes: Buffer = EMPTY;
  #used = 0;

  reuse(): void {
    this.#used = 0;
  }

  take(length: number): Buffer {
    if (this.#bytes.length === 0) this.#bytes = Buffer.allocUnsafeSlow(SPILL_ROOM_BYTES);
    if (this.#used + length > this.#bytes.length) return Buffer.allocUnsafeSlow(length);
    const from = this.#used;
    this.#used += length;
    return this.#bytes.subarray(from, this.#used);
  }
}

function isOfRepository(error: unknown): boolean {
  // A backend that cannot be read is met again, and told, by whoever restores the message by itself.
  return (
    isCyrvaultError(error, "REPOSITORY_DAMAGED") ||
    isCyrvaultError(error, "OBJECT_MISSING") ||
    isCyrvaultError(error, "REPOSITORY_VERSION")
  );
}

function gone(name: string): CyrvaultError {
  return new CyrvaultError("OBJECT_MISSING", `${name}: the pack has gone since it was looked for`);
}
