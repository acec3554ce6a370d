/** What each class of files costs a day, cut in different ways: from the copies of Cyrus's own files of all days. */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PackMeter } from "../../src/analyze/pack-meter.ts";
import { asObjectId } from "../../src/store/object.ts";
import {
  byColumns,
  byContent,
  byPages,
  byPairs,
  byRecords,
  type Cutting,
  LARGE_GROUPS,
  NOW,
  WHOLE,
} from "./cuttings.ts";
import { filesOfDay, sameFile } from "./day-copies.ts";
import { DATABASES, isLeftOut, kindOf } from "./file-kinds.ts";

/** Id, place and kind in the directory of a pack, and its line in a segment: measured on the study's repository. */
const OBJECT_BYTES = 62;
/** In the entry of its file. */
const ID_BYTES = 32;
/** Stored bytes a day, below which nothing is to be gained. */
const WORTH_A_TABLE = 1000;
const INLINE_BYTES_MAX = 512;
const NOTHING = new Uint8Array(0);

interface DayCost {
  files: number;
  changed: number;
  /** Of the changed files: read, and given to the chunker. */
  source: number;
  /** Of all files of the class. */
  present: number;
  objects: number;
  raw: number;
  stored: number;
  /** Chunks that the entries of all files name. */
  named: number;
}

const SMALL_GROUPS = { min: 16, avg: 64, max: 256 };
const INDEX_CUTTINGS: readonly Cutting[] = [
  NOW,
  WHOLE,
  byContent(64),
  byContent(16),
  byContent(4),
  byRecords(LARGE_GROUPS, 64),
  byRecords(LARGE_GROUPS, 16),
  byRecords(SMALL_GROUPS, 16),
  byColumns(LARGE_GROUPS, false),
  byColumns(LARGE_GROUPS, true),
  byColumns(SMALL_GROUPS, true),
];
const CACHE_CUTTINGS: readonly Cutting[] = [
  NOW,
  WHOLE,
  byContent(128),
  byContent(64),
  byContent(32),
  byContent(16),
  byContent(8),
];
const DATABASE_CUTTINGS: readonly Cutting[] = [
  NOW,
  WHOLE,
  byContent(64),
  byContent(32),
  byContent(16),
  byContent(8),
  byContent(4),
  byPairs(64),
  byPairs(32),
  byPairs(16),
  byPages(4),
  byPages(16),
];

/** @param repacked - of each day, whether `cyr_expire -X` ran. The first day is the full backup. */
export function compareAlternatives(days: readonly string[], repacked: readonly boolean[]): string {
  const kinds = [...new Set(days.flatMap((day) => filesOfDay(day).map(kindOf)))].sort();
  const sections = [kindTable(days, repacked, kinds)];
  for (const kind of kinds) {
    const cuttings =
      kind === "cyrus.index"
        ? INDEX_CUTTINGS
        : kind === "cyrus.cache"
          ? CACHE_CUTTINGS
          : DATABASES.has(kind)
            ? DATABASE_CUTTINGS
            : [];
    const now = measure(days, kind, NOW).slice(1);
    if (cuttings.length > 0 && mean(now, "stored") > WORTH_A_TABLE)
      sections.push(cuttingTable(days, repacked, kind, cuttings));
  }
  return sections.join("\n\n");
}

function kindTable(days: readonly string[], repacked: readonly boolean[], kinds: readonly string[]): string {
  const lines = [
    "| class | files | kB | changed a day | their kB | new objects | raw kB | stored kB | on days without repack | with |",
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
  ];
  for (const kind of kinds) {
    const costs = measure(days, kind, NOW);
    const later = costs.slice(1);
    const last = costs.at(-1);
    const { plain, packed } = splitDays(later, repacked.slice(1));
    const figures = [
      last?.files ?? 0,
      kb(last?.present ?? 0),
      mean(later, "changed").toFixed(1),
      kb(mean(later, "source")),
      ...(isLeftOut(kind)
        ? ["–", "–", "–", "–", "–"]
        : [
            mean(later, "objects").toFixed(1),
            kb(mean(later, "raw")),
            kb(mean(later, "stored")),
            kb(mean(plain, "stored")),
            kb(mean(packed, "stored")),
          ]),
    ];
    lines.push(`| ${kind} | ${figures.join(" | ")} |`);
  }
  return lines.join("\n");
}

