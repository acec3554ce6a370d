/**
 * Makes a pack: objects in, stretches of the file out. CPU only, for a worker thread; whoever owns the file writes
 * what is returned, in the order in which it is returned: `header`, what `add` and `flush` give, `finish`.
 *
 * Each buffer returned is of its own and may be transferred. The bytes of an object are copied by `add`, its
 * `references` are kept until `finish`.
 */
import { equalBytes } from "../base/bytes.ts";
import { assert, CyrvaultError } from "../base/errors.ts";
import { giveBack } from "../base/give-back.ts";
import { BlockBuilder } from "./block.ts";
import type { Compression } from "./codec.ts";
import { asObjectId, type StoredObject } from "./object.ts";
import { PackDirectory } from "./pack-directory.ts";
import { type DirectoryObject, PackDirectoryWriter } from "./pack-directory-writer.ts";
import { encodePackFooter } from "./pack-footer.ts";
import { PackSeal, type SealedBlock } from "./pack-seal.ts";
import {
  BLOCK_BYTES_TARGET,
  type BlockLane,
  MAILBOX_BLOCK_BYTES_TARGET,
  OBJECT_REFERENCES_MAX,
  PACK_BLOCKS_MAX,
  PACK_BYTES_TARGET,
  PACK_OBJECTS_MAX,
  PACK_REFERENCES_MAX,
  PART_BLOCK_BYTES_TARGET,
  type PackId,
  type PackKind,
  type PackWriterOptions,
  packKindOf,
  SMALL_FILE_BLOCK_BYTES_TARGET,
} from "./pack-types.ts";
import type { SealContext } from "./seal-context.ts";

/** A pack is full before its directory is dear to hold: some 10 MB in memory. */
const OBJECTS_TARGET = 200_000;
/** What shrinks to almost nothing makes many blocks before it makes a pack. */
const BLOCKS_TARGET = PACK_BLOCKS_MAX / 4;
/** Blocks that are open at once, one more than there are lanes. */
const LANES_MAX = 5;

/** A block that is being filled. */
interface Lane {
  readonly block: BlockBuilder;
  objects: DirectoryObject[];
}

export class PackWriter {
  readonly #seal: PackSeal;
  readonly #compression: Compression;
  readonly #verify: boolean;
  readonly #lanes = new Map<BlockLane, Lane>();
  readonly #directoryWriter = new PackDirectoryWriter();
  #storedBytes = 0;
  #openObjects = 0;
  #openReferences = 0;
  #directoryBytes: Buffer | undefined;

  constructor(context: SealContext, options: PackWriterOptions) {
    this.#seal = PackSeal.create(context, options.packKind, options);
    this.#compression = options.compression;
    this.#verify = options.verify ?? true;
  }

  get packId(): PackId {
    return this.#seal.packId;
  }

  get packKind(): PackKind {
    return this.#seal.packKind;
  }

  /** Handed out so far: header and sealed blocks, after `finish` the whole pack. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Objects of the open blocks included. */
  get objectCount(): number {
    return this.#directoryWriter.objectCount + this.#openObjects;
  }

