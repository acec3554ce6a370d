/** Which figures are drawn. Pure. */
import type { ToolName } from "../tools/tool.ts";
import { type Bar, barChart, type Panel } from "./bar-chart.ts";
import { bytesText, countText, secondsText } from "./format.ts";
import type { BenchResult, CaseResult, StepName } from "./result.ts";
import { medianSeconds, repositoryBytes } from "./targets.ts";

export interface Chart {
  /** Without its ending. */
  readonly name: string;
  readonly svg: string;
}

const TOOLS: readonly ToolName[] = ["cyrvault", "restic", "borg", "bup"];
/** Those that there are targets for. */
const TIMES: readonly (readonly [step: StepName, title: string, cases: string])[] = [
  ["first backup", "First backup", "ABS"],
  ["nothing changed", "Nothing changed", "CS"],
  ["day", "A day with 5 % of mailboxes touched", "AC"],
  ["restore", "Full restore", "AS"],
];

/** Panels without anything to compare are left out, and so are charts without panels. */
export function charts({ cases }: BenchResult): Chart[] {
  const sizes = cases.flatMap(sizePanel);
  const times = TIMES.flatMap(([step, title, wanted]) =>
    cases.filter(({ id }) => wanted.includes(id)).flatMap((result) => timePanel(result, step, title)),
  );
  return [
    ...(sizes.length === 0
      ? []
      : [{ name: "repository-size", svg: barChart("Size of the repository", sizes) }]),
    ...(times.length === 0 ? [] : [{ name: "time", svg: barChart("Time", times) }]),
  ];
}

function sizePanel(result: CaseResult): Panel[] {
  const { floor } = result;
  const bars = [
    bar("the server", result.tree.bytes, bytesText),
    ...TOOLS.flatMap((tool) => toolBar(tool, repositoryBytes(result, tool), bytesText)),
    ...(floor === undefined
      ? []
      : [bar("the floor", floor.mailCompressed + floor.otherCompressed, bytesText)]),
  ];
  return bars.length < 3 ? [] : [{ title: caseTitle(result), bars }];
}

function timePanel(result: CaseResult, step: StepName, title: string): Panel[] {
  const bars = TOOLS.flatMap((tool) => toolBar(tool, medianSeconds(result, step, tool), secondsText));
  return bars.length < 2 ? [] : [{ title: `${title} · ${caseTitle(result)}`, bars }];
}

function caseTitle({ id, title, tree }: CaseResult): string {
  return id === "C" || id === "D" || id === "S"
    ? `${id}: ${countText(tree.messages)} messages in ${countText(tree.mailboxes)} mailboxes`
    : `${id}: ${title}`;
}

function toolBar(tool: ToolName, value: number | undefined, format: (value: number) => string): Bar[] {
  return value === undefined ? [] : [{ ...bar(tool, value, format), highlighted: tool === "cyrvault" }];
}

function bar(label: string, value: number, format: (value: number) => string): Bar {
  return { label, value, text: format(value), highlighted: false };
}
