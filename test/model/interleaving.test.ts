/**
 * Several writers, readers, prunes, forgets and undeletes in one repository, call by call in an order that a seed
 * decides; any of them may die at any call. `CYRVAULT_SEED=7` begins elsewhere, `CYRVAULT_ROUNDS=1000` goes on for longer.
 */
import { createCipheriv } from "node:crypto";
import { expect, test, vi } from "vitest";
import { Random } from "../../src/sample/random.ts";
import { World } from "./world.ts";

const SEED = Number(process.env["CYRVAULT_SEED"] ?? 1);
const ROUNDS = Number(process.env["CYRVAULT_ROUNDS"] ?? 12);

/** Ids of packs and runs are random: from the seed here, so that it replays. */
const ids = vi.hoisted(() => ({ next: (_: number): Buffer => Buffer.alloc(0) }));
vi.mock("node:crypto", async (original) => ({
  ...(await original<typeof import("node:crypto")>()),
  randomBytes: (count: number) => ids.next(count),
}));

function idsFrom(seed: number): void {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(seed >>> 0);
  const stream = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  ids.next = (count) => stream.update(Buffer.alloc(count));
}

test(
  "whatever the order, and whoever dies: what is listed is whole, what is forgotten can be brought back, and what is of no use goes",
  async () => {
    const sums: Record<string, number> = { rounds: 0, steps: 0, deaths: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const seed = SEED + round;
      idsFrom(seed);
      const random = new Random(seed);
      const world = await World.make(random, random.pick([0, 0.002, 0.006]));
      await world.run(30, random.pick([3, 5, 7]));
      if (world.violations.length === 0) await world.settle();
      if (world.violations.length > 0)
        expect.fail(
          [
            `seed ${seed}:`,
            ...world.violations,
            "the last steps:",
            ...world.scheduler.trace.slice(-120),
          ].join("\n"),
        );
      const { steps, deaths } = world.scheduler;
      for (const [name, count] of Object.entries({ ...world.counts, steps, deaths, rounds: 1 }))
        sums[name] = (sums[name] ?? 0) + count;
    }
    console.log(`interleavings from seed ${SEED}: ${JSON.stringify(sums)}`);
    expect(sums).toMatchObject({ rounds: ROUNDS });
    for (const name of [
      "backups",
      "prunes",
      "swept",
      "repacked",
      "forgotten",
      "undeleted",
      "read",
      "refused",
      "deaths",
    ])
      expect(sums[name], name).toBeGreaterThan(0);
  },
  60_000 + ROUNDS * 20_000,
);
