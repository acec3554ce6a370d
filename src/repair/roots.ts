/** The roots that a repair looks after: of backups, of runs under way or broken off, of forgotten backups. */
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import { CHECKPOINTS_PREFIX, readBackup, readCheckpoint } from "../store/backup-files.ts";
import { listForgotten, readForgotten } from "../store/forgotten.ts";
import type { Repository } from "../store/repository.ts";

export interface KnownRoot {
  readonly kind: "backup" | "checkpoint" | "forgotten";
  /** Of the file. */
  readonly name: string;
  readonly root: ManifestRoot;
}

/** Those that can be read. @param substitutes - by backup id, for roots that are to come back. */
export async function readRoots(
  repository: Repository,
  substitutes: ReadonlyMap<string, ManifestRoot>,
): Promise<KnownRoot[]> {
  const { backend, sealer } = repository;
  const roots: KnownRoot[] = [];
  const take = async (kind: KnownRoot["kind"], name: string, read: () => Promise<Uint8Array | undefined>) => {
    try {
      const bytes = await read();
      if (bytes !== undefined) roots.push({ kind, name, root: decodeRoot(bytes) });
    } catch (error) {
      if (!isCyrvaultError(error) || error.code === "IO") throw error;
    }
  };
  for (const { id } of await repository.listBackups()) {
    const name = `backups/${id}`;
    const substitute = substitutes.get(id);
    if (substitute !== undefined) roots.push({ kind: "backup", name, root: substitute });
    else await take("backup", name, () => readBackup(backend, sealer, id));
  }
  for await (const { name } of backend.list(CHECKPOINTS_PREFIX))
    await take("checkpoint", name, async () => {
      const run = name.slice(CHECKPOINTS_PREFIX.length);
      return (await readCheckpoint(backend, sealer, run))?.bytes;
    });
  for (const id of await listForgotten(backend))
    await take("forgotten", `forgotten/${id}`, async () => (await readForgotten(repository, id))?.bytes);
  return roots;
}
