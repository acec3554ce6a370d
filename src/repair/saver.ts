/** Stores again what would be lost: into new packs of a run, each object under the id that it has. In a plan it only counts. */
import { equalBytes } from "../base/bytes.ts";
import { assert } from "../base/errors.ts";
import { assemblesTo } from "../chunker/assemble.ts";
import { splitMessage } from "../chunker/split.ts";
import { splitLargeMessage } from "../chunker/split-large.ts";
import { laneOfObject } from "../manifest/object-lane.ts";
import { idKey, type ObjectId, type ObjectKind, type StoredObject } from "../store/object.ts";
import { ObjectHasher } from "../store/object-id.ts";
import type { BlockLane } from "../store/pack-types.ts";
import { PackWriter } from "../store/pack-writer.ts";
import { laneOfPart } from "../store/part-lane.ts";
import type { Repository } from "../store/repository.ts";
import type { Run } from "../store/run.ts";
import type { PackSink } from "../store/run-writer.ts";

const NO_BYTES = new Uint8Array(0);
/** Pages and small files that a plan holds, because they lead further. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024;
/** A longer message is split by windows: what it takes beside its own bytes is bounded. */
const LARGE_BYTES = 8 * 1024 * 1024;

export class Saver {
  readonly hasher: ObjectHasher;
  readonly #run: Run | undefined;
  /** Without a run: what would have been stored. */
  readonly #planned = new Set<string>();
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  #pack: { readonly writer: PackWriter; readonly sink: PackSink } | undefined;

  /** @param run - undefined: nothing is written. */
  constructor(repository: Pick<Repository, "seal">, run: Run | undefined) {
    this.hasher = new ObjectHasher(repository.seal);
    this.#run = run;
  }

  /** @param bytes - must be the object's: it is hashed again. @returns false: they are not. */
  async save(kind: ObjectKind, id: ObjectId, bytes: Uint8Array): Promise<boolean> {
    if (!equalBytes(this.hasher.id(kind, bytes), id)) return false;
    if (kind === "message") await this.saveMessage(id, bytes);
    else if (kind === "data") await this.#data(id, bytes);
    else if (this.#run === undefined) this.#keep(id, bytes);
    else {
      const stored = await this.#run.writer.put(
        kind,
        Buffer.from(bytes),
        laneOfObject({ kind, head: bytes }),
      );
      assert(equalBytes(stored, id), "an object is stored under its id");
    }
    return true;
  }

  /** In a plan: what would have been saved, as far as it may be looked into. */
  planned(id: ObjectId): Uint8Array | undefined {
    return this.#kept.get(idKey(id));
  }

  #keep(id: ObjectId, bytes: Uint8Array): void {
    if (this.#kept.has(idKey(id)) || this.#keptBytes + bytes.length > KEPT_BYTES_MAX) return;
    this.#kept.set(idKey(id), Uint8Array.from(bytes));
    this.#keptBytes += bytes.length;
  }

  /** What was saved can be found from now on. More may follow. */
  async finish(): Promise<void> {
    const pack = this.#pack;
    this.#pack = undefined;
    if (pack !== undefined) {
      await pack.sink.append(pack.writer.finish());
      await pack.sink.commit(pack.writer.directory());
    }
    await this.#run?.writer.flush();
  }

  /** With what it refers to. @param id - of these bytes. @returns the ids of its parts. */
  async saveMessage(id: ObjectId, bytes: Uint8Array): Promise<readonly ObjectId[]> {
    const { head, tail, parts } = this.#split(bytes);
    const ids = parts.map((part) => this.hasher.id("data", part));
    for (const [i, part] of parts.entries()) await this.#data(ids[i] as ObjectId, part);
    if (await this.#isNew("message", id))
      await this.#add({ kind: "message", id, head, tail, references: ids }, "text");
    return ids;
  }

  async #data(id: ObjectId, bytes: Uint8Array): Promise<void> {
    if (!(await this.#isNew("data", id))) return;
    await this.#add({ kind: "data", id, head: bytes, tail: NO_BYTES, references: [] }, laneOfPart(bytes));
  }

  #split(bytes: Uint8Array): { head: Uint8Array; tail: Uint8Array; parts: readonly Uint8Array[] } {
    const parts: Uint8Array[] = [];
    let own: { head: Uint8Array; tail: Uint8Array };
    if (bytes.length > LARGE_BYTES)
      own = splitLargeMessage(
        (offset, length) => bytes.subarray(offset, offset + length),
        bytes.length,
        (part) => parts.push(Uint8Array.from(part)),
      );
    else {
      const split = splitMessage(bytes);
      for (const part of split.parts) parts.push(part.bytes);
      own = split;
    }
    const { head, tail } = own;
    assert(
      assemblesTo(head, tail, (position) => parts[position] as Uint8Array, bytes),
      "a message comes back from its pieces",
    );
    return { head, tail, parts };
  }

  async #isNew(kind: ObjectKind, id: ObjectId): Promise<boolean> {
    if (this.#run !== undefined) return (await this.#run.writer.claim(kind, [id]))[0] === true;
    const key = idKey(id);
    if (this.#planned.has(key)) return false;
    this.#planned.add(key);
    return true;
  }

  async #add(object: StoredObject, lane: BlockLane): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    if (this.#pack === undefined) {
      const writer = new PackWriter(run.seal, { packKind: "data", compression: "auto" });
      this.#pack = { writer, sink: await run.writer.beginPack(writer.packId, "data") };
      await this.#pack.sink.append(writer.header());
    }
    const { writer, sink } = this.#pack;
    const block = writer.add(object, lane);
    if (block !== undefined) await sink.append(block);
    if (!writer.isFull) return;
    await sink.append(writer.finish());
    await sink.commit(writer.directory());
    this.#pack = undefined;
  }
}
