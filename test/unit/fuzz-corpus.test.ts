import { expect, test } from "vitest";
import { readCorpus } from "../fuzz/corpus.ts";
import { FuzzRandom, inputSeed, mutate } from "../fuzz/mutate.ts";
import { runInput } from "../fuzz/target.ts";
import { FUZZ_TARGETS } from "../fuzz/targets.ts";

const CORPUS = readCorpus();

test("what a parser once stumbled over it answers or refuses", async () => {
  for (const { target, name, input } of CORPUS) {
    const known = FUZZ_TARGETS.find((one) => one.name === target);
    if (known === undefined) throw new Error(`the corpus has ${target}, which is no target`);
    await expect(runInput(known, input), `${target}/${name}`).resolves.toMatch(/answered|refused/);
  }
});

test("every target takes one of its seeds for sound", async () => {
  const refusing: string[] = [];
  for (const target of FUZZ_TARGETS) {
    const outcomes = new Set<string>();
    for (const seed of (await target.seeds()).slice(0, 40)) outcomes.add(await runInput(target, seed));
    if (!outcomes.has("answered")) refusing.push(target.name);
  }
  expect(refusing).toEqual([]);
});

test("the same seed makes the same inputs, and another one others", () => {
  const seed = Buffer.alloc(200, "seed");
  const inputs = (number: number) =>
    Array.from({ length: 50 }, (_, i) =>
      mutate(seed, [seed], new FuzzRandom(inputSeed(number, "x", i))).toString("hex"),
    );
  expect(inputs(1)).toEqual(inputs(1));
  expect(inputs(1)).not.toEqual(inputs(2));
  expect(new Set(inputs(1)).size).toBeGreaterThan(40);
});

test("whatever else a target throws is a failure, and so is memory that its input does not account for", async () => {
  const target = { name: "x", seeds: () => [], codes: ["USAGE"] as const };
  const run = (work: () => unknown) => runInput({ ...target, run: work }, Buffer.alloc(1));
  await expect(run(() => null)).resolves.toBe("answered");
  await expect(
    run(() => {
      throw new RangeError("out of range");
    }),
  ).rejects.toThrow(RangeError);
  let held: Buffer | undefined;
  await expect(
    run(() => {
      held = Buffer.alloc(100 * 1024 * 1024);
    }),
  ).rejects.toThrow("bytes of buffers");
  expect(held?.length).toBeGreaterThan(0);
});
