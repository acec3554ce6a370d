/** Every object that a backup or a checkpoint needs is in a live pack, in the right kind. */

import { toHex } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { visitNeeded } from "../manifest/needed-objects.ts";
import { ObjectMarks } from "../manifest/object-marks.ts";
import { decodeRoot } from "../manifest/root.ts";
import { BACKUPS_PREFIX, CHECKPOINTS_PREFIX, readCheckpoint } from "../store/backup-files.ts";
import type { ObjectId, ObjectKind } from "../store/object.ts";
import type { ObjectCopy } from "../store/object-reader.ts";
import { asPackId, packName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import type { CheckErrors } from "./check-errors.ts";

export interface BackupCheckContext {
  readonly repository: Repository;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onObject: () => void;
  readonly onBackup: () => void;
}

export interface CheckedBackups {
  readonly count: number;
  /** Packs that they need: hex. */
  readonly packs: readonly string[];
  /** What is needed of them. */
  readonly marks: ObjectMarks;
}

export async function checkBackups(context: BackupCheckContext): Promise<CheckedBackups> {
  const { repository, errors, onBackup } = context;
  const walker = new BackupWalker(context);
  const backups = await repository.listBackups();
  for (const { id } of backups) {
    const root = await errors.guard(BACKUPS_PREFIX + id, async () => {
      const found = decodeRoot(await repository.readBackup(id));
      if (found.backup !== id) {
        errors.add("REPOSITORY_DAMAGED", BACKUPS_PREFIX + id, `backup ${id} says that it is another one`);
        errors.blame(BACKUPS_PREFIX + id);
      }
      return found;
    });
    if (root !== undefined) await walker.walk(root);
    onBackup();
  }
  // Packs of runs under way may be in no segment yet: those that only a checkpoint needs are not among these.
  const packs = [...walker.packs];
  for await (const { name } of repository.backend.list(CHECKPOINTS_PREFIX)) {
    const run = name.slice(CHECKPOINTS_PREFIX.length);
    const root = await errors.guard(name, async () => {
      const checkpoint = await readCheckpoint(repository.backend, repository.sealer, run);
      return checkpoint === undefined ? undefined : decodeRoot(checkpoint.bytes);
    });
    if (root !== undefined) await walker.walk(root);
  }
  return { count: backups.length, packs, marks: walker.marks };
}

interface Listed {
  readonly kind: "manifest" | "meta";
  readonly id: ObjectId;
}

class BackupWalker {
  readonly #context: BackupCheckContext;
  readonly marks = new ObjectMarks();
  /** The page or list that the walk reads next. */
  #last: Listed | undefined;
  readonly #unread: Listed[] = [];

  constructor(context: BackupCheckContext) {
    this.#context = context;
  }

  /** Hex; those of which something was needed so far. */
  get packs(): Iterable<string> {
    return this.marks.packs;
  }

  async walk(root: ManifestRoot): Promise<void> {
    await visitNeeded(root, this.#context.repository.objects, {
      visit: (kind, id, where) => this.#visit(kind, id, where),
      onDamage: (error, where) => {
        this.#context.errors.take(error, where(), this.#last === undefined ? [] : [this.#last.id]);
        if (this.#last !== undefined) this.#unread.push(this.#last);
      },
    });
    for (const unread of this.#unread.splice(0)) await this.#blamePack(unread);
  }

  async #visit(kind: ObjectKind, id: ObjectId, where: () => string): Promise<boolean> {
    const { errors, signal, onObject } = this.#context;
    signal?.throwIfAborted();
    let copy: ObjectCopy | undefined;
    try {
      copy = await this.#find(kind, id);
    } catch (error) {
      errors.take(error, where(), [id]);
      await this.#doubtByPacks(id);
      return false;
    }
    if (copy === undefined) {
      errors.add("OBJECT_MISSING", where(), `no pack has ${kind} object ${toHex(id)}`, [id]);
      return false;
    }
    const { hex, ordinal, pack } = copy;
    if (!this.marks.mark(hex, ordinal)) return false;
    if (kind === "manifest" || kind === "meta") this.#last = { kind, id };
    onObject();
    const { directory } = pack;
    if (!directory.hasReferences(ordinal)) return true;
    for (const place of directory.referencePlacesAt(ordinal)) {
      // What lies in the same pack is there: looking for it would be a page of a segment for each attachment.
      if (typeof place !== "number") await this.#visit("data", place, where);
      else if (directory.kindAt(place) !== "data") await this.#visit("data", directory.idAt(place), where);
      else if (this.marks.mark(hex, place)) onObject();
    }
    return true;
  }

  /** @throws {CyrvaultError} what is wrong with the only copies. */
  async #find(kind: ObjectKind, id: ObjectId): Promise<ObjectCopy | undefined> {
    const { objects } = this.#context.repository;
    const copy = objects.locateNear(kind, id) ?? (await objects.locate(kind, id));
    if (copy !== undefined) return copy;
    return (await objects.has(kind, id)) ? await objects.locate(kind, id) : undefined;
  }

  /** Where the page's bytes are at fault, and not what they say, its pack is. */
  async #blamePack({ kind, id }: Listed): Promise<void> {
    const { repository, errors } = this.#context;
    try {
      await repository.objects.get(kind, id);
    } catch (error) {
      if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
      const info = await repository.objects.info(kind, id);
      if (info !== undefined) errors.blame(packName(asPackId(Buffer.from(info.pack, "hex"))));
    }
  }

  /** What cannot be found is put down to the packs that should have it, or to those that nobody knows what they hold. */
  async #doubtByPacks(id: ObjectId): Promise<void> {
    const { repository, errors } = this.#context;
    const { lookup } = repository;
    let isTold = false;
    for await (const { pack } of lookup.candidates(id)) {
      isTold = true;
      errors.doubtBecauseOf(id, packName(pack.packId));
    }
    if (isTold) return;
    for (const { packId } of lookup.unreadablePacks()) errors.doubtBecauseOf(id, packName(packId));
  }
}
