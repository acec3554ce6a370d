/** Packs that are not there, though something is needed of them: what a segment still knows, a file name tells a person. */
import { Cache } from "../store/cache.ts";
import type { ObjectId } from "../store/object.ts";
import { packName } from "../store/pack-types.ts";
import type { Repository } from "../store/repository.ts";
import { Segment } from "../store/segment.ts";
import { parseSegmentName, SEGMENTS_PREFIX } from "../store/segment-format.ts";
import type { CheckErrors } from "./check-errors.ts";

const PAGE_CACHE_BYTES = 4 * 1024 * 1024;

/** @param ids - objects that no pack has. @returns names, sorted. */
export async function findMissingPacks(
  { backend, sealer }: Pick<Repository, "backend" | "sealer">,
  ids: readonly ObjectId[],
  errors: CheckErrors,
): Promise<string[]> {
  if (ids.length === 0) return [];
  const names = new Set<string>();
  const pages = new Cache<string, Buffer>(PAGE_CACHE_BYTES, (page) => page.length);
  for await (const { name } of backend.list(SEGMENTS_PREFIX)) {
    const id = parseSegmentName(name);
    if (id === undefined) continue;
    // What is wrong with a segment has been said.
    await errors.guard(name, async () => {
      const segment = await Segment.open(backend, sealer, id, pages);
      for (const object of segment === undefined ? [] : ids)
        for (const { pack } of (await segment?.find(object)) ?? []) {
          const covered = segment?.packs[pack];
          if (covered !== undefined) names.add(packName(covered.packId));
        }
    });
  }
  const missing: string[] = [];
  for (const name of names) if ((await backend.size(name)) === undefined) missing.push(name);
  return missing.sort();
}
