/**
 * What a repository would take, and cost, under other parameters: `npx tsx bench/micro/parameters.ts STUDY DIR [--megabytes N]
 * [--json FILE]`. DIR holds message files (`1.`, `2.` … or `*.eml`), at any depth: a spool. A study varies one parameter and
 * leaves the others as they are in the code; all its variants take turns every 8 MB, so that a busy machine is unfair to none.
 * Processor time is that of splitting, naming and compressing new messages, without reading.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type CorpusFacts, readCorpus } from "../parameters/corpus.ts";
import { Trial, type TrialResult } from "../parameters/trial.ts";
import { STUDIES } from "../parameters/variant.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { megabytes: { type: "string", default: "100000" }, json: { type: "string" } },
});
const [study = "", directory] = positionals;
const variants = STUDIES[study];
if (variants === undefined || directory === undefined) {
  console.error(`usage: parameters.ts ${Object.keys(STUDIES).join("|")} DIR [--megabytes N] [--json FILE]`);
  process.exit(2);
}

const facts: CorpusFacts = { files: 0, bytes: 0, messages: 0, messageBytes: 0 };
const trials = variants.map((variant) => new Trial(variant));
let turn = 0;
for (const { messages } of readCorpus(directory, Number(values.megabytes) * 1e6, facts)) {
  trials.forEach((_, i) => {
    trials[(i + turn) % trials.length]?.add(messages);
  });
  turn++;
}
const results = trials.map((trial) => trial.finish(facts.files));

console.log(
  `${study}: ${facts.files} files, ${mb(facts.bytes)} MB; ${facts.messages} different ones, ${mb(facts.messageBytes)} MB`,
);
console.log(
  "| | stored MB | text | part | dense | objects a message | bookkeeping B a message | split s | sample s | pack s | sum s | opened KB | fetched KB |",
);
console.log(`| --- ${"| --: ".repeat(12)}|`);
for (const result of results) console.log(row(result));
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ study, ...facts, results }, null, 2)}\n`);

function row(result: TrialResult): string {
  const cells = [
    result.name,
    mb(result.storedBytes),
    mb(result.textBytes),
    mb(result.partBytes),
    mb(result.denseBytes),
    result.objectsAMessage.toFixed(2),
    result.bookkeepingAMessage.toFixed(0),
    result.splitSeconds.toFixed(1),
    result.laneSeconds.toFixed(1),
    result.packSeconds.toFixed(1),
    result.totalSeconds.toFixed(1),
    (result.openedBytes / 1e3).toFixed(0),
    (result.fetchedBytes / 1e3).toFixed(0),
  ];
  return `| ${cells.join(" | ")} |`;
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
