/**
 * Reads message files, names them, and stores those that are new: everything here is synchronous and uses the
 * processor only of the thread that it runs in. It never asks anybody; the coordinator answers between the steps.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import { assert, CyrvaultError } from "../../base/errors.ts";
import { assemblesTo } from "../../chunker/assemble.ts";
import { splitMessage } from "../../chunker/split.ts";
import { splitLargeMessage } from "../../chunker/split-large.ts";
import { SourceFile, sameStat } from "../../source/read-file.ts";
import { idKey, type ObjectId, type StoredObject } from "../../store/object.ts";
import { ObjectHasher } from "../../store/object-id.ts";
import type { BlockLane } from "../../store/pack-types.ts";
import { PackWriter } from "../../store/pack-writer.ts";
import { laneOfPart } from "../../store/part-lane.ts";
import { KnownLinks } from "./known-links.ts";
import type {
  MessageFile,
  MessageOutcome,
  PackOutput,
  StorePartsResult,
  StoreResult,
  WorkerSettings,
} from "./messages.ts";
import { OutputQueue } from "./output-queue.ts";

/** A larger message is read in windows, three times if it is new, and never held. */
export const LARGE_MESSAGE_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES = 1024 * 1024;
/**
 * Batches are made by the sizes that the index gives. Where it gives none, or lies, they can be far larger than
 * meant: what goes beyond this is treated like a large message.
 */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** Messages of a batch are read into one buffer, used again for the next batch: taking one for each is dear in memory. */
const BATCH_BUFFER_BYTES = 1.25 * 1024 * 1024;
/** Decoded bodies of a batch: base64 is a third longer. */
const DECODED_BUFFER_BYTES = 1024 * 1024;
/** Files with several links of which we remember what they hold: some 10 MB. */
const LINKS_REMEMBERED = 32_768;

interface HeldMessage {
  readonly file: MessageFile;
  readonly id: ObjectId;
  /** undefined for a large one, and for another link to a file that was read before. */
  readonly bytes: Buffer | undefined;
  readonly size: number;
  /** Read in windows whenever its bytes are needed. */
  readonly isStreamed: boolean;
  /** Nobody had it in memory before us: the page cache need not keep it when we are done. */
  readonly isOurs?: boolean;
  /** After `store`: how it is put together. */
  split?: {
    head: Uint8Array;
    tail: Uint8Array;
    partIds: ObjectId[];
    parts: readonly Uint8Array[] | undefined;
  };
}

interface Batch {
  readonly messages: (HeldMessage | undefined)[];
  readonly buffers: BatchBuffers;
  partIds: ObjectId[];
}

