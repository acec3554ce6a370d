import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { countSeen, estimateDistinct, SIGHTINGS_MAX } from "../../../src/analyze/estimate-distinct.ts";
import { LargestAttachments } from "../../../src/analyze/largest-attachments.ts";
import type { MeasuredBody } from "../../../src/analyze/measure-message.ts";
import { draw, GROUPS, jackknife } from "../../../src/analyze/sampling.ts";
import { SeenSet } from "../../../src/analyze/seen-set.ts";
import { SightingTable } from "../../../src/analyze/sighting-table.ts";
import { Random } from "../../../src/sample/random.ts";

const hashOf = (text: string | number) => createHash("sha1").update(String(text)).digest();

test("a set of seen contents answers as a set of their hashes would", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { maxLength: 600 }), (numbers) => {
      const seen = new SeenSet();
      const model = new Set<number>();
      for (const number of numbers) {
        expect(seen.has(hashOf(number))).toBe(model.has(number));
        expect(seen.add(hashOf(number))).toBe(!model.has(number));
        model.add(number);
      }
      expect(seen.size).toBe(model.size);
    }),
    { numRuns: 30 },
  );
});

test("a set of seen contents grows beyond its first table and loses nothing", () => {
  const seen = new SeenSet();
  const count = 20_000;
  const hashes = Array.from({ length: count }, (_, i) => hashOf(i));
  expect(hashes.every((hash) => seen.add(hash))).toBe(true);
  expect(hashes.every((hash) => seen.has(hash))).toBe(true);
  expect(seen.has(hashOf(count))).toBe(false);
  expect(seen.memoryBytes).toBeLessThan(count * 16);
});

test("told how many there will be, a set takes 8 bytes each at most", () => {
  expect(new SeenSet(1_000_000).memoryBytes).toBeLessThanOrEqual(8 * 2 ** 20);
});

test("sightings are counted by part, and without a group as if its messages were not there", () => {
  const table = new SightingTable();
  table.add(hashOf("a"), 10, 0);
  table.add(hashOf("a"), 10, 3);
  table.add(hashOf("a"), 10, 3);
  table.add(hashOf("b"), 7, 3);
  expect([...table.frequencies().counts].slice(0, 5)).toEqual([0, 1, 0, 1, 0]);
  expect([...table.frequencies().bytes].slice(0, 5)).toEqual([0, 7, 0, 10, 0]);
  expect([...table.frequencies(3).counts].slice(0, 5)).toEqual([0, 1, 0, 0, 0]);
});

test("a full table of sightings keeps some, each for several", () => {
  const table = new SightingTable(1 << 12);
  const parts = 40_000;
  for (let i = 0; i < parts; i++) {
    table.add(hashOf(i), 100, i % GROUPS);
    if (i % 2 === 0) table.add(hashOf(i), 100, 0);
  }
  const { counts, bytes } = table.frequencies();
  // 1,740 to 3,481 of 40,000 stay: 3 standard deviations are 10 % of either half at most.
  expect(Math.abs((counts[1] as number) / (parts / 2) - 1)).toBeLessThan(0.1);
  expect(Math.abs((counts[2] as number) / (parts / 2) - 1)).toBeLessThan(0.1);
  expect(bytes[1]).toBe((counts[1] as number) * 100);
});

test("the share chosen is the share asked for, and groups are equally large", () => {
  const groups = new Array<number>(GROUPS).fill(0);
  let chosen = 0;
  for (let i = 0; i < 20_000; i++) {
    const drawn = draw(hashOf(i), 0.2);
    if (!drawn.chosen) continue;
    chosen++;
    groups[drawn.group] = (groups[drawn.group] as number) + 1;
  }
  expect(chosen).toBeGreaterThan(3800);
  expect(chosen).toBeLessThan(4200);
  for (const size of groups) expect(Math.abs(size - 400)).toBeLessThan(80);
  expect(draw(hashOf("x"), 1).chosen).toBe(true);
});

