/** Times pieces of work against each other: they take turns, and processor time counts, so a busy machine is unfair to none. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

const ROUNDS = 3;
const ROUND_SECONDS = 0.1;

export interface Contender {
  readonly name: string;
  /** That `work` goes through; or how many things it does, with `unit`. */
  readonly bytes: number;
  /** Instead of megabytes. */
  readonly unit?: string;
  readonly work: () => void | Promise<void>;
}

/** Prints a table, the best round of each; with `--json FILE` among the arguments also that. */
export async function compare(contenders: readonly Contender[]): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: "string" } } });
  const best = contenders.map(() => 0);
  for (let round = 0; round < ROUNDS; round++)
    for (const [i, { bytes, work }] of contenders.entries())
      best[i] = Math.max(best[i] as number, await rateOf(bytes, work));
  const results = contenders.map(({ name, unit }, i) => ({
    name,
    perSecond: Math.round(unit === undefined ? (best[i] as number) / 1e6 : (best[i] as number)),
    unit: unit ?? "MB",
  }));
  console.log("| | a second |\n| --- | --: |");
  for (const { name, perSecond, unit } of results) console.log(`| ${name} | ${perSecond} ${unit} |`);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ node: process.version, results }, null, 2)}\n`);
}

async function rateOf(bytes: number, work: Contender["work"]): Promise<number> {
  const started = process.cpuUsage();
  let times = 0;
  let seconds = 0;
  while (seconds < ROUND_SECONDS) {
    await work();
    times++;
    const { user, system } = process.cpuUsage(started);
    seconds = (user + system) / 1e6;
  }
  return (bytes * times) / seconds;
}

/** The same bytes at each call; they don't shrink. */
export function noise(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  let state = 1;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
