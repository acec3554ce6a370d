/** One result of several: cases measured one by one. Pure. */
import type { BenchResult, CaseResult, MachineFacts } from "./result.ts";

/**
 * The same case may come twice: the later one counts.
 * @throws {RangeError} for results of different rounds or machines, which do not compare.
 */
export function togetherOf(results: readonly BenchResult[]): BenchResult {
  const ordered = results.toSorted((a, b) => (a.time < b.time ? -1 : 1));
  const last = ordered.at(-1);
  if (last === undefined) throw new RangeError("no results are given");
  for (const { round, machine } of ordered)
    if (round !== last.round || sameMachine(machine) !== sameMachine(last.machine))
      throw new RangeError("results of different rounds or machines do not compare");
  const cases = new Map<string, CaseResult>();
  for (const result of ordered) for (const each of result.cases) cases.set(each.id, each);
  const commits = [...new Set(ordered.map(({ machine }) => machine.commit))];
  return {
    ...last,
    command: ordered.map(({ command }) => command).join("; "),
    machine: { ...last.machine, commit: commits.join(", ") },
    notes: [...new Set(ordered.flatMap(({ notes }) => notes))],
    cases: [...cases.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

function sameMachine({
  cpu,
  cores,
  memoryBytes,
  kernel,
  distribution,
  node,
  fileSystem,
}: MachineFacts): string {
  return JSON.stringify([cpu, cores, memoryBytes, kernel, distribution, node, fileSystem]);
}
