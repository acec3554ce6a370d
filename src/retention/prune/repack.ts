/**
 * Writes what is needed of mostly dead packs anew, object by object, each verified on the way. The old packs are left as
 * they are: whoever breaks off here has two copies of something.
 */
import type { CyrvaultError } from "../../base/errors.ts";
import { isCyrvaultError } from "../../base/errors.ts";
import { isMessagePage, laneOfObject } from "../../manifest/object-lane.ts";
import type { PackSlot } from "../../store/lookup-packs.ts";
import type { StoredObject } from "../../store/object.ts";
import { objectsInBlock, openPack, scanPack } from "../../store/pack-reader.ts";
import { type BlockLane, type PackKind, packKindOf, packName } from "../../store/pack-types.ts";
import { PackWriter } from "../../store/pack-writer.ts";
import type { Repository } from "../../store/repository.ts";
import type { Run } from "../../store/run.ts";
import type { PackSink } from "../../store/run-writer.ts";
import type { PlaceBits } from "./needed-objects.ts";
import type { CopyVerifier } from "./verify-copy.ts";

export interface RepackParts {
  readonly repository: Repository;
  readonly run: Run;
  readonly needed: PlaceBits;
  readonly verifier: CopyVerifier;
  readonly signal: AbortSignal | undefined;
  readonly onBytes: (bytes: number) => void;
}

export interface DamagedPack {
  /** Hex. */
  readonly pack: string;
  readonly error: CyrvaultError;
}

export class Repacker {
  readonly #parts: RepackParts;
  readonly #open = new Map<PackKind, { readonly writer: PackWriter; readonly sink: PackSink }>();
  /** Packs of which something could not be copied: they stay. */
  readonly damaged: DamagedPack[] = [];

  constructor(parts: RepackParts) {
    this.#parts = parts;
  }

  /** @returns those of the packs whose needed objects are all durable elsewhere, and found there. */
  async repack(packs: readonly PackSlot[]): Promise<PackSlot[]> {
    const { run, signal } = this.#parts;
    const done: PackSlot[] = [];
    try {
      for (const pack of packs) {
        signal?.throwIfAborted();
        try {
          if (await this.#copy(pack)) done.push(pack);
        } catch (error) {
          if (!isCyrvaultError(error, "REPOSITORY_DAMAGED") && !isCyrvaultError(error, "OBJECT_MISSING"))
            throw error;
          this.damaged.push({ pack: pack.hex, error });
        }
      }
      for (const kind of [...this.#open.keys()]) await this.#end(kind);
    } catch (error) {
      for (const { sink } of this.#open.values()) await sink.abort().catch(() => undefined);
      this.#open.clear();
      throw error;
    }
    await run.writer.flush();
    return done;
  }

  /** @returns false: there is no such pack. */
  async #copy(pack: PackSlot): Promise<boolean> {
    const { repository, needed, verifier, signal, onBytes } = this.#parts;
    const opened = await openPack(repository.backend, pack.packId, repository.seal);
    if (opened === undefined) return false;
    const { directory } = opened;
    const isWanted = (block: number): boolean => {
      const end = directory.firstOrdinal(block + 1);
      for (let ordinal = directory.firstOrdinal(block); ordinal < end; ordinal++)
        if (needed.has(pack, ordinal)) return true;
      return false;
    };
    for await (const scanned of scanPack(repository.backend, opened, isWanted)) {
      signal?.throwIfAborted();
      if ("error" in scanned) throw scanned.error;
      const besidePages = hasMessagePage(objectsInBlock(directory, scanned.block, scanned.raw));
      for (const object of objectsInBlock(directory, scanned.block, scanned.raw)) {
        if (!needed.has(pack, object.ordinal)) continue;
        await verifier.verify(object, packName(pack.packId));
        await this.#add(object, laneOfObject(object, besidePages));
      }
      onBytes(scanned.storedBytes);
    }
    return true;
  }

  async #add(object: StoredObject, lane: BlockLane): Promise<void> {
    const kind = packKindOf(object.kind);
    let open = this.#open.get(kind);
    if (open === undefined) {
      const { run } = this.#parts;
      const writer = new PackWriter(run.seal, { packKind: kind, compression: "auto" });
      open = { writer, sink: await run.writer.beginPack(writer.packId, kind) };
      this.#open.set(kind, open);
      await open.sink.append(writer.header());
    }
    const { writer, sink } = open;
    // Views of another pack's directory, which would keep all of it in memory.
    const references = object.references.map((id) => Uint8Array.from(id) as typeof id);
    const block = writer.add({ ...object, references }, lane);
    if (block !== undefined) await sink.append(block);
    if (writer.isFull) await this.#end(kind);
  }

  async #end(kind: PackKind): Promise<void> {
    const open = this.#open.get(kind);
    if (open === undefined) return;
    await open.sink.append(open.writer.finish());
    await open.sink.commit(open.writer.directory());
    this.#open.delete(kind);
  }
}

function hasMessagePage(objects: Iterable<StoredObject>): boolean {
  for (const object of objects) if (isMessagePage(object)) return true;
  return false;
}
