/** Damaged files that are neither packs nor segments: what can be had elsewhere comes back, the others are set aside. */
import { isCyrvaultError } from "../base/errors.ts";
import type { ManifestRoot } from "../manifest/model.ts";
import { decodeRoot } from "../manifest/root.ts";
import { BACKUPS_PREFIX, backupName, sealRoot } from "../store/backup-files.ts";
import { readForgotten } from "../store/forgotten.ts";
import { GC_PREFIX, gcName, readGcRecords } from "../store/gc-record.ts";
import { PACKS_PREFIX } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import { RECORD_FORMAT } from "../store/run-record.ts";
import { SEGMENTS_PREFIX } from "../store/segment-format.ts";
import type { RecordMended } from "./options.ts";
import { copyAside, setAside } from "./set-aside.ts";

/** What it means that a file of this kind is lost. */
const MEANINGS: Readonly<Record<string, string>> = {
  forgotten: "this backup cannot be brought back by undelete any more",
  checkpoints: "the next backup of that server reads again what the interrupted one had read",
  runs: "a run that is still at work there will have to be started again",
  tags: "tags of this backup are lost, and a hold if it had one: set them again by cyrvault tag",
  accepted: "accepted findings of a server are lost: they are reported again until they are accepted again",
  holds: "pruning was held off for some time, it is not known for how long: hold it off again if need be",
  keys: "the password or key file of this one no longer opens the repository: add it again",
};

export interface MendedRecords {
  readonly records: readonly RecordMended[];
  /** Roots that came back, or would, by backup id. */
  readonly substitutes: ReadonlyMap<string, ManifestRoot>;
  /** Backups whose roots are lost. */
  readonly lostBackups: readonly string[];
}

export interface RecordsContext {
  readonly repository: Repository;
  /** With the same ids, so that its roots mean the same here. */
  readonly twin: Repository | undefined;
  readonly damagedFiles: readonly string[];
  readonly dryRun: boolean;
}

export async function mendRecords(context: RecordsContext): Promise<MendedRecords> {
  const { repository, damagedFiles, dryRun } = context;
  const { backend } = repository;
  const records: RecordMended[] = [];
  const substitutes = new Map<string, ManifestRoot>();
  const lostBackups: string[] = [];
  for (const name of damagedFiles) {
    const [kind = ""] = name.split("/");
    if (name.startsWith(PACKS_PREFIX) || name.startsWith(SEGMENTS_PREFIX)) continue;
    if (name === GC_PREFIX) records.push(...(await mendGc(context)));
    else if (name.startsWith(BACKUPS_PREFIX)) {
      const id = name.slice(BACKUPS_PREFIX.length);
      const found = await findRoot(context, id);
      if (found === undefined) lostBackups.push(id);
      else substitutes.set(id, found.root);
      const what =
        found === undefined
          ? "the root of this backup is lost, and with it the backup"
          : `the root of this backup was taken from ${found.from}`;
      records.push({ name, what });
      if (!dryRun) await mendRoot(context, name, found?.bytes);
    } else if (MEANINGS[kind] !== undefined) {
      records.push({ name, what: MEANINGS[kind] });
      if (!dryRun) await setAside(backend, name);
    } else records.push({ name, what: "it is left as it is" });
  }
  return { records, substitutes, lostBackups };
}

interface FoundRoot {
  readonly from: string;
  readonly bytes: Uint8Array;
  readonly root: ManifestRoot;
}

async function findRoot({ repository, twin }: RecordsContext, id: string): Promise<FoundRoot | undefined> {
  const places: readonly (readonly [string, () => Promise<Uint8Array | undefined>])[] = [
    ["the other repository", async () => await twin?.readBackup(id)],
    ["forgotten/", async () => (await readForgotten(repository, id))?.bytes],
  ];
  for (const [from, read] of places) {
    try {
      const bytes = await read();
      if (bytes === undefined) continue;
      const root = decodeRoot(bytes);
      if (root.backup === id) return { from, bytes, root };
    } catch (error) {
      if (!isCyrvaultError(error) || error.code === "IO") throw error;
    }
  }
  return undefined;
}

async function mendRoot(
  { repository }: RecordsContext,
  name: string,
  bytes: Uint8Array | undefined,
): Promise<void> {
  const { backend, sealer } = repository;
  if (bytes === undefined) {
    await setAside(backend, name);
    return;
  }
  const id = name.slice(BACKUPS_PREFIX.length);
  await copyAside(backend, name);
  await backend.replace(backupName(id), sealRoot(sealer, "backup", name, bytes));
}

/** In the place of a record that cannot be read stands one that says nothing: numbers must not come twice. */
async function mendGc({ repository, dryRun }: RecordsContext): Promise<RecordMended[]> {
  const { backend, sealer } = repository;
  const mended: RecordMended[] = [];
  const numbers: number[] = [];
  for await (const { name } of backend.list(GC_PREFIX)) {
    const match = /^gc\/([0-9]{8})$/.exec(name);
    if (match !== null) numbers.push(Number(match[1]));
  }
  for (const number of numbers.sort((a, b) => a - b)) {
    if (await isReadable(repository, number)) continue;
    const name = gcName(number);
    mended.push({
      name,
      what: "what deletion did in this step is no longer known: what it marked is not marked any more",
    });
    if (dryRun) continue;
    await copyAside(backend, name);
    const empty = { format: RECORD_FORMAT, number, kind: "unmark", atMs: 0, packs: [], runs: [] };
    const json = Buffer.from(JSON.stringify(empty), "utf8");
    await backend.replace(name, sealer.sealNamed("gc", name, json));
  }
  return mended;
}

async function isReadable({ backend, sealer }: Repository, number: number): Promise<boolean> {
  try {
    for await (const record of readGcRecords(backend, sealer, number - 1))
      if (record.number >= number) return true;
    return true;
  } catch (error) {
    if (!isCyrvaultError(error, "REPOSITORY_DAMAGED")) throw error;
    return false;
  }
}
