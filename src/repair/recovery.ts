/**
 * Which objects are safe (in a pack that nothing is wrong with), and for the others: what can still be read is saved,
 * here or from another repository with the same ids.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import type { PageKind, PageSource } from "../manifest/pages-io.ts";
import { isUnreadable, type Lost } from "../manifest/sufferers.ts";
import { idKey, type ObjectId, type ObjectKind } from "../store/object.ts";
import type { ObjectInfo } from "../store/object-reader.ts";
import { openPack } from "../store/pack-reader.ts";
import type { Repository } from "../store/repository.ts";
import type { Saver } from "./saver.ts";

export interface RecoveryParts {
  readonly repository: Repository;
  /** Hex of packs that are to go. */
  readonly damaged: ReadonlySet<string>;
  /** With the same ids for the same bytes; undefined: there is none. */
  readonly twin: Repository | undefined;
  /** undefined: nothing is saved, what is not safe counts as lost. */
  readonly saver: Saver | undefined;
  readonly onObject: () => void;
}

export class Recovery {
  readonly counts = { saved: 0, savedBytes: 0, fromTwin: 0 };
  readonly #parts: RecoveryParts;
  /** Of objects that are not safe: whether they are lost. */
  readonly #verdicts = new Map<string, boolean>();
  #isClosed = false;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /** Pages as they are, or as the twin has them. */
  readonly source: PageSource = {
    get: async (kind: PageKind, id: ObjectId) => {
      const { repository, twin, saver } = this.#parts;
      try {
        return await repository.objects.get(kind, id);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        const planned = saver?.planned(id);
        if (planned !== undefined) return planned;
        if (twin === undefined) throw error;
        return await twin.objects.get(kind, id);
      }
    },
  };

  readonly lost: Lost = async (kind, id) => {
    this.#parts.onObject();
    const key = idKey(id);
    if (this.#verdicts.get(key) === true) return [id];
    const info = await this.#safePlace(kind, id);
    if (info === undefined) return (await this.#isLost(kind, id)) ? [id] : [];
    const lost: ObjectId[] = [];
    for (const part of info.references)
      if ((await this.#safePlace("data", part)) === undefined && (await this.#isLost("data", part)))
        lost.push(part);
    return lost;
  };

  /** It has been found elsewhere, and saved. */
  noteTaken(id: ObjectId): void {
    this.#verdicts.set(idKey(id), false);
  }

  isLost(id: ObjectId): boolean {
    return this.#verdicts.get(idKey(id)) === true;
  }

  /** From now on nothing can be saved any more. */
  close(): void {
    this.#isClosed = true;
  }

  async #isLost(kind: ObjectKind, id: ObjectId): Promise<boolean> {
    const key = idKey(id);
    const known = this.#verdicts.get(key);
    if (known !== undefined) return known;
    const lost = !(await this.#save(kind, id));
    this.#verdicts.set(key, lost);
    return lost;
  }

  async #save(kind: ObjectKind, id: ObjectId): Promise<boolean> {
    const { repository, twin, saver } = this.#parts;
    if (saver === undefined || this.#isClosed) return false;
    for (const from of [repository, twin]) {
      let bytes: Buffer;
      try {
        if (from === undefined) continue;
        bytes = await from.objects.get(kind, id);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        continue;
      }
      if (!(await saver.save(kind, id, bytes))) continue;
      if (from === twin) this.counts.fromTwin++;
      else {
        this.counts.saved++;
        this.counts.savedBytes += bytes.length;
      }
      return true;
    }
    return false;
  }

  async #safePlace(kind: ObjectKind, id: ObjectId): Promise<Pick<ObjectInfo, "references"> | undefined> {
    const { repository, damaged } = this.#parts;
    const { objects, lookup, backend, seal } = repository;
    try {
      const info = await objects.info(kind, id);
      if (info === undefined) return undefined;
      if (!damaged.has(info.pack)) return info;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    // The nearest copy will not do: perhaps another one.
    for await (const { pack, ordinal } of lookup.candidates(id)) {
      if (!pack.live || damaged.has(pack.hex) || pack.unreadable !== undefined) continue;
      try {
        const opened = await openPack(backend, pack.packId, seal);
        const directory = opened?.directory;
        if (directory === undefined || ordinal >= directory.objectCount) continue;
        if (directory.kindAt(ordinal) === kind && equalBytes(directory.idAt(ordinal), id))
          return { references: directory.referencesAt(ordinal) };
      } catch (error) {
        if (!isUnreadable(error)) throw error;
      }
    }
    return undefined;
  }
}

/** Whether two repositories give the same bytes the same ids. */
export function haveSameIds(a: Repository, b: Repository): boolean {
  const [one, other] = [a.seal, b.seal];
  if (!one.encrypted || !other.encrypted) return one.encrypted === other.encrypted;
  return toHex(one.idKey) === toHex(other.idKey);
}
