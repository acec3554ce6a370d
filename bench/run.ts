/**
 * Measures cyrvault beside restic, borg and bup: `npx tsx bench/run.ts quick`, `npx tsx bench/run.ts full --case A,B`.
 * What is measured and how: docs/benchmarks.md.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type CaseDefinition, caseDefinitions, planLines } from "./cases/case.ts";
import { runCase, type Setup } from "./cases/run-case.ts";
import { charts } from "./report/charts.ts";
import { buildId, machineFacts, versionOf } from "./report/machine.ts";
import { resultPage } from "./report/markdown.ts";
import { type BenchResult, type CaseResult, RESULT_VERSION, type Round } from "./report/result.ts";
import { togetherOf } from "./report/together.ts";
import { borg } from "./tools/borg.ts";
import { bup } from "./tools/bup.ts";
import { Cyrvault } from "./tools/cyrvault.ts";
import { restic } from "./tools/restic.ts";
import type { Tool } from "./tools/tool.ts";
import { generatedTree } from "./trees/tree.ts";

const HELP = `usage: npx tsx bench/run.ts quick|full [options]
       npx tsx bench/run.ts --report FILE.json...
       npx tsx bench/run.ts --spool IMAPD_CONF [--root DIR] [options]
  --case A,B,C,D   only these cases
  --days N         no more than so many days after the first backup
  --note TEXT      stands in the result: what else the machine had to do
  --tools LIST     of cyrvault, restic, borg, bup; default: what is installed
  --work DIR       trees and repositories; trees stay there; default: cyrvault-bench in the system's temporary directory
  --resume         cases that were measured with the same build, in the same round and --work, are not measured again
  --plan           only print what would be done
  --trees          only make the trees, those that are not there yet
  --report         puts results of the same machine together: one page, and the charts; the later case counts
  --results DIR    default bench/results
  --charts DIR     default docs/charts after a full round with all cases, else beside the results
  --cyrvault FILE  the built command line; default bin/cyrvault.js
  --spool CONF     a real server is backed up instead of generated ones; it is only read
  --root DIR       where that server's snapshot is mounted
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    case: { type: "string" },
    days: { type: "string" },
    note: { type: "string" },
    tools: { type: "string", default: "cyrvault,restic,borg,bup" },
    work: { type: "string", default: join(tmpdir(), "cyrvault-bench") },
    resume: { type: "boolean", default: false },
    plan: { type: "boolean", default: false },
    trees: { type: "boolean", default: false },
    report: { type: "boolean", default: false },
    results: { type: "string", default: "bench/results" },
    charts: { type: "string" },
    cyrvault: { type: "string", default: "bin/cyrvault.js" },
    spool: { type: "string" },
    root: { type: "string", default: "/" },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  process.chdir(join(import.meta.dirname, ".."));
  if (values.report) {
    const results = positionals.map((path) => JSON.parse(readFileSync(path, "utf8")) as BenchResult);
    process.stderr.write(`Results: ${writeResult(togetherOf(results))}\n`);
    return;
  }
  const round = values.spool === undefined ? positionals[0] : "spool";
  if (values.help || !(round === "quick" || round === "full" || round === "spool")) {
    process.stdout.write(HELP);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const definitions = chosenCases(round);
  const work = resolve(values.work);
  mkdirSync(work, { recursive: true });
  const cyrvault = new Cyrvault(values.cyrvault);
  const { tools, versions, notes } = await findTools(cyrvault);
  if (values.note !== undefined) notes.push(values.note);
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const names = tools.map(({ name }) => name);
  for (const definition of definitions)
    planLines(
      definition,
      names.filter((name) => definition.tools.includes(name)),
    ).forEach(say);
  const minutes = definitions.reduce((sum, { expectedMinutes }) => sum + expectedMinutes, 0);
  say(
    `In ${work}, ${Number.isNaN(minutes) ? "time unknown" : `about ${minutes.toFixed(0)} minutes on 2 cores`}.`,
  );
  if (values.plan) return;
  if (values.trees) {
    await makeTrees(definitions, join(work, "trees"), cyrvault, say);
    return;
  }

  const spool = values.spool === undefined ? undefined : { imapdConf: values.spool, root: values.root };
  const passwordFile = join(work, "password");
  writeFileSync(passwordFile, "benchmark\n");
  const setup: Setup = { tools, cyrvault, work, passwordFile, spool, say };
  const machine = machineFacts(work);
  const cases: CaseResult[] = [];
  for (const definition of definitions)
    cases.push(
      await measuredOrKept(definition, setup, join(work, "done", `${round}-${buildId(values.cyrvault)}`)),
    );
  const result: BenchResult = {
    version: RESULT_VERSION,
    round,
    time: new Date().toISOString(),
    command: ["npx tsx bench/run.ts", ...process.argv.slice(2)].join(" "),
    machine,
    tools: versions,
    notes,
    cases,
  };
  say(`Results: ${writeResult(result)}`);
}

function chosenCases(round: Round): readonly CaseDefinition[] {
  const all = caseDefinitions(round).map(withDaysAtMost);
  if (values.case === undefined) return all;
  const wanted = values.case.split(",");
  const unknown = wanted.filter((id) => !all.some((definition) => definition.id === id));
  if (unknown.length > 0) throw new RangeError(`there is no case ${unknown.join(", ")}`);
  return all.filter(({ id }) => wanted.includes(id));
}

function withDaysAtMost(definition: CaseDefinition): CaseDefinition {
  if (values.days === undefined) return definition;
  const days = Number(values.days);
  if (!Number.isSafeInteger(days) || days < 0) throw new RangeError(`--days ${values.days}: how many?`);
  const { rounds } = definition;
  return { ...definition, rounds: { ...rounds, days: Math.min(days, rounds.days) } };
}

async function findTools(cyrvault: Cyrvault): Promise<{
  tools: Tool[];
  versions: BenchResult["tools"];
  notes: string[];
}> {
  const wanted = values.tools.split(",");
  const tools: Tool[] = [];
  const versions: Record<string, string> = {};
  const notes: string[] = [];
  for (const tool of [cyrvault, restic, borg, bup]) {
    if (tool !== cyrvault && !wanted.includes(tool.name)) continue;
    const version = await versionOf(tool);
    if (typeof version === "string") {
      tools.push(tool);
      versions[tool.name] = version;
    } else if (tool === cyrvault)
      throw new Error("cyrvault does not start: npm run build", { cause: version });
    else notes.push(`${tool.name} is not measured: ${version.message}`);
  }
  const zstd = await versionOf({ version: { argv: ["zstd", "--version"] } });
  if (typeof zstd === "string") versions["zstd"] = zstd;
  else notes.push(`zstd, for the floor: ${zstd.message}`);
  return { tools, versions, notes };
}

async function makeTrees(
  definitions: readonly CaseDefinition[],
  directory: string,
  cyrvault: Cyrvault,
  say: (line: string) => void,
): Promise<void> {
  for (const { id, tree, smallTree } of definitions) {
    for (const parameters of [tree, smallTree]) {
      if (parameters === undefined) continue;
      const { facts } = await generatedTree(parameters, directory, cyrvault);
      say(
        `${id}: ${facts.messages} messages in ${facts.mailboxes} mailboxes, ${Math.round(facts.bytes / 1e6)} MB`,
      );
    }
  }
}

/** @param directory - of what was measured with this build. */
async function measuredOrKept(
  definition: CaseDefinition,
  setup: Setup,
  directory: string,
): Promise<CaseResult> {
  const file = join(directory, `${definition.id}.json`);
  if (values.resume && existsSync(file)) {
    setup.say(`${definition.id}: kept from ${file}`);
    return JSON.parse(readFileSync(file, "utf8"));
  }
  const result = await runCase(definition, setup);
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, JSON.stringify(result));
  return result;
}

/** @returns where it is. */
function writeResult(result: BenchResult): string {
  const { round, time, cases } = result;
  const stem = join(values.results, `${time.slice(0, 10)}-${round}-${cases.map(({ id }) => id).join("")}`);
  mkdirSync(values.results, { recursive: true });
  writeFileSync(`${stem}.json`, `${JSON.stringify(result, undefined, 1)}\n`);
  const drawn = charts(result).map(({ name, svg }) => {
    const path =
      values.charts === undefined && !(round === "full" && cases.length === caseDefinitions(round).length)
        ? `${stem}-${name}.svg`
        : join(values.charts ?? "docs/charts", `${name}.svg`);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, svg);
    return relative(values.results, path);
  });
  writeFileSync(`${stem}.md`, resultPage(result, drawn));
  return `${stem}.md`;
}

await main();