function cuttingTable(
  days: readonly string[],
  repacked: readonly boolean[],
  kind: string,
  cuttings: readonly Cutting[],
): string {
  const lines = [
    `| ${kind} | first day: objects | stored kB | a day: objects | raw kB | stored kB | bookkeeping kB | together kB | without repack | with |`,
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
  ];
  for (const cutting of cuttings) {
    const [first, ...later] = measure(days, kind, cutting);
    if (first === undefined) continue;
    const { plain, packed } = splitDays(later, repacked.slice(1));
    const records = (costs: readonly DayCost[]) =>
      mean(costs, "objects") * OBJECT_BYTES + mean(costs, "named") * ID_BYTES;
    const together = (costs: readonly DayCost[]) => mean(costs, "stored") + records(costs);
    const figures = [
      first.objects,
      kb(first.stored),
      mean(later, "objects").toFixed(1),
      kb(mean(later, "raw")),
      kb(mean(later, "stored")),
      kb(records(later)),
      kb(together(later)),
      kb(together(plain)),
      kb(together(packed)),
    ];
    lines.push(`| ${cutting.name} | ${figures.join(" | ")} |`);
  }
  return lines.join("\n");
}

/** One element a day. */
function measure(days: readonly string[], kind: string, cutting: Cutting): DayCost[] {
  const seen = new Set<string>();
  let namedBy = new Map<string, number>();
  return days.map((day, index) => {
    const before = days[index - 1];
    const cost: DayCost = {
      files: 0,
      changed: 0,
      source: 0,
      present: 0,
      objects: 0,
      raw: 0,
      stored: 0,
      named: 0,
    };
    const meter = new PackMeter("meta", "auto");
    const named = new Map<string, number>();
    for (const path of filesOfDay(day)) {
      if (kindOf(path) !== kind) continue;
      const bytes = readFileSync(join(day, path));
      cost.files++;
      cost.present += bytes.length;
      const isSame = before !== undefined && sameFile(join(before, path), join(day, path));
      if (isSame) {
        named.set(path, namedBy.get(path) ?? 0);
        continue;
      }
      cost.changed++;
      cost.source += bytes.length;
      let count = 0;
      if (bytes.length > INLINE_BYTES_MAX)
        for (const chunk of cutting.chunks(path, bytes)) {
          count++;
          const digest = hash("sha256", chunk, "buffer");
          const key = digest.toString("base64");
          if (seen.has(key)) continue;
          seen.add(key);
          meter.add({ kind: "meta", id: asObjectId(digest), head: chunk, tail: NOTHING, references: [] });
        }
      named.set(path, count);
    }
    meter.finish();
    namedBy = named;
    for (const count of named.values()) cost.named += count;
    cost.objects = meter.totals.objects;
    cost.raw = meter.totals.rawBytes;
    cost.stored = meter.totals.blockBytes;
    return cost;
  });
}

function splitDays(
  costs: readonly DayCost[],
  repacked: readonly boolean[],
): { plain: DayCost[]; packed: DayCost[] } {
  return {
    plain: costs.filter((_, i) => repacked[i] !== true),
    packed: costs.filter((_, i) => repacked[i] === true),
  };
}

function mean(costs: readonly DayCost[], field: keyof DayCost): number {
  return costs.reduce((sum, cost) => sum + cost[field], 0) / Math.max(1, costs.length);
}

function kb(bytes: number): string {
  return (bytes / 1000).toFixed(1);
}
