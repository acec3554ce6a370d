/** What crosses between the coordinator and a worker: paths, ids, finished blocks. Never a byte of mail in the clear. */
import type { ByteString } from "../../base/byte-string.ts";
import type { FileStat } from "../../manifest/model.ts";
import type { Compression } from "../../store/codec.ts";
import type { ObjectId } from "../../store/object.ts";
import type { PackId } from "../../store/pack-types.ts";
import type { SealContext } from "../../store/seal-context.ts";

export interface WorkerSettings {
  readonly seal: SealContext;
  readonly compression: Compression;
}

export interface MessageFile {
  readonly path: ByteString;
  /** SHA-1 that cyrus.index gives, undefined where it gives none. */
  readonly guid: Uint8Array | undefined;
}

export type MessageOutcome =
  | {
      readonly state: "read";
      readonly id: ObjectId;
      readonly stat: FileStat;
      /** undefined: nothing to compare with. */
      readonly guidMatches: boolean | undefined;
    }
  | { readonly state: "absent" }
  /** It was cut, grew or was written while we read it. */
  | { readonly state: "changed" }
  | { readonly state: "failed"; readonly message: string };

/** A stretch of a pack, in the order in which it must be written; `directory` comes with the last one. */
export interface PackOutput {
  readonly packId: PackId;
  readonly bytes: Uint8Array;
  readonly directory?: Uint8Array;
}

export interface StoreResult {
  /** Ids of the `data` objects that the wanted messages refer to, without repetition. */
  readonly parts: readonly ObjectId[];
}

export interface StorePartsResult {
  readonly output: readonly PackOutput[];
  /** Bytes before compression of what was stored. */
  readonly partBytes: number;
  /** Messages too large to be held: compared with the source again before the commit. */
  readonly large: readonly ObjectId[];
}

/**
 * A worker's three steps for a batch of message files of one mailbox, and the end of its packs. Steps of one
 * batch follow one another; batches may overlap.
 */
export interface MessageWorkerPort {
  read(batch: number, files: readonly MessageFile[]): Promise<readonly MessageOutcome[]>;
  /** @param wanted - for each file of the batch: nobody has this message yet. */
  store(batch: number, wanted: readonly boolean[]): Promise<StoreResult>;
  /**
   * Ends the batch.
   * @param wanted - for each part: nobody has it yet.
   * @param onEarly - takes what comes before the end, where there is much: a large message's packs are never held as a
   *   whole. The worker waits while too much of it is unwritten. `output` of the result comes after all of it.
   */
  storeParts(
    batch: number,
    wanted: readonly boolean[],
    onEarly: (output: readonly PackOutput[]) => Promise<void>,
  ): Promise<StorePartsResult>;
  /** Ends the open packs, so that everything stored so far can become durable. */
  finishPacks(): Promise<readonly PackOutput[]>;
  close(): Promise<void>;
}
