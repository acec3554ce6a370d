/** The result as a page. Pure. */
import { bytesText, countText, secondsText, spreadText } from "./format.ts";
import type { BenchResult, CaseResult, StepResult, TreeFacts } from "./result.ts";
import { targetRows } from "./targets.ts";

/** @param charts - paths of images as the page names them. */
export function resultPage(result: BenchResult, charts: readonly string[]): string {
  const { machine, tools, round, time, command, notes } = result;
  return [
    `# Benchmark of ${time.slice(0, 10)}, ${ROUND_TEXT[round]}`,
    `Made with \`${command}\` from ${machine.commit}.`,
    list([
      `${machine.cpu}, ${machine.cores} cores, ${bytesText(machine.memoryBytes)} of memory`,
      `${machine.distribution}, Linux ${machine.kernel}, Node ${machine.node}; trees and repositories on the same ${machine.fileSystem} file system`,
      ...Object.entries(tools).map(([name, version]) => `${name}: ${version}`),
      ...notes,
    ]),
    ...charts.map((path) => `![${path.replace(/.*\/|\.svg$/g, "")}](${path})`),
    "## Targets",
    ...(round === "full" ? [] : ["The targets are meant for the full round; here they are for orientation."]),
    table(
      ["", "what", "target", "measured", "met"],
      targetRows(result).map(({ caseId, what, target, measured, met }) => [
        caseId,
        what,
        target,
        measured,
        met === undefined ? "–" : met ? "yes" : "**no**",
      ]),
    ),
    ...result.cases.flatMap(casePart),
    "",
  ].join("\n\n");
}

const ROUND_TEXT = {
  quick: "quick round on small trees",
  full: "full round",
  spool: "a real spool",
} as const;

function casePart(result: CaseResult): string[] {
  const { id, title, tree, smallTree, floor, steps, limited, notes, seconds } = result;
  const limitedRuns = limited !== undefined && "runs" in limited ? limited.runs : [];
  return [
    `## ${id}: ${title}`,
    list([
      treeText(tree),
      ...(smallTree === undefined ? [] : [`with fewer messages: ${treeText(smallTree)}`]),
      ...notes,
      `the whole case took ${countText(seconds / 60, 1)} minutes`,
    ]),
    table(
      ["step", "tool", "wall time", "user + system", "peak private memory", "not backed by files", ""],
      steps.map(stepCells),
    ),
    ...(limitedRuns.length === 0
      ? []
      : [
          "With little memory (memory.max, no swap):",
          table(
            ["step", "wall time", "exit code", "killed", "peak, page cache included"],
            limitedRuns.map(({ step, seconds, exitCode, oomKills, peakBytes }) => [
              step,
              secondsText(seconds),
              String(exitCode),
              String(oomKills),
              peakBytes === undefined ? "–" : bytesText(peakBytes),
            ]),
          ),
        ]),
    ...(floor === undefined
      ? []
      : [
          `The floor: ${bytesText(floor.mailBytes)} of unique mail parts become ${bytesText(floor.mailCompressed)}, ` +
            `${bytesText(floor.otherBytes)} of unique other files ${bytesText(floor.otherCompressed)}.`,
        ]),
    "Commands:",
    `\`\`\`sh\n${[
      ...steps.flatMap(({ step, tool, commands }) => [`# ${step}, ${tool}`, ...commands]),
      ...(floor === undefined ? [] : ["# the floor", ...floor.commands]),
    ].join("\n")}\n\`\`\``,
  ];
}

function treeText({ messages, mailboxes, files, bytes, allocatedBytes, command }: TreeFacts): string {
  return (
    `${countText(messages)} messages in ${countText(mailboxes)} mailboxes, ${countText(files)} files, ${bytesText(bytes)} ` +
    `(${bytesText(allocatedBytes)} on disk): \`${command}\``
  );
}

function stepCells({ step, tool, samples, facts }: StepResult): string[] {
  const good = samples.filter(({ failure }) => failure === undefined);
  const failure = samples.find((sample) => sample.failure !== undefined)?.failure;
  const peak = (values: readonly number[]) => (values.length === 0 ? "–" : bytesText(Math.max(...values)));
  const { repositoryBytes, objects, differences, blockBytesOpened, blockBytesNeeded } = facts;
  const more = [
    ...(repositoryBytes === undefined ? [] : [`repository ${bytesText(repositoryBytes)}`]),
    ...(objects === undefined ? [] : [`${countText(objects)} objects`]),
    ...(differences === undefined
      ? []
      : [differences === 0 ? "equals the source" : `${differences} differences`]),
    ...(blockBytesOpened === undefined || blockBytesNeeded === undefined
      ? []
      : [`blocks of ${bytesText(blockBytesOpened)} opened for ${bytesText(blockBytesNeeded)}`]),
    ...(good.some(({ exitCode }) => exitCode !== 0) ? ["with warnings"] : []),
    ...(failure === undefined ? [] : [`failed: ${oneLine(failure)}`]),
  ];
  return [
    step,
    tool,
    spreadText(
      good.map(({ seconds }) => seconds),
      secondsText,
    ),
    spreadText(
      good.map(({ userSeconds, systemSeconds }) => userSeconds + systemSeconds),
      secondsText,
    ),
    peak(good.map(({ peakPrivateBytes }) => peakPrivateBytes)),
    peak(good.map(({ peakAnonymousBytes }) => peakAnonymousBytes)),
    more.join("; "),
  ];
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replaceAll("|", "\\|");
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `- ${line}`).join("\n");
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
