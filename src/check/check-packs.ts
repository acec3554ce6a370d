/** Opens every pack and every segment, and holds the one against the other. */

import { toHex } from "../base/bytes.ts";
import { isCyrvaultError } from "../base/errors.ts";
import type { ObjectMarks } from "../manifest/object-marks.ts";
import { Cache } from "../store/cache.ts";
import type { PackDirectory } from "../store/pack-directory.ts";
import { openPack } from "../store/pack-reader.ts";
import { asPackId, PACKS_PREFIX, type PackId, packName, parsePackName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import { Segment } from "../store/segment.ts";
import { PREFIX_BYTES, parseSegmentName, SEGMENTS_PREFIX } from "../store/segment-format.ts";
import type { CheckErrors } from "./check-errors.ts";
import { EntrySum } from "./entry-sum.ts";

export interface CheckedPack {
  readonly packId: PackId;
  readonly objects: number;
  /** Of its blocks, as stored. */
  readonly blockBytes: number;
  readonly sum: EntrySum;
}

export interface NeededPacks {
  /** Hex. */
  readonly packs: readonly string[];
  readonly marks: ObjectMarks;
}

export interface PackCheckContext {
  readonly repository: Repository;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onPack: () => void;
  /** How many there are. */
  readonly onListed?: (packs: number) => void;
}

const PAGE_CACHE_BYTES = 4 * 1024 * 1024;

/** By name. Those that cannot be opened are errors and not in the map. */
export async function checkPacks(context: PackCheckContext): Promise<Map<string, CheckedPack>> {
  const { repository, errors, signal, onPack } = context;
  const { backend, seal } = repository;
  const ids: PackId[] = [];
  for await (const { name } of backend.list(PACKS_PREFIX)) {
    const packId = parsePackName(name);
    if (packId !== undefined) ids.push(packId);
  }
  context.onListed?.(ids.length);
  const packs = new Map<string, CheckedPack>();
  for (const packId of ids) {
    signal?.throwIfAborted();
    const name = packName(packId);
    const opened = await errors.guard(name, () => openPack(backend, packId, seal));
    onPack();
    if (opened === undefined) continue;
    const { directory } = opened;
    packs.set(name, {
      packId,
      objects: directory.objectCount,
      blockBytes: directory.blocksEnd - directory.blocksStart,
      sum: sumOf(directory),
    });
  }
  return packs;
}

/** A segment must say of each pack exactly what the pack's directory says. Packs that have been swept since don't count. */
export async function checkSegments(
  context: PackCheckContext,
  packs: ReadonlyMap<string, CheckedPack>,
): Promise<void> {
  const { repository, errors } = context;
  const names: string[] = [];
  for await (const { name } of repository.backend.list(SEGMENTS_PREFIX)) names.push(name);
  for (const name of names) {
    const id = parseSegmentName(name);
    if (id === undefined) continue;
    const pages = new Cache<string, Buffer>(PAGE_CACHE_BYTES, (page) => page.length);
    await errors.guard(name, async () => {
      const segment = await Segment.open(repository.backend, repository.sealer, id, pages);
      if (segment !== undefined) await checkSegment(context, segment, packs);
    });
  }
}

/**
 * A commit leaves no pack that its backup needs without a segment: where there is none, a segment has been lost. Readers
 * do without, but must read the directories of all such packs. (What a run that broke off has stored may be without, and
 * a backup that had its own copies of that does not need it.)
 */
export async function checkCoverage(context: PackCheckContext, needed: NeededPacks): Promise<void> {
  const { repository, errors, signal } = context;
  const { backend, sealer } = repository;
  const missing = new Set(needed.packs.map((hex) => packName(asPackId(Buffer.from(hex, "hex")))));
  for await (const { name } of backend.list(SEGMENTS_PREFIX)) {
    signal?.throwIfAborted();
    const id = parseSegmentName(name);
    if (id === undefined) continue;
    const pages = new Cache<string, Buffer>(0, (page) => page.length);
    const segment = await errors.guard(name, () => Segment.open(backend, sealer, id, pages));
    for (const { packId } of segment?.packs ?? []) missing.delete(packName(packId));
  }
  for (const name of missing) {
    if (!(await hasOnlyCopies(context, name, needed.marks, missing))) continue;
    errors.blame(SEGMENTS_PREFIX);
    errors.add(
      "REPOSITORY_DAMAGED",
      name,
      `no segment covers ${name}, which backups need: \`cyrvault rebuild-index\` makes one`,
    );
  }
}

/** Whether something that is needed lies in no covered pack. @param missing - names of all packs that no segment covers. */
async function hasOnlyCopies(
  { repository }: PackCheckContext,
  name: string,
  marks: ObjectMarks,
  missing: ReadonlySet<string>,
): Promise<boolean> {
  const packId = parsePackName(name) as PackId;
  let directory: PackDirectory;
  try {
    const pack = await openPack(repository.backend, packId, repository.seal);
    if (pack === undefined) return false;
    directory = pack.directory;
  } catch (error) {
    if (isCyrvaultError(error)) return true; // what is wrong with it has been said
    throw error;
  }
  for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
    if (!marks.has(toHex(packId), ordinal)) continue;
    let isElsewhere = false;
    for await (const copy of repository.lookup.candidates(directory.idAt(ordinal)))
      if (!missing.has(packName(copy.pack.packId))) isElsewhere = true;
    if (!isElsewhere) return true;
  }
  return false;
}

async function checkSegment(
  { errors, signal }: PackCheckContext,
  segment: Segment,
  packs: ReadonlyMap<string, CheckedPack>,
): Promise<void> {
  const sums = segment.packs.map(() => new EntrySum());
  for (let number = 0; number < segment.pageCount; number++) {
    signal?.throwIfAborted();
    const page = await segment.readPage(number);
    for (let at = 0; at + segment.entryBytes <= page.length; at += segment.entryBytes)
      sums[segment.packAt(page, at)]?.add(page, at, segment.ordinalAt(page, at));
    await checkFilter(errors, segment, page);
  }
  for (const [i, { packId, objects }] of segment.packs.entries()) {
    const pack = packs.get(packName(packId));
    if (pack === undefined) continue;
    if (pack.objects === objects && pack.sum.equals(sums[i] as EntrySum)) continue;
    errors.blame(segment.name);
    errors.add(
      "REPOSITORY_DAMAGED",
      segment.name,
      `${segment.name} does not say what ${packName(packId)} holds`,
    );
  }
}

/** What stands in a page must be found the way readers look for it. */
async function checkFilter(errors: CheckErrors, segment: Segment, page: Buffer): Promise<void> {
  for (const at of new Set([0, page.length - segment.entryBytes])) {
    if (at < 0) continue;
    const id = Buffer.alloc(32);
    page.copy(id, 0, at, at + PREFIX_BYTES);
    if ((await segment.find(id)).length > 0) continue;
    errors.blame(segment.name);
    errors.add("REPOSITORY_DAMAGED", segment.name, `${segment.name} does not find what it holds`);
  }
}

function sumOf(directory: PackDirectory): EntrySum {
  const sum = new EntrySum();
  for (let ordinal = 0; ordinal < directory.objectCount; ordinal++) {
    const id = directory.idAt(ordinal);
    sum.add(Buffer.from(id.buffer, id.byteOffset, id.byteLength), 0, ordinal);
  }
  return sum;
}
