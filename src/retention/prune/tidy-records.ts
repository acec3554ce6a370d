/** Takes away records of deletion that no longer tell anybody anything, so that years of them need not be read. */
import { toHex } from "../../base/bytes.ts";
import { readRuns } from "../../store/backup-files.ts";
import { gcName, readGcRecords } from "../../store/gc-record.ts";
import { PACKS_PREFIX, parsePackName } from "../../store/pack-types.ts";
import type { Repository } from "../../store/repository.ts";

/**
 * Those whose packs have all gone, and that every run has seen. The packs are listed before the runs: a run that is in
 * no list looks which packs there are after they have gone. The newest stays, for its number; fences stay.
 * @param own - the run of this prune.
 * @returns how many went.
 */
export async function tidyRecords(
  { backend, sealer }: Pick<Repository, "backend" | "sealer">,
  own: string,
): Promise<number> {
  const records: { readonly number: number; readonly kind: string; readonly packs: readonly string[] }[] = [];
  for await (const { number, kind, packs } of readGcRecords(backend, sealer))
    records.push({ number, kind, packs });
  const there = new Set<string>();
  for await (const { name } of backend.list(PACKS_PREFIX)) {
    const packId = parsePackName(name);
    if (packId !== undefined) there.add(toHex(packId));
  }
  let seen = (records.at(-1)?.number ?? 0) - 1;
  for (const { run, gcSeen } of await readRuns(backend, sealer))
    if (run !== own) seen = Math.min(seen, gcSeen);
  let count = 0;
  for (const { number, kind, packs } of records) {
    if (number > seen || kind === "fence" || packs.some((pack) => there.has(pack))) continue;
    if (await backend.remove(gcName(number))) count++;
  }
  return count;
}