  /** Bytes in the blocks that are still open, before compression. */
  get openBytes(): number {
    let bytes = 0;
    for (const { block } of this.#lanes.values()) bytes += block.rawBytes;
    return bytes;
  }

  /** Time to `finish`: the pack has the size, or its directory the length, that a pack should have. */
  get isFull(): boolean {
    return (
      this.#storedBytes >= PACK_BYTES_TARGET ||
      this.#directoryWriter.blockCount >= BLOCKS_TARGET ||
      this.objectCount >= OBJECTS_TARGET ||
      this.#referenceCount >= OBJECTS_TARGET
    );
  }

  /** Exactly once, first. */
  header(): Buffer {
    assert(this.#storedBytes === 0, "a pack has one header");
    this.#storedBytes = this.#seal.header.length;
    return ownCopy(this.#seal.header);
  }

  /** @returns a finished block, whenever one became full. The object may still be in an open one. */
  add(object: StoredObject, lane: BlockLane = "text"): Buffer | undefined {
    this.#checkObject(object);
    let open = this.#lanes.get(lane);
    if (open === undefined) {
      open = { block: new BlockBuilder(blockBytesOf(this.packKind, lane)), objects: [] };
      this.#lanes.set(lane, open);
    }
    const finished = open.block.hasRoomFor(object) ? undefined : this.#close(lane, open);
    const { kind, id, references, head, tail } = object;
    open.block.add(object);
    open.objects.push({
      kind,
      id: asObjectId(Uint8Array.from(id)),
      references,
      headLength: head.length,
      tailLength: tail.length,
    });
    this.#openObjects++;
    this.#openReferences += references.length;
    if (finished !== undefined || !open.block.isFull) return finished;
    return this.#close(lane, open);
  }

  /** Closes the open blocks; undefined when there is nothing in them. */
  flush(): Buffer | undefined {
    const blocks: Buffer[] = [];
    for (const [lane, open] of this.#lanes) if (open.objects.length > 0) blocks.push(this.#close(lane, open));
    return blocks.length > 1 ? ownCopy(...blocks) : blocks[0];
  }

  #close(lane: BlockLane, open: Lane): Buffer {
    const number = this.#directoryWriter.blockCount;
    const raw = open.block.take();
    const compression = laneCompression(lane, this.#compression);
    const block = this.#seal.sealBlock(number, this.#storedBytes, raw, compression);
    if (this.#verify) verifyBlock(this.#seal, number, block, raw);
    // Blocks are closed in another order than objects are added: the directory goes by blocks.
    for (const object of open.objects) {
      this.#directoryWriter.addObject(object);
      this.#openReferences -= object.references.length;
    }
    this.#openObjects -= open.objects.length;
    open.objects = [];
    this.#directoryWriter.addBlock(block.place);
    this.#storedBytes += block.stored.length;
    return block.stored;
  }

  /** Everything that is still to be written: the last block, directory, footer. Exactly once, last. */
  finish(): Buffer {
    assert(
      this.#storedBytes > 0 && this.#directoryBytes === undefined,
      "finish comes once, after the header",
    );
    const lastBlock = this.flush();
    const directoryOffset = this.#storedBytes;
    const plain = this.#directoryWriter.encode(this.#seal.header.length);
    const sealed = this.#seal.sealDirectory(directoryOffset, plain);
    if (this.#verify && !this.#seal.openDirectory(directoryOffset, sealed).equals(plain)) throw unsound();
    this.#directoryBytes = plain;
    const footer = encodePackFooter(this.#seal.header, { directoryOffset, directoryBytes: sealed.length });
    const parts = lastBlock === undefined ? [sealed, footer] : [lastBlock, sealed, footer];
    this.#storedBytes += sealed.length + footer.length;
    return ownCopy(...parts);
  }

  /** After `finish`. */
  directory(): PackDirectory {
    return PackDirectory.parse(this.directoryBytes());
  }

  /** After `finish`: what `PackDirectory.parse` takes, in a buffer of its own, for another thread. */
  directoryBytes(): Buffer {
    assert(this.#directoryBytes !== undefined, "the directory is there after finish");
    return ownCopy(this.#directoryBytes);
  }

  get #referenceCount(): number {
    return this.#directoryWriter.referenceCount + this.#openReferences;
  }

  #checkObject(object: StoredObject): void {
    assert(
      this.#storedBytes > 0 && this.#directoryBytes === undefined,
      "add comes after header and before finish",
    );
    assert(packKindOf(object.kind) === this.packKind, `a ${object.kind} object in a ${this.packKind} pack`);
    assert(
      object.kind === "message" || (object.tail.length === 0 && object.references.length === 0),
      "only messages have tails and references",
    );
    assert(object.references.length <= OBJECT_REFERENCES_MAX, "too many references");
    assert(
      this.objectCount < PACK_OBJECTS_MAX &&
        this.#directoryWriter.blockCount < PACK_BLOCKS_MAX - LANES_MAX &&
        this.#referenceCount + object.references.length <= PACK_REFERENCES_MAX,
      "the pack was full long ago",
    );
  }
}

/**
 * What is read a few KB at a time, from all over, lies in smaller blocks, and so do attachments, which gain little from
 * their neighbours: docs/decisions/0014-block-size-and-layout.md.
 */
function blockBytesOf(packKind: PackKind, lane: BlockLane): number {
  if (lane === "mailbox") return MAILBOX_BLOCK_BYTES_TARGET;
  if (lane === "part" || lane === "dense") return PART_BLOCK_BYTES_TARGET;
  return packKind === "meta" && lane === "text" ? SMALL_FILE_BLOCK_BYTES_TARGET : BLOCK_BYTES_TARGET;
}

/** Parts are many bytes that shrink little more for three times the work: docs/decisions/0007-codec-levels.md. */
function laneCompression(lane: BlockLane, compression: Compression): Compression | "none" {
  if (lane === "dense") return "none";
  return lane === "part" && compression === "auto" ? "fast" : compression;
}

/** What was compressed and sealed must open to the same bytes before the pack gets its name. */
export function verifyBlock(seal: PackSeal, number: number, block: SealedBlock, raw: Uint8Array): void {
  let opened: Buffer;
  try {
    opened = seal.openBlock(number, block.place, block.stored);
  } catch (cause) {
    throw unsound(cause);
  }
  if (!equalBytes(opened, raw)) throw unsound();
  if (opened.buffer !== block.stored.buffer) giveBack(opened);
}

function unsound(cause?: unknown): CyrvaultError {
  return new CyrvaultError("REPOSITORY_DAMAGED", "a pack just made does not open to what went into it", {
    hint: "nothing of it has been kept; test this machine's memory",
    cause,
  });
}

function ownCopy(...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = Buffer.allocUnsafeSlow(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
