/** What is needed of a repository: one bit for each object by its place, so that 25 million of them take 3 MB. */
import { toHex } from "../../base/bytes.ts";
import { CyrvaultError, isCyrvaultError } from "../../base/errors.ts";
import type { ManifestRoot } from "../../manifest/model.ts";
import { visitNeeded } from "../../manifest/needed-objects.ts";
import { FORGOTTEN_PREFIX } from "../../store/forgotten.ts";
import type { PackSlot } from "../../store/lookup-packs.ts";
import type { ObjectId, ObjectKind } from "../../store/object.ts";
import type { ObjectCopy } from "../../store/object-reader.ts";
import type { Repository } from "../../store/repository.ts";

export class PlaceBits {
  /** By the pack's slot. */
  readonly #bits: (Uint8Array | undefined)[] = [];
  readonly #counts: number[] = [];

  /** @returns false: it was set already. */
  set({ slot, objects }: PackSlot, ordinal: number): boolean {
    const index = ordinal >>> 3;
    let bits = this.#bits[slot];
    if (bits === undefined || index >= bits.length) {
      const grown = new Uint8Array(Math.max((objects + 7) >>> 3, index + 1));
      if (bits !== undefined) grown.set(bits);
      bits = grown;
      this.#bits[slot] = bits;
    }
    const bit = 1 << (ordinal & 7);
    const before = bits[index] as number;
    if ((before & bit) !== 0) return false;
    bits[index] = before | bit;
    this.#counts[slot] = this.count({ slot }) + 1;
    return true;
  }

  has({ slot }: PackSlot, ordinal: number): boolean {
    return (((this.#bits[slot]?.[ordinal >>> 3] ?? 0) >>> (ordinal & 7)) & 1) === 1;
  }

  clear(pack: PackSlot, ordinal: number): void {
    if (!this.has(pack, ordinal)) return;
    const bits = this.#bits[pack.slot] as Uint8Array;
    bits[ordinal >>> 3] = (bits[ordinal >>> 3] as number) & ~(1 << (ordinal & 7));
    this.#counts[pack.slot] = this.count(pack) - 1;
  }

  /** Of one pack. */
  count({ slot }: Pick<PackSlot, "slot">): number {
    return this.#counts[slot] ?? 0;
  }
}

export interface WalkContext {
  readonly repository: Repository;
  readonly signal: AbortSignal | undefined;
  readonly onObject: () => void;
}

/**
 * Marks everything that a backup, or what is kept of one, needs; of several copies the nearest.
 * @param name - of the root's file.
 * @throws {CyrvaultError} when anything of it cannot be read: what is not known of must not be deleted.
 */
export async function markNeeded(
  root: ManifestRoot,
  name: string,
  needed: PlaceBits,
  context: WalkContext,
): Promise<void> {
  const { repository, signal, onObject } = context;
  const { objects, lookup } = repository;

  const visit = async (kind: ObjectKind, id: ObjectId, where: () => string): Promise<boolean> => {
    signal?.throwIfAborted();
    const copy =
      objects.locateNear(kind, id) ?? (await objects.locate(kind, id)) ?? (await lookHarder(kind, id, where));
    const pack = lookup.packs.byHex(copy.hex) as PackSlot;
    if (!needed.set(pack, copy.ordinal)) return false;
    onObject();
    const { directory } = copy.pack;
    if (directory.hasReferences(copy.ordinal))
      for (const place of directory.referencePlacesAt(copy.ordinal)) {
        if (typeof place !== "number") await visit("data", place, where);
        else if (needed.set(pack, place)) onObject();
      }
    return true;
  };

  /** What has come since we looked which packs there are is found by looking again. */
  const lookHarder = async (kind: ObjectKind, id: ObjectId, where: () => string): Promise<ObjectCopy> => {
    try {
      const copy = (await objects.has(kind, id)) ? await objects.locate(kind, id) : undefined;
      if (copy !== undefined) return copy;
    } catch (error) {
      if (!isCyrvaultError(error)) throw error;
      throw unreadable(name, where(), error.message, error);
    }
    throw unreadable(name, where(), `no pack has ${kind} object ${toHex(id)}`);
  };

  await visitNeeded(root, objects, {
    visit,
    onDamage: (error, where) => {
      throw unreadable(name, where(), error.message, error);
    },
  });
}

/** Why nothing is deleted. @param name - of the file that begins it. */
export function unreadable(name: string, where: string, why: string, cause?: CyrvaultError): CyrvaultError {
  return new CyrvaultError(cause?.code ?? "OBJECT_MISSING", `nothing is pruned: ${name}: ${where}: ${why}`, {
    hint: name.startsWith(FORGOTTEN_PREFIX)
      ? "this backup was forgotten, and until the grace time is over it may be brought back: prune goes on then, or now with a shorter --grace"
      : "`cyrvault check` tells what is concerned, `cyrvault repair` mends it; until then everything is kept",
    cause,
  });
}
