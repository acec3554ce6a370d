/** After errors: one more walk through the manifests, to say of each who suffers from it. */
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import { isUnreadable, type Lost, SuffererWalk } from "../manifest/sufferers.ts";
import { BACKUPS_PREFIX } from "../store/backup-files.ts";
import type { ObjectId, ObjectKind } from "../store/object.ts";
import { idKey } from "../store/object.ts";
import type { Repository } from "../store/repository.ts";
import { type Affects, AffectsCollector } from "./affects.ts";
import type { CheckErrors } from "./check-errors.ts";

export interface AffectedContext {
  readonly repository: Repository;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onObject: () => void;
}

const SHOWN_OF_AN_ERROR = 20;
const SHOWN_OF_ALL = 200;

/** Says of each error whom it affects. @returns whom all together affect, undefined where nobody suffers. */
export async function findAffected(context: AffectedContext): Promise<Affects | undefined> {
  const { repository, errors, signal } = context;
  const all = new AffectsCollector(SHOWN_OF_ALL);
  const ofErrors = new Map<number, AffectsCollector>();
  const collectorOf = (position: number): AffectsCollector => {
    const known = ofErrors.get(position) ?? new AffectsCollector(SHOWN_OF_AN_ERROR);
    ofErrors.set(position, known);
    return known;
  };
  for (const [position, { path = "" }] of errors.list.entries()) {
    if (!path.startsWith(BACKUPS_PREFIX)) continue;
    all.addBackup(path.slice(BACKUPS_PREFIX.length));
    collectorOf(position).addBackup(path.slice(BACKUPS_PREFIX.length));
  }
  if (errors.hasDoubtful) {
    const walk = new SuffererWalk(repository.objects, lossOf(context));
    for (const { id } of await repository.listBackups()) {
      signal?.throwIfAborted();
      const root = await readRoot(repository, id);
      for (const sufferer of root === undefined ? [] : await walk.root(root)) {
        all.addBackup(id);
        all.add(sufferer);
        const positions = new Set(sufferer.lost.flatMap((lost) => errors.positionsOf(lost)));
        for (const position of positions) {
          collectorOf(position).addBackup(id);
          collectorOf(position).add(sufferer);
        }
      }
    }
  }
  for (const [position, collector] of ofErrors) {
    const error = errors.list[position];
    if (error !== undefined) error.affects = collector.result();
  }
  return all.isEmpty ? undefined : all.result();
}

/** A doubtful object is read: where another copy serves, nobody suffers. */
function lossOf({ repository, errors, signal, onObject }: AffectedContext): Lost {
  const { objects } = repository;
  const verdicts = new Map<string, boolean>();
  const isLost = async (kind: ObjectKind, id: ObjectId): Promise<boolean> => {
    const key = idKey(id);
    const known = verdicts.get(key);
    if (known !== undefined) return known;
    let lost = false;
    try {
      for await (const _ of objects.stream(kind, id)) signal?.throwIfAborted();
    } catch (error) {
      if (!isUnreadable(error) && !isCyrvaultError(error, "IO")) throw error;
      lost = true;
    }
    verdicts.set(key, lost);
    return lost;
  };
  return async (kind, id) => {
    signal?.throwIfAborted();
    onObject();
    const own = errors.isDoubtful(id);
    if (kind !== "message") return own && (await isLost(kind, id)) ? [id] : [];
    let parts: readonly ObjectId[] = [];
    try {
      parts = ((await objects.info(kind, id))?.references ?? []).filter((part) => errors.isDoubtful(part));
    } catch (error) {
      if (!isUnreadable(error) && !isCyrvaultError(error, "IO")) throw error;
    }
    if (!own && parts.length === 0) return [];
    if (!(await isLost(kind, id))) return [];
    const lost: ObjectId[] = own ? [id] : [];
    for (const part of parts) if (await isLost("data", part)) lost.push(part);
    return lost.length === 0 ? [id] : lost;
  };
}

/** undefined: it has gone, or is an error already. */
async function readRoot(repository: Repository, id: string): Promise<ManifestRoot | undefined> {
  try {
    return decodeRoot(await repository.readBackup(id));
  } catch (error) {
    if (!isCyrvaultError(error)) throw error;
    return undefined;
  }
}
