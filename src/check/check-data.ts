/** Reads packs again, byte for byte: every block is opened, every object hashed, every message put together. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { ObjectMarks } from "../manifest/object-marks.ts";
import { type AssembleMessage, asObjectId, type ObjectId, type StoredObject } from "../store/object.ts";
import { ObjectHasher } from "../store/object-id.ts";
import type { PackDirectory } from "../store/pack-directory.ts";
import { type OpenedPack, objectsInBlock, openPack, scanPack } from "../store/pack-reader.ts";
import { type PackId, packName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import type { CheckErrors } from "./check-errors.ts";

export interface DataCheckContext {
  readonly repository: Repository;
  readonly assemble: AssembleMessage;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  /** What backups need. */
  readonly needed: ObjectMarks;
  readonly onBytes: (storedBytes: number) => void;
  /** Asked before each pack. */
  readonly mayGoOn: () => boolean;
  /** Every byte of it is as it was written. */
  readonly onVerified: (packId: PackId) => Promise<void>;
}

export interface DataRead {
  readonly bytes: number;
  /** Packs looked at, sound or not. */
  readonly packs: number;
  /** Messages that no backup needs, a part of which is nowhere: what a repair has cut out of the backups. */
  readonly remnants: number;
}

export async function checkData(context: DataCheckContext, packs: Iterable<PackId>): Promise<DataRead> {
  const { repository, errors, signal, onBytes } = context;
  const verifier = new ObjectVerifier(context);
  const read = { bytes: 0, packs: 0, remnants: 0 };
  for (const packId of packs) {
    signal?.throwIfAborted();
    if (!context.mayGoOn()) break;
    read.packs++;
    const name = packName(packId);
    const pack = await errors.guard(name, () => openPack(repository.backend, packId, repository.seal));
    if (pack === undefined) continue;
    let isSound = true;
    for await (const scanned of scanPack(repository.backend, pack)) {
      signal?.throwIfAborted();
      read.bytes += scanned.storedBytes;
      onBytes(scanned.storedBytes);
      if ("error" in scanned) {
        isSound = false;
        errors.take(scanned.error, name, idsInBlock(pack.directory, scanned.block));
        errors.blame(name);
      } else if (!(await verifier.block(pack, scanned.block, scanned.raw))) isSound = false;
    }
    if (isSound) await context.onVerified(packId);
  }
  return { ...read, remnants: verifier.remnants };
}

function idsInBlock(directory: PackDirectory, block: number): ObjectId[] {
  const ids: ObjectId[] = [];
  const end = directory.firstOrdinal(block + 1);
  for (let ordinal = directory.firstOrdinal(block); ordinal < end; ordinal++)
    ids.push(asObjectId(Uint8Array.from(directory.idAt(ordinal))));
  return ids;
}

class ObjectVerifier {
  readonly #context: DataCheckContext;
  readonly #hasher: ObjectHasher;
  remnants = 0;

  constructor(context: DataCheckContext) {
    this.#context = context;
    this.#hasher = new ObjectHasher(context.repository.seal);
  }

  /** @returns whether all of it is sound. */
  async block(pack: OpenedPack, block: number, raw: Buffer): Promise<boolean> {
    const { errors } = this.#context;
    const name = packName(pack.packId);
    let isAllSound = true;
    for (const object of objectsInBlock(pack.directory, block, raw)) {
      const verdict = await this.#judge(object);
      if (verdict === true) continue;
      if (verdict !== false && verdict.ofPart && isCyrvaultError(verdict.error, "OBJECT_MISSING")) {
        if (!this.#context.needed.has(toHex(pack.packId), object.ordinal)) {
          this.remnants++;
          continue;
        }
      }
      isAllSound = false;
      const id = asObjectId(Uint8Array.from(object.id));
      const what = `${object.kind} object ${toHex(id)}`;
      if (verdict === false)
        errors.add("REPOSITORY_DAMAGED", name, `${what}: its bytes are not those it is named for`, [id]);
      else errors.take(verdict.error, name, [id]);
      // A part that lies elsewhere is that pack's fault.
      if (verdict === false || !verdict.ofPart) errors.blame(name);
    }
    return isAllSound;
  }

  async #judge(
    object: StoredObject,
  ): Promise<boolean | { readonly error: unknown; readonly ofPart: boolean }> {
    const { kind, id, head, tail, references } = object;
    if (kind !== "message") return tail.length === 0 && equalBytes(this.#hasher.id(kind, head), id);
    const { repository, assemble } = this.#context;
    const hash = this.#hasher.stream("message");
    let ofPart = false;
    const load = async (position: number): Promise<Uint8Array> => {
      const reference = references[position];
      if (reference === undefined) return new Uint8Array();
      ofPart = true;
      const part = await repository.objects.get("data", reference);
      ofPart = false;
      return part;
    };
    try {
      for await (const stretch of assemble(head, tail, load)) hash.update(stretch);
    } catch (error) {
      return { error, ofPart };
    }
    return equalBytes(hash.digest(), id);
  }
}