test("the interval of a mean is the usual one", () => {
  const values = [3, 5, 4, 6, 2, 5, 4, 7, 3, 4];
  const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
  const partial = values.map((_, left) => mean(values.filter((_value, i) => i !== left)));
  const variance = values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / 9;
  const { low, high } = jackknife(mean(values), partial);
  expect(high - mean(values)).toBeCloseTo(2.262 * Math.sqrt(variance / 10), 10);
  expect(mean(values) - low).toBeCloseTo(high - mean(values), 10);
});

/** What a sample of a population would meet: [k] of each part, so many messages have it. */
function meet(population: readonly number[], share: number, seed: number): Float64Array {
  const random = new Random(seed, 1);
  const met = new Float64Array(SIGHTINGS_MAX + 1);
  for (const multiplicity of population) {
    let times = 0;
    for (let i = 0; i < multiplicity; i++) if (random.unit() < share) times++;
    if (times > 0) met[Math.min(times, SIGHTINGS_MAX)] = (met[Math.min(times, SIGHTINGS_MAX)] as number) + 1;
  }
  return met;
}

const of = (count: number, multiplicity: number) => new Array<number>(count).fill(multiplicity);

test.each([
  ["nothing occurs twice", of(4000, 1)],
  ["everything occurs twice", of(4000, 2)],
  ["some circulate widely", [...of(2000, 1), ...of(1000, 3), ...of(100, 40)]],
  ["few, all of them well known", of(300, 50)],
])("different parts are estimated from a tenth where %s", (_, population) => {
  const SAMPLES = 12;
  let [estimated, naive] = [0, 0];
  for (let seed = 1; seed <= SAMPLES; seed++) {
    const met = meet(population, 0.1, seed);
    estimated += estimateDistinct(met, 0.1) / SAMPLES;
    naive += countSeen(met) / SAMPLES;
  }
  // One sample is off by 15 % or so, the mean of twelve by 4 %. Beyond that it leans towards "occurs once".
  expect(estimated / population.length).toBeGreaterThan(0.88);
  expect(estimated / population.length).toBeLessThan(1.25);
  expect(naive).toBeLessThanOrEqual(estimated);
  expect(naive / 0.1).toBeGreaterThanOrEqual(estimated);
});

test("where everything is read, as many are different as were met", () => {
  const met = meet([1, 2, 3, 100], 1, 1);
  expect(estimateDistinct(met, 1)).toBe(4);
  expect(estimateDistinct(new Float64Array(SIGHTINGS_MAX + 1), 0.1)).toBe(0);
});

function body(name: string, bytes: number, kind: MeasuredBody["kind"] = "attachment"): MeasuredBody {
  const header = { name, type: "application/pdf", isAttachment: kind === "attachment" };
  return { header, kind, encodedBytes: bytes, encodedHash: hashOf(name), bytes, hash: hashOf(name) };
}

test("an attachment counts once for each message file that holds it, and once a mailbox", () => {
  const largest = new LargestAttachments(10);
  largest.first(hashOf("m1"), [body("big", 100), body("big", 100), body("small", 9)], 1);
  largest.again(hashOf("m1"), 1);
  largest.again(hashOf("m1"), 2);
  largest.first(hashOf("m2"), [body("big", 100), body("note", 500, "text"), body("once", 900)], 2);
  largest.again(hashOf("m9"), 2);
  expect(largest.largest(9)).toEqual([
    { name: "big", type: "application/pdf", bytes: 100, times: 4, mailboxes: 2 },
  ]);
});

test("of too many attachments the larger ones are followed on", () => {
  const largest = new LargestAttachments(100, 50);
  for (let i = 0; i < 60; i++) {
    largest.first(hashOf(`m${i}`), [body(`p${i}`, i < 55 ? 150 : 400)], 1);
    largest.again(hashOf(`m${i}`), 2);
  }
  expect(largest.bytesMin).toBe(200);
  expect(largest.largest(99).map(({ name, times }) => [name, times])).toEqual(
    ["p55", "p56", "p57", "p58", "p59"].map((name) => [name, 2]),
  );
});
