/** Whether what a pack holds under an id has it: read, opened, hashed. */
import { equalBytes, toHex } from "../../base/bytes.ts";
import { CyrvaultError } from "../../base/errors.ts";
import type { AssembleMessage, StoredObject } from "../../store/object.ts";
import { ObjectHasher } from "../../store/object-id.ts";
import { type OpenedPack, objectsInBlock, readBlock } from "../../store/pack-reader.ts";
import { packName } from "../../store/pack-types.ts";
import type { Repository } from "../../store/repository.ts";

export class CopyVerifier {
  readonly #repository: Repository;
  readonly #assemble: AssembleMessage;
  readonly #hasher: ObjectHasher;
  #last: { readonly pack: OpenedPack; readonly block: number; readonly raw: Buffer } | undefined;

  constructor(repository: Repository, assemble: AssembleMessage) {
    this.#repository = repository;
    this.#assemble = assemble;
    this.#hasher = new ObjectHasher(repository.seal);
  }

  /** @throws {CyrvaultError} `REPOSITORY_DAMAGED`, `OBJECT_MISSING`: also of a part of a message. */
  async verify(object: StoredObject, name: string): Promise<void> {
    const { kind, id, head, tail, references } = object;
    const hash = this.#hasher.stream(kind);
    if (kind === "message") {
      const load = async (position: number): Promise<Uint8Array> => {
        const reference = references[position];
        if (reference === undefined) throw damaged(object, name);
        return await this.#repository.objects.get("data", reference);
      };
      for await (const stretch of this.#assemble(head, tail, load)) hash.update(stretch);
    } else hash.update(head);
    if (!equalBytes(hash.digest(), id)) throw damaged(object, name);
  }

  /** As `verify`, of what lies there. Neighbours are read together. */
  async verifyPlace(pack: OpenedPack, ordinal: number): Promise<void> {
    const block = pack.directory.blockOf(ordinal);
    if (this.#last?.pack.packId !== pack.packId || this.#last.block !== block)
      this.#last = { pack, block, raw: await readBlock(this.#repository.backend, pack, block) };
    for (const object of objectsInBlock(pack.directory, block, this.#last.raw))
      if (object.ordinal === ordinal) await this.verify(object, packName(pack.packId));
  }
}

function damaged({ kind, id }: StoredObject, name: string): CyrvaultError {
  return new CyrvaultError(
    "REPOSITORY_DAMAGED",
    `${name}: ${kind} object ${toHex(id)}: its bytes are not those it is named for`,
  );
}
