/** Opens every pack and every segment, and holds the one against the other. */

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

export interface PackCheckContext {
  readonly repository: Repository;
  readonly errors: CheckErrors;
  readonly signal: AbortSignal | undefined;
  readonly onPack: () => void;
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
 * do without, but must read the directories of all such packs.
 * @param needed - hex.
 */
export async function checkCoverage(
  { repository, errors, signal }: PackCheckContext,
  needed: readonly string[],
): Promise<void> {
  const { backend, sealer } = repository;
  const missing = new Set(needed.map((hex) => packName(asPackId(Buffer.from(hex, "hex")))));
  for await (const { name } of backend.list(SEGMENTS_PREFIX)) {
    signal?.throwIfAborted();
    const id = parseSegmentName(name);
    if (id === undefined) continue;
    const pages = new Cache<string, Buffer>(0, (page) => page.length);
    const segment = await errors.guard(name, () => Segment.open(backend, sealer, id, pages));
    for (const { packId } of segment?.packs ?? []) missing.delete(packName(packId));
  }
  for (const name of missing) {
    if ((await backend.size(name)) === undefined) continue;
    errors.blame(SEGMENTS_PREFIX);
    errors.add(
      "REPOSITORY_DAMAGED",
      name,
      `no segment covers ${name}, which backups need: \`cyrvault rebuild-index\` makes one`,
    );
  }
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
