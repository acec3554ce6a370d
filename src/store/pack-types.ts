/** Packs as values: names, kinds, places, limits. Format: docs/formats/pack.md. */
import { toHex } from "../base/bytes.ts";
import { CyrvaultError } from "../base/errors.ts";
import type { Compression } from "./codec.ts";
import type { ObjectKind } from "./object.ts";

/** 32 random bytes, new for each attempt to write a pack. */
export type PackId = Uint8Array & { readonly [packId]: true };
declare const packId: unique symbol;

export const PACK_ID_BYTES = 32;

/** `data` packs hold `data` and `message` objects, `meta` packs `meta` and `manifest` objects. */
export type PackKind = "data" | "meta";

/** On disk: never renumber. 0 is invalid. */
export const PACK_KIND_BYTES: Readonly<Record<PackKind, number>> = { data: 1, meta: 2 };

export function packKindOf(kind: ObjectKind): PackKind {
  return kind === "data" || kind === "message" ? "data" : "meta";
}

/** A block is closed when it holds so many bytes before compression. */
export const BLOCK_BYTES_TARGET = 2 * 1024 * 1024;
/** One of lane `mailbox`. */
export const MAILBOX_BLOCK_BYTES_TARGET = 512 * 1024;
/** One of the lanes `part` and `dense`. */
export const PART_BLOCK_BYTES_TARGET = 256 * 1024;
/** One of lane `text` in a meta pack: contents of small files, most of all of `cyrus.cache`. */
export const SMALL_FILE_BLOCK_BYTES_TARGET = 256 * 1024;
/** An object (head and tail together) and therefore a block has at most so many bytes. */
export const BLOCK_BYTES_MAX = 16 * 1024 * 1024;
/** A writer ends a pack when it has stored so many bytes. */
export const PACK_BYTES_TARGET = 32 * 1024 * 1024;
export const PACK_OBJECTS_MAX = 1 << 20;
export const PACK_BLOCKS_MAX = 1 << 16;
/** All references of a pack together; as many external ids. */
export const PACK_REFERENCES_MAX = 1 << 21;
/** References of one message. */
export const OBJECT_REFERENCES_MAX = 1 << 16;

export const PACKS_PREFIX = "packs/";

/** Where an object lies: in which block, and there in which bytes of the block before compression. */
export interface ObjectPlace {
  readonly block: number;
  readonly headOffset: number;
  readonly headLength: number;
  readonly tailOffset: number;
  readonly tailLength: number;
}

export interface BlockPlace {
  /** From the start of the pack. */
  readonly offset: number;
  /** With its seal. */
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly codec: number;
}

/**
 * Objects of one lane share blocks, several lanes share a pack: alike with alike. `dense` is for what does not shrink
 * (images, archives): nobody tries. `page` is for what every later run reads, `mailbox` for what it reads of a mailbox that
 * has changed, so that neither opens a block of anything else.
 */
export type BlockLane = "text" | "part" | "dense" | "page" | "mailbox";

export interface PackWriterOptions {
  readonly packKind: PackKind;
  readonly compression: Compression;
  /** Open, decompress and compare each block and the directory after sealing. Default: true. */
  readonly verify?: boolean;
  /** Pages and indexes, which who may only write will open again. */
  readonly isRemembered?: boolean;
  /** For tests: where the pack id and the pack key come from. */
  readonly random?: (count: number) => Uint8Array;
}

export function asPackId(bytes: Uint8Array): PackId {
  if (bytes.length !== PACK_ID_BYTES) throw new RangeError(`a pack id has 32 bytes, not ${bytes.length}`);
  return bytes as PackId;
}

/** `packs/3f/3f0a…`. */
export function packName(id: PackId): string {
  const hex = toHex(id);
  return `${PACKS_PREFIX}${hex.slice(0, 2)}/${hex}`;
}

/** The id in a name that `packName` made, undefined for any other name. */
export function parsePackName(name: string): PackId | undefined {
  const match = /^packs\/([0-9a-f]{2})\/([0-9a-f]{64})$/.exec(name);
  if (match === null || match[2]?.slice(0, 2) !== match[1]) return undefined;
  return asPackId(Buffer.from(match[2] as string, "hex"));
}

export function parsePackKind(byte: number): PackKind {
  if (byte === PACK_KIND_BYTES.data) return "data";
  if (byte === PACK_KIND_BYTES.meta) return "meta";
  throw new CyrvaultError("REPOSITORY_DAMAGED", `pack: unknown pack kind ${byte}`);
}
