/** How much there is, how much of it is stored, and as what. */
import type { ManifestRoot } from "../manifest/model.ts";
import { visitNeeded } from "../manifest/needed-objects.ts";
import { ObjectMarks } from "../manifest/object-marks.ts";
import type { ObjectId, ObjectKind } from "../store/object.ts";
import { openPack } from "../store/pack-reader.ts";
import type { Repository } from "../store/repository.ts";
import { type OnUnreadable, readBackups } from "./backups.ts";

export interface KindTotals {
  objects: number;
  /** In the stored form, before compression. */
  bytes: number;
  /** Their share of the blocks that hold them. */
  stored: number;
}

export interface Stats {
  readonly backups: number;
  /** Of all backups together, as `bytes.source`. */
  readonly mailboxes: number;
  readonly messages: number;
  readonly bytes: {
    /** What the backups cover: each counted whole. */
    readonly source: number;
    /** Of different objects, before compression. */
    readonly unique: number;
    /** Of all files of the repository; of a backup: of what it needs. */
    readonly stored: number;
  };
  readonly kinds: Readonly<Record<ObjectKind, KindTotals>>;
  /** source / unique. */
  readonly dedupRatio: number;
  /** unique / stored. */
  readonly compressionRatio: number;
}

export interface StatsContext {
  readonly signal: AbortSignal;
  readonly onUnreadable: OnUnreadable;
  /** Objects looked at. */
  readonly onProgress: (objects: number) => void;
}

/** Of the whole repository. Reads the directories of all packs. */
export async function repositoryStats(repository: Repository, context: StatsContext): Promise<Stats> {
  const covered = { backups: 0, mailboxes: 0, messages: 0, source: 0 };
  for await (const root of readBackups(repository, context.onUnreadable)) {
    covered.backups++;
    covered.mailboxes += root.counts.mailboxes;
    covered.messages += root.counts.messages;
    covered.source += root.bytes.source;
  }
  const kinds = noTotals();
  await repository.lookup.ready();
  for (const { packId } of [...repository.lookup.packs.live()]) {
    context.signal.throwIfAborted();
    const pack = await openPack(repository.backend, packId, repository.seal);
    if (pack === undefined) continue;
    const { directory } = pack;
    for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
      const { block, headLength, tailLength } = directory.place(ordinal);
      const { storedBytes, rawBytes } = directory.blockAt(block);
      const bytes = headLength + tailLength;
      add(kinds[directory.kindAt(ordinal)], bytes, rawBytes === 0 ? 0 : (bytes * storedBytes) / rawBytes);
    }
    context.onProgress(directory.objectCount);
  }
  let stored = 0;
  for await (const { bytes } of repository.backend.list("")) stored += bytes;
  return statsOf(covered, kinds, stored);
}

/** Of what one backup needs, shared with others or not. */
export async function backupStats(
  repository: Repository,
  root: ManifestRoot,
  context: StatsContext,
): Promise<Stats> {
  const kinds = noTotals();
  const marks = new ObjectMarks();
  const { objects } = repository;
  const visit = async (kind: ObjectKind, id: ObjectId): Promise<boolean> => {
    context.signal.throwIfAborted();
    const info = await objects.info(kind, id);
    if (info === undefined || !marks.mark(info.pack, info.ordinal)) return false;
    add(kinds[kind], info.headLength + info.tailLength, info.storedBytes);
    context.onProgress(1);
    for (const reference of info.references) await visit("data", reference);
    return true;
  };
  await visitNeeded(root, objects, {
    visit,
    onDamage: (error) => {
      throw error;
    },
  });
  let stored = 0;
  for (const totals of Object.values(kinds)) stored += totals.stored;
  const { mailboxes, messages } = root.counts;
  return statsOf({ backups: 1, mailboxes, messages, source: root.bytes.source }, kinds, stored);
}

function statsOf(
  {
    backups,
    mailboxes,
    messages,
    source,
  }: { backups: number; mailboxes: number; messages: number; source: number },
  kinds: Record<ObjectKind, KindTotals>,
  stored: number,
): Stats {
  let unique = 0;
  for (const totals of Object.values(kinds)) {
    unique += totals.bytes;
    totals.stored = Math.round(totals.stored);
  }
  return {
    backups,
    mailboxes,
    messages,
    bytes: { source, unique, stored: Math.round(stored) },
    kinds,
    dedupRatio: ratio(source, unique),
    compressionRatio: ratio(unique, stored),
  };
}

function add(totals: KindTotals, bytes: number, stored: number): void {
  totals.objects++;
  totals.bytes += bytes;
  totals.stored += stored;
}

/** 1 where there is nothing. */
function ratio(a: number, b: number): number {
  return b === 0 ? 1 : Math.round((a / b) * 1000) / 1000;
}

function noTotals(): Record<ObjectKind, KindTotals> {
  const none = (): KindTotals => ({ objects: 0, bytes: 0, stored: 0 });
  return { data: none(), message: none(), meta: none(), manifest: none() };
}
