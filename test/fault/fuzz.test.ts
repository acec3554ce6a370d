/** All parsers, for a minute together; by hand for longer: test/fuzz/run.ts, or CYRVAULT_FUZZ_SECONDS. */
import { expect, test } from "vitest";
import { saveFailure } from "../fuzz/corpus.ts";
import { fuzz } from "../fuzz/fuzz.ts";
import { FUZZ_TARGETS } from "../fuzz/targets.ts";

const SECONDS = Number(process.env["CYRVAULT_FUZZ_SECONDS"] ?? 60);
// The same for everybody who tests a change; other ones by hand.
const SEED = Number(process.env["CYRVAULT_FUZZ_SEED"] ?? 20_261_122);
/** Beside its share: a target makes its seeds, the first one starts a thread. */
const START_MS = 5000;

test("whatever bytes a parser is given, it answers or refuses", {
  timeout: SECONDS * 2000 + FUZZ_TARGETS.length * START_MS,
}, async () => {
  const seconds = SECONDS / FUZZ_TARGETS.length;
  const lines: string[] = [];
  let inputs = 0;
  const failures: string[] = [];
  for (const target of FUZZ_TARGETS) {
    const result = await fuzz(target, { seed: SEED, seconds });
    inputs += result.inputs;
    lines.push(`${target.name} ${result.inputs} (${result.answered} taken for sound)`);
    for (const failure of result.failures) failures.push(`${saveFailure(failure)}\n${failure.what}`);
  }
  console.log(`${inputs} fuzz inputs, seed ${SEED}: ${lines.join(", ")}`);
  expect(failures).toEqual([]);
  expect(inputs).toBeGreaterThan(FUZZ_TARGETS.length);
});
