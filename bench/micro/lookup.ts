/**
 * Looking up object ids among a million: `npx tsx bench/micro/lookup.ts [--json FILE]`. The object index (LevelDB), 1,000 at a
 * call, and one segment, whose pages stay in memory; ids that are there and ids that are not. A second of processor time.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LocalBackend } from "../../src/backend/local.ts";
import { silentLogger } from "../../src/base/log.ts";
import { Cache } from "../../src/store/cache.ts";
import { ObjectIndex } from "../../src/store/object-index.ts";
import { asPackId } from "../../src/store/pack-types.ts";
import { UNENCRYPTED } from "../../src/store/seal-context.ts";
import { Sealer } from "../../src/store/sealer.ts";
import { Segment } from "../../src/store/segment.ts";
import { SegmentWriter } from "../../src/store/segment-writer.ts";
import { compare, noise } from "./compare.ts";

const ENTRIES = 1_000_000;
const ID_BYTES = 32;
const AT_ONCE = 1000;
const PAGES_BYTES = 64 * 1024 * 1024;

/** Ascending: the first four bytes grow evenly, so that look-ups go all over the table. */
const ids = noise(ENTRIES * ID_BYTES);
for (let i = 0; i < ENTRIES; i++) ids.writeUInt32BE(Math.floor((i * 2 ** 32) / ENTRIES), i * ID_BYTES);
const packId = asPackId(noise(ID_BYTES));

const directory = mkdtempSync(join(tmpdir(), "cyrvault-lookup-"));
const backend = new LocalBackend(directory);
try {
  const index = await ObjectIndex.open(join(directory, "index"), "bench", silentLogger);
  if (index === undefined) throw new Error("no object index");
  const filler = index.fill([packId]);
  const sealer = new Sealer(UNENCRYPTED);
  const pack = { packId, packKind: "data", objects: ENTRIES } as const;
  const writer = await SegmentWriter.begin(backend, sealer, { packs: [pack], replaces: [] });
  for (let i = 0; i < ENTRIES; i++) {
    await filler.add(ids, i * ID_BYTES, filler.numberOf(packId), i);
    await writer.add(ids, i * ID_BYTES, 0, i);
  }
  await filler.finish();
  const written = await writer.finish();
  const segment = await Segment.open(
    backend,
    sealer,
    written.id,
    new Cache(PAGES_BYTES, (page) => page.length),
  );
  if (segment === undefined) throw new Error("no segment");
  const present = drawn(0);
  const absent = drawn(1);
  const of = (name: string, work: () => Promise<void>) => ({ name, bytes: AT_ONCE, unit: "look-ups", work });
  const fromIndex = (wanted: () => Buffer[]) => async () => void (await index.findMany(wanted()));
  const fromSegment = (wanted: () => Buffer[]) => async () => {
    for (const id of wanted()) await segment.find(id);
  };
  await compare([
    of("object index, there", fromIndex(present)),
    of("object index, not there", fromIndex(absent)),
    of("segment, there", fromSegment(present)),
    of("segment, not there", fromSegment(absent)),
  ]);
  await index.close();
} finally {
  await backend.close();
  rmSync(directory, { recursive: true, force: true });
}

/** Batches of ids from all over the table. @param change - 1: none of them is there. */
function drawn(change: 0 | 1): () => Buffer[] {
  let position = 0;
  return () =>
    Array.from({ length: AT_ONCE }, () => {
      position = (position + 7919) % ENTRIES;
      const id = Buffer.from(ids.subarray(position * ID_BYTES, (position + 1) * ID_BYTES));
      id[12] = (id[12] as number) ^ change;
      return id;
    });
}
