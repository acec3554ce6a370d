/** Reads packs from a backend. Everything read is bounded first and verified by its seal. Format: docs/formats/pack.md. */
import type { Backend } from "../backend/backend.ts";
import { CyrvaultError, isCyrvaultError } from "../base/errors.ts";
import { giveBack } from "../base/give-back.ts";
import type { StoredObject } from "./object.ts";
import { PackDirectory } from "./pack-directory.ts";
import { decodePackFooter, FOOTER_BYTES } from "./pack-footer.ts";
import { PackSeal } from "./pack-seal.ts";
import { type PackId, type PackKind, packName } from "./pack-types.ts";
import type { SealContext } from "./seal-context.ts";
import { HEADER_BYTES_MAX } from "./seal-header.ts";

/** Holds the directory of most packs: one read instead of two. */
const TAIL_BYTES = 65_536;

export interface OpenedPack {
  readonly packId: PackId;
  readonly packKind: PackKind;
  readonly directory: PackDirectory;
  readonly fileBytes: number;
  /** Header and pack key. */
  readonly seal: PackSeal;
}

/**
 * Three reads, of which the last is small unless the directory is large. Holds nothing open.
 * @returns undefined: no such pack.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`.
 */
export async function openPack(
  backend: Backend,
  packId: PackId,
  context: SealContext,
): Promise<OpenedPack | undefined> {
  const name = packName(packId);
  const fileBytes = await backend.size(name);
  if (fileBytes === undefined) return undefined;
  if (fileBytes < FOOTER_BYTES)
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: too short for a pack`);
  const start = await backend.readRange(name, 0, Math.min(HEADER_BYTES_MAX, fileBytes));
  if (start === undefined) return undefined;
  const seal = PackSeal.open(context, packId, start);

  const tailBytes = Math.min(TAIL_BYTES, fileBytes);
  const tail = await backend.readRange(name, fileBytes - tailBytes, tailBytes);
  if (tail === undefined) return undefined;
  const footer = decodePackFooter(seal.header, tail.subarray(tailBytes - FOOTER_BYTES), fileBytes, name);
  const wanted = footer.directoryBytes + FOOTER_BYTES;
  const sealed =
    wanted <= tailBytes
      ? tail.subarray(tailBytes - wanted, tailBytes - FOOTER_BYTES)
      : await backend.readRange(name, footer.directoryOffset, footer.directoryBytes);
  if (sealed === undefined) return undefined;
  // The directory keeps its bytes: a copy, so that a small one does not hold on to a large tail.
  const opened = Buffer.from(seal.openDirectory(footer.directoryOffset, sealed));
  const directory = PackDirectory.parse(opened);
  if (
    directory.blocksStart !== seal.header.length ||
    directory.blocksEnd !== footer.directoryOffset ||
    (directory.packKind ?? seal.packKind) !== seal.packKind
  )
    throw new CyrvaultError("REPOSITORY_DAMAGED", `${name}: the directory does not describe this pack`);
  return { packId, packKind: seal.packKind, directory, fileBytes, seal };
}

/**
 * One block, opened, decompressed, of the right length.
 * @throws {CyrvaultError} `REPOSITORY_DAMAGED`; `OBJECT_MISSING` when the pack has gone since it was opened.
 */
export async function readBlock(backend: Backend, pack: OpenedPack, block: number): Promise<Buffer> {
  const place = pack.directory.blockAt(block);
  const name = packName(pack.packId);
  const stored = await backend.readRange(name, place.offset, place.storedBytes);
  if (stored === undefined)
    throw new CyrvaultError("OBJECT_MISSING", `${name}: the pack has gone since it was opened`);
  const raw = pack.seal.openBlock(block, place, stored);
  if (raw.buffer !== stored.buffer) giveBack(stored);
  return raw;
}

/** The objects of a block, in order. @param raw - what `readBlock` gave: heads and tails are views into it. */
export function* objectsInBlock(
  directory: PackDirectory,
  block: number,
  raw: Uint8Array,
): Generator<StoredObject & { readonly ordinal: number }> {
  const end = directory.firstOrdinal(block + 1);
  for (let ordinal = directory.firstOrdinal(block); ordinal < end; ordinal++) {
    const place = directory.place(ordinal);
    yield {
      ordinal,
      kind: directory.kindAt(ordinal),
      id: directory.idAt(ordinal),
      head: raw.subarray(place.headOffset, place.headOffset + place.headLength),
      tail: raw.subarray(place.tailOffset, place.tailOffset + place.tailLength),
      references: directory.referencesAt(ordinal),
    };
  }
}

export type ScannedBlock =
  | { readonly block: number; readonly storedBytes: number; readonly raw: Buffer }
  /** Damaged or unreadable: the blocks behind it come all the same. */
  | { readonly block: number; readonly storedBytes: number; readonly error: CyrvaultError };

/** Reads every block of a pack, in order, and verifies its seal. `wanted`: which ones, all by default. */
export async function* scanPack(
  backend: Backend,
  pack: OpenedPack,
  wanted: (block: number) => boolean = () => true,
): AsyncGenerator<ScannedBlock> {
  for (let block = 0; block < pack.directory.blockCount; block++) {
    if (!wanted(block)) continue;
    const { storedBytes } = pack.directory.blockAt(block);
    let raw: Buffer;
    try {
      raw = await readBlock(backend, pack, block);
    } catch (error) {
      if (!isCyrvaultError(error) || error.code === "INTERRUPTED") throw error;
      yield { block, storedBytes, error };
      continue;
    }
    yield { block, storedBytes, raw };
  }
}
