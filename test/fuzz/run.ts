/** By hand, for as long as one wishes: npx tsx test/fuzz/run.ts [TARGET…] [--seconds N] [--seed S]. */
import { parseArgs } from "node:util";
import { saveFailure } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";
import { FUZZ_TARGETS } from "./targets.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Of each target. */
    seconds: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() >>> 0) },
  },
});
const unknown = positionals.filter((name) => !FUZZ_TARGETS.some((target) => target.name === name));
if (unknown.length > 0)
  throw new Error(
    `no target ${unknown.join(", ")}; there are ${FUZZ_TARGETS.map(({ name }) => name).join(", ")}`,
  );
const seed = Number(values.seed);
console.log(`seed ${seed}`);
let inputs = 0;
let failed = 0;
for (const target of FUZZ_TARGETS) {
  if (positionals.length > 0 && !positionals.includes(target.name)) continue;
  const result = await fuzz(target, { seed, seconds: Number(values.seconds) });
  inputs += result.inputs;
  failed += result.failures.length;
  console.log(
    `${target.name}: ${result.inputs} inputs, ${result.answered} taken for sound, ${result.failures.length} failures`,
  );
  for (const failure of result.failures) console.log(`${saveFailure(failure)}\n${failure.what}\n`);
}
console.log(`${inputs} inputs, ${failed} failures`);
process.exitCode = failed === 0 ? 0 : 1;
