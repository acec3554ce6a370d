/** What the coordinator of a restore and its workers say to each other. Everything here can be cloned into a thread. */
import type { ByteString } from "../../base/byte-string.ts";
import type { BlockPlace, PackId } from "../../store/pack-types.ts";
import type { SealContext } from "../../store/seal-context.ts";
import type { Attributes } from "../attributes.ts";
import type { WriteOutcome } from "../write-file.ts";

/** A block that messages of a task need, with all that opening it takes. */
export interface TaskBlock {
  readonly packId: PackId;
  /** Of the pack's header. */
  readonly headerBytes: number;
  readonly number: number;
  readonly place: BlockPlace;
}

/** Bytes of a block before compression, or of the spill file. */
export interface Extent {
  /** Position in the task's blocks; SPILL: in the spill file. */
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}

export const SPILL = -1;

export interface TaskMessage {
  /** Where it goes: its directory is real, made, and no symlink. */
  readonly path: ByteString;
  readonly attributes: Attributes;
  readonly head: Extent;
  readonly tail: Extent;
  /** `data` objects in the order of its pieces. */
  readonly parts: readonly Extent[];
}

/** Something that a message needs when another block is open: it waits in the spill file. */
export interface TaskCopy {
  readonly from: Extent;
  readonly spillOffset: number;
}

/** Copies and messages that need the same block, mostly. */
export interface WriteTask {
  readonly blocks: readonly TaskBlock[];
  readonly copies: readonly TaskCopy[];
  readonly messages: readonly TaskMessage[];
  /** Ids of the messages, one after the other. */
  readonly ids: Uint8Array;
  /** Of the spill file: the coordinator's, threads share it. */
  readonly spillFd: number | undefined;
}

/**
 * What became of one message. `again`: nothing was written, and whoever restores messages one by one has to look at it:
 * it is damaged, or something is in its place.
 */
export type MessageOutcome = WriteOutcome | "again";

export interface WriteResult {
  /** One for each message. */
  readonly outcomes: readonly MessageOutcome[];
  /** Sizes of the messages written or compared, 0 for the others. */
  readonly sizes: readonly number[];
  /** Blocks opened for this task, before compression. */
  readonly openedBytes: number;
}

export interface RestoreWorkerPort {
  run(task: WriteTask): Promise<WriteResult>;
  close(): Promise<void>;
}

export interface WorkerSettings {
  readonly seal: SealContext;
  /** Opened blocks that one worker keeps. */
  readonly cacheBytes: number;
  /** Something in a message's place is compared with it; otherwise it is left to the coordinator. */
  readonly compares: boolean;
}
