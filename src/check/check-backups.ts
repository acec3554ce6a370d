/** Every object that a backup or a checkpoint needs is in a live pack, in the right kind. */

import { toHex } from "../base/bytes.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { visitNeeded } from "../manifest/needed-objects.ts";
import { ObjectMarks } from "../manifest/object-marks.ts";
import { decodeRoot } from "../manifest/root.ts";
import { BACKUPS_PREFIX, CHECKPOINTS_PREFIX } from "../store/backup-files.ts";
import type { ObjectId, ObjectKind } from "../store/object.ts";
import type { Repository } from "../store/repository.ts";
import type { CheckErrors } from "./check-errors.ts";

export interface BackupCheckContext {
  readonly repository: Repository;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onObject: () => void;
  readonly onBackup: () => void;
}

const CHECKPOINT_BYTES_MAX = 64 * 1024 * 1024;

/** @returns how many backups there are. */
export async function checkBackups(context: BackupCheckContext): Promise<number> {
  const { repository, errors, onBackup } = context;
  const walker = new BackupWalker(context);
  const backups = await repository.listBackups();
  for (const { id } of backups) {
    const root = await errors.guard(BACKUPS_PREFIX + id, async () => {
      const found = decodeRoot(await repository.readBackup(id));
      if (found.backup !== id)
        errors.add("REPOSITORY_DAMAGED", BACKUPS_PREFIX + id, `backup ${id} says that it is another one`);
      return found;
    });
    if (root !== undefined) await walker.walk(root);
    onBackup();
  }
  for await (const { name } of repository.backend.list(CHECKPOINTS_PREFIX)) {
    const root = await errors.guard(name, async () => {
      const sealed = await repository.backend.read(name, CHECKPOINT_BYTES_MAX);
      return sealed === undefined
        ? undefined
        : decodeRoot(repository.sealer.openNamed("checkpoint", name, sealed));
    });
    if (root !== undefined) await walker.walk(root);
  }
  return backups.length;
}

class BackupWalker {
  readonly #context: BackupCheckContext;
  readonly #marks = new ObjectMarks();

  constructor(context: BackupCheckContext) {
    this.#context = context;
  }

  async walk(root: ManifestRoot): Promise<void> {
    await visitNeeded(root, this.#context.repository.objects, {
      visit: (kind, id, where) => this.#visit(kind, id, where),
      onDamage: (error, where) => this.#context.errors.take(error, where()),
    });
  }

  async #visit(kind: ObjectKind, id: ObjectId, where: () => string): Promise<boolean> {
    const { repository, errors, signal, onObject } = this.#context;
    signal?.throwIfAborted();
    let info: Awaited<ReturnType<typeof repository.objects.info>>;
    try {
      info = await repository.objects.info(kind, id);
    } catch (error) {
      errors.take(error, where());
      return false;
    }
    if (info === undefined) {
      errors.add("OBJECT_MISSING", where(), `no pack has ${kind} object ${toHex(id)}`);
      return false;
    }
    if (!this.#marks.mark(info.pack, info.ordinal)) return false;
    onObject();
    for (const reference of info.references) await this.#visit("data", reference, where);
    return true;
  }
}