export class MessageWorker {
  readonly #settings: WorkerSettings;
  readonly #hasher: ObjectHasher;
  readonly #batches = new Map<number, Batch>();
  /** One file under many names (a delivery to several people, a copy) is read once. By device and inode. */
  readonly #links = new KnownLinks(LINKS_REMEMBERED);
  readonly #freeBuffers: BatchBuffers[] = [];
  #heldBytes = 0;
  #windowBytes: Buffer = Buffer.alloc(0);
  #pack: PackWriter | undefined;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    this.#hasher = new ObjectHasher(settings.seal);
  }

  read(batch: number, files: readonly MessageFile[]): readonly MessageOutcome[] {
    const held: (HeldMessage | undefined)[] = [];
    const buffers = this.#freeBuffers.pop() ?? {
      messages: new BatchBuffer(BATCH_BUFFER_BYTES),
      decoded: new BatchBuffer(DECODED_BUFFER_BYTES),
    };
    const outcomes = files.map((file) => {
      const { outcome, message } = this.#readOne(file, buffers.messages);
      held.push(message);
      return outcome;
    });
    this.#batches.set(batch, { messages: held, buffers, partIds: [] });
    return outcomes;
  }

  store(batchNumber: number, wanted: readonly boolean[]): StoreResult {
    const batch = this.#batch(batchNumber);
    const parts = new Map<string, ObjectId>();
    batch.messages.forEach((message, position) => {
      if (message === undefined) return;
      if (!wanted[position]) {
        this.#heldBytes -= message.bytes?.length ?? 0;
        if (message.isOurs === true) dropMessage(message);
        batch.messages[position] = undefined;
        return;
      }
      message.split = this.#split(message, batch.buffers.decoded);
      for (const id of message.split.partIds) parts.set(idKey(id), id);
    });
    batch.partIds = [...parts.values()];
    return { parts: batch.partIds };
  }

  /** @param onEarly - is given output before the end, where there is much. */
  storeParts(
    batchNumber: number,
    wanted: readonly boolean[],
    onEarly?: (output: readonly PackOutput[]) => void,
  ): StorePartsResult {
    const batch = this.#batch(batchNumber);
    const missing = new Set<string>();
    batch.partIds.forEach((id, position) => {
      if (wanted[position]) missing.add(idKey(id));
    });
    const output = new OutputQueue(onEarly);
    const large: ObjectId[] = [];
    let partBytes = 0;
    const storePart = (id: ObjectId, bytes: Uint8Array): void => {
      if (!missing.delete(idKey(id))) return;
      this.#add({ kind: "data", id, head: bytes, tail: EMPTY, references: [] }, laneOfPart(bytes), output);
      partBytes += bytes.length;
    };
    for (const message of batch.messages) {
      if (message === undefined) continue;
      this.#heldBytes -= message.bytes?.length ?? 0;
      const split = message.split;
      assert(split !== undefined, "storeParts before store");
      if (split.parts !== undefined) {
        for (const [i, bytes] of split.parts.entries()) storePart(split.partIds[i] as ObjectId, bytes);
      } else {
        this.#storeLargeParts(message, split.partIds, storePart);
        if (message.isOurs === true) dropMessage(message);
        large.push(message.id);
      }
      const { head, tail, partIds } = split;
      this.#add({ kind: "message", id: message.id, head, tail, references: partIds }, "text", output);
    }
    assert(missing.size === 0, "a part that was asked for did not come");
    this.#batches.delete(batchNumber);
    batch.buffers.messages.clear();
    batch.buffers.decoded.clear();
    this.#freeBuffers.push(batch.buffers);
    return { output: output.takeRest(), partBytes, large };
  }

  finishPacks(): readonly PackOutput[] {
    const output = new OutputQueue();
    this.#finishPack(output);
    return output.takeRest();
  }

  #readOne(file: MessageFile, buffer: BatchBuffer): { outcome: MessageOutcome; message?: HeldMessage } {
    let source: SourceFile | undefined;
    try {
      source = SourceFile.open(file.path);
      if (source === undefined) return { outcome: { state: "absent" } };
      const { stat } = source;
      const link = stat.links > 1 ? `${source.device}:${stat.inode}` : undefined;
      const known = link === undefined ? undefined : this.#links.find(link, stat);
      if (known !== undefined) {
        return {
          outcome: { state: "read", id: known.id, stat, guidMatches: matches(file, known.guid) },
          message: {
            file,
            id: known.id,
            bytes: undefined,
            size: stat.size,
            isStreamed: stat.size > LARGE_MESSAGE_BYTES,
          },
        };
      }
      const isOurs = source.isCached() === false;
      const read =
        stat.size <= LARGE_MESSAGE_BYTES ? this.#readWhole(source, buffer) : this.#hashLarge(source);
      if (read === undefined || !sameStat(source.statAgain(), stat)) return { outcome: { state: "changed" } };
      const { id, guid } = read;
      if (link !== undefined) this.#links.remember(link, stat, { id, guid });
      const isStreamed = read.bytes === undefined || this.#heldBytes + stat.size > HELD_BYTES_MAX;
      const bytes = isStreamed ? undefined : read.bytes;
      this.#heldBytes += bytes?.length ?? 0;
      if (isOurs && !isStreamed) source.dropFromCache();
      return {
        outcome: { state: "read", id, stat, guidMatches: matches(file, guid) },
        message: { file, id, bytes, size: stat.size, isStreamed, isOurs: isOurs && isStreamed },
      };
    } catch (error) {
      if (error instanceof CyrvaultError) return { outcome: { state: "failed", message: error.message } };
      throw error;
    } finally {
      source?.close();
    }
  }

  #readWhole(source: SourceFile, buffer: BatchBuffer): ReadMessage | undefined {
    const bytes = source.readInto(buffer.take(source.stat.size), 0);
    if (bytes.length !== source.stat.size) return undefined;
    return { id: this.#hasher.id("message", bytes), guid: createHash("sha1").update(bytes).digest(), bytes };
  }

  #hashLarge(source: SourceFile): ReadMessage | undefined {
    const hash = this.#hasher.stream("message");
    const sha1 = createHash("sha1");
    const { size } = source.stat;
    for (let offset = 0; offset < size; ) {
      const window = source.readInto(this.#window(Math.min(WINDOW_BYTES, size - offset)), offset);
      if (window.length === 0) return undefined;
      hash.update(window);
      sha1.update(window);
      offset += window.length;
    }
    return { id: hash.digest(), guid: sha1.digest(), bytes: undefined };
  }

  #split(message: HeldMessage, decoded: BatchBuffer): NonNullable<HeldMessage["split"]> {
    if (message.isStreamed) return this.#splitLarge(message);
    return this.#splitHeld(message.bytes ?? this.#readAgain(message), decoded);
  }

  /** Another link to it was read, and yet nobody has it: that one's batch has come to nothing. */
  #readAgain(message: HeldMessage): Buffer {
    const source = SourceFile.open(message.file.path);
    if (source === undefined) throw changedUnderway(message);
    try {
      const bytes = source.read(0, message.size);
      if (idKey(this.#hasher.id("message", bytes)) !== idKey(message.id)) throw changedUnderway(message);
      return bytes;
    } finally {
      source.close();
    }
  }

  #splitHeld(bytes: Buffer, decoded: BatchBuffer): NonNullable<HeldMessage["split"]> {
    const { head, tail, parts } = splitMessage(bytes, undefined, (length) => decoded.take(length));
    const plain = parts.map((part) => part.bytes);
    if (!assemblesTo(head, tail, (i) => plain[i] as Uint8Array, bytes)) {
      throw new TypeError(
        `cyrvault has a bug: a message of ${bytes.length} bytes does not come back from its pieces`,
      );
    }
    return { head, tail, parts: plain, partIds: plain.map((part) => this.#hasher.id("data", part)) };
  }

  #splitLarge(message: HeldMessage): NonNullable<HeldMessage["split"]> {
    const partIds: ObjectId[] = [];
    const { head, tail } = this.#throughLarge(message, (part) => partIds.push(this.#hasher.id("data", part)));
    return { head, tail, partIds, parts: undefined };
  }

  #storeLargeParts(
    message: HeldMessage,
    partIds: readonly ObjectId[],
    store: (id: ObjectId, bytes: Uint8Array) => void,
  ): void {
    let position = 0;
    this.#throughLarge(message, (part) => {
      const id = partIds[position++];
      if (id === undefined || idKey(this.#hasher.id("data", part)) !== idKey(id))
        throw changedUnderway(message);
      store(id, part);
    });
    if (position !== partIds.length) throw changedUnderway(message);
  }

  #throughLarge(
    message: HeldMessage,
    onPart: (part: Uint8Array) => void,
  ): { head: Uint8Array; tail: Uint8Array } {
    const source = SourceFile.open(message.file.path);
    if (source === undefined) throw changedUnderway(message);
    try {
      const read = (offset: number, length: number): Buffer => {
        const bytes = source.readInto(this.#window(length), offset);
        if (bytes.length !== length) throw changedUnderway(message);
        return bytes;
      };
      return splitLargeMessage(read, message.size, onPart);
    } finally {
      source.close();
    }
  }

  #add(object: StoredObject, lane: BlockLane, output: OutputQueue): void {
    if (this.#pack === undefined) {
      const { seal, compression } = this.#settings;
      this.#pack = new PackWriter(seal, { packKind: "data", compression });
      output.push({ packId: this.#pack.packId, bytes: this.#pack.header() });
    }
    const block = this.#pack.add(object, lane);
    if (block) output.push({ packId: this.#pack.packId, bytes: block });
    if (this.#pack.isFull) this.#finishPack(output);
  }

  #finishPack(output: OutputQueue): void {
    const pack = this.#pack;
    if (pack === undefined) return;
    const bytes = pack.finish();
    output.push({ packId: pack.packId, bytes, directory: pack.directoryBytes() });
    this.#pack = undefined;
  }

  /** The same bytes at each call, as far as they are enough. */
  #window(length: number): Buffer {
    if (this.#windowBytes.length < length) this.#windowBytes = Buffer.allocUnsafeSlow(length);
    return this.#windowBytes.subarray(0, length);
  }

  #batch(number: number): Batch {
    const batch = this.#batches.get(number);
    assert(batch !== undefined, `no batch ${number}`);
    return batch;
  }
}

interface BatchBuffers {
  readonly messages: BatchBuffer;
  readonly decoded: BatchBuffer;
}

/** Room for one batch, handed out from its start. */
class BatchBuffer {
  readonly #bytes: Buffer;
  #used = 0;

  constructor(bytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
  }

  /** A view, good until `clear`; where there is no room, a buffer of its own. */
  take(length: number): Buffer {
    if (this.#used + length > this.#bytes.length) return Buffer.allocUnsafeSlow(length);
    const from = this.#used;
    this.#used += length;
    return this.#bytes.subarray(from, this.#used);
  }

  clear(): void {
    this.#used = 0;
  }
}

interface ReadMessage {
  readonly id: ObjectId;
  /** SHA-1. */
  readonly guid: Buffer;
  readonly bytes: Buffer | undefined;
}

function matches({ guid }: MessageFile, sha1: Uint8Array): boolean | undefined {
  return guid === undefined ? undefined : equalBytes(guid, sha1);
}

/** A message of many windows, when it is no longer needed. */
function dropMessage({ file }: HeldMessage): void {
  const source = SourceFile.open(file.path);
  source?.dropFromCache();
  source?.close();
}

const EMPTY = new Uint8Array(0);

function changedUnderway(message: HeldMessage): CyrvaultError {
  return new CyrvaultError("SOURCE_INVALID", "a message file changed while it was being stored", {
    context: { size: message.size },
    hint: "back up a frozen snapshot, or stop Cyrus first",
  });
}
