/** Reads packs again, byte for byte: every block is opened, every object hashed, every message put together. */
import { equalBytes, toHex } from "../base/bytes.ts";
import type { AssembleMessage, StoredObject } from "../store/object.ts";
import { ObjectHasher } from "../store/object-id.ts";
import { type OpenedPack, objectsInBlock, openPack, scanPack } from "../store/pack-reader.ts";
import { type PackId, packName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import type { CheckErrors } from "./check-errors.ts";

export interface DataCheckContext {
  readonly repository: Repository;
  readonly assemble: AssembleMessage;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onBytes: (storedBytes: number) => void;
}

/** @returns bytes read. */
export async function checkData(context: DataCheckContext, packs: Iterable<PackId>): Promise<number> {
  const { repository, errors, signal, onBytes } = context;
  const verifier = new ObjectVerifier(context);
  let bytesRead = 0;
  for (const packId of packs) {
    const name = packName(packId);
    const pack = await errors.guard(name, () => openPack(repository.backend, packId, repository.seal));
    if (pack === undefined) continue;
    for await (const scanned of scanPack(repository.backend, pack)) {
      signal?.throwIfAborted();
      bytesRead += scanned.storedBytes;
      onBytes(scanned.storedBytes);
      if ("error" in scanned) errors.take(scanned.error, name);
      else await verifier.block(pack, scanned.block, scanned.raw);
    }
  }
  return bytesRead;
}

class ObjectVerifier {
  readonly #context: DataCheckContext;
  readonly #hasher: ObjectHasher;

  constructor(context: DataCheckContext) {
    this.#context = context;
    this.#hasher = new ObjectHasher(context.repository.seal);
  }

  async block(pack: OpenedPack, block: number, raw: Buffer): Promise<void> {
    const { errors } = this.#context;
    const name = packName(pack.packId);
    for (const object of objectsInBlock(pack.directory, block, raw)) {
      const isSound = await errors.guard(name, () => this.#isSound(object));
      if (isSound === false) {
        const what = `${object.kind} object ${toHex(object.id)}`;
        errors.add("REPOSITORY_DAMAGED", name, `${what}: its bytes are not those it is named for`);
      }
    }
  }

  async #isSound({ kind, id, head, tail, references }: StoredObject): Promise<boolean> {
    if (kind !== "message") return tail.length === 0 && equalBytes(this.#hasher.id(kind, head), id);
    const { repository, assemble } = this.#context;
    const hash = this.#hasher.stream("message");
    const load = async (position: number): Promise<Uint8Array> => {
      const reference = references[position];
      return reference === undefined ? new Uint8Array() : await repository.objects.get("data", reference);
    };
    for await (const stretch of assemble(head, tail, load)) hash.update(stretch);
    return equalBytes(hash.digest(), id);
  }
}
