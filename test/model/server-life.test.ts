/**
 * The life of a server over years. `CYRVAULT_SEED=7` is another life, `CYRVAULT_ROUNDS=1000` a longer one; the same seed is
 * the same life.
 */
import { expect, test } from "vitest";
import { LivingServer } from "./living-server.ts";

const SEED = Number(process.env["CYRVAULT_SEED"] ?? 1);
const STEPS = Number(process.env["CYRVAULT_ROUNDS"] ?? 80);

test("whatever happens to a server over years, every backup that is kept gives it back as it was", async () => {
  using living = await LivingServer.make(SEED);
  for (let step = 0; step < STEPS; step++) {
    const problems = step === STEPS - 1 ? await living.lookAtAll() : await living.step();
    if (problems.length > 0)
      expect.fail(
        [
          `seed ${SEED}, step ${step}:`,
          ...problems.slice(0, 20),
          "before:",
          ...living.history.slice(-40),
        ].join("\n"),
      );
  }
  console.log(`${(living.days / 365).toFixed(1)} years from seed ${SEED}: ${JSON.stringify(living.counts)}`);
  for (const what of ["backup", "forgotten", "prune", "swept", "death", "restore", "rename", "compared"])
    expect(living.counts[what], what).toBeGreaterThan(0);
});
