/** What is done with a tree. */
import type { CaseId, Round } from "../report/result.ts";
import type { ToolName } from "../tools/tool.ts";

export interface Rounds {
  readonly first: number;
  readonly unchanged: number;
  readonly cold: number;
  readonly restore: number;
  readonly inspect: number;
  /** Days that are backed up, the first backup not among them. */
  readonly days: number;
}

export interface CaseDefinition {
  readonly id: CaseId;
  readonly title: string;
  /** Of bench/generate.ts; undefined: the real spool. */
  readonly tree: readonly string[] | undefined;
  /** The same mailboxes with fewer messages: does an unchanged server cost what it has or what it changed? */
  readonly smallTree?: readonly string[];
  readonly tools: readonly ToolName[];
  /** Rounds of each step by cyrvault; 0: it is left out. */
  readonly rounds: Rounds;
  /** Of the others, where that is not as often: what is slow and has no target is done once or not at all. */
  readonly peers: Readonly<Partial<Record<ToolName, Partial<Rounds>>>>;
  readonly messages: number;
  readonly floor: boolean;
  /** Once more with little memory. */
  readonly limited: boolean;
  /** On 2 cores, trees and all. */
  readonly expectedMinutes: number;
}

const ALL_TOOLS: readonly ToolName[] = ["cyrvault", "restic", "borg", "bup"];

const ONCE: Partial<Rounds> = { first: 1, unchanged: 1, restore: 1, days: 0 };

const TREE_C = ["--users", "1000", "--folders", "10"];
const CONTENT_C = ["--attachment-share", "0.2", "--document-scale", "0.05", "--text-scale", "0.5"];

const FULL: readonly CaseDefinition[] = [
  {
    id: "A",
    title: "a server with attachments, half of its content repeated",
    tree: ["--users", "200", "--folders", "12", "--messages", "46000"],
    tools: ALL_TOOLS,
    rounds: { first: 3, unchanged: 3, cold: 0, restore: 3, inspect: 2, days: 99 },
    peers: { restic: { days: 3 }, borg: ONCE, bup: ONCE },
    messages: 5,
    floor: true,
    limited: true,
    expectedMinutes: 26,
  },
  {
    id: "B",
    title: "plain list mail, nothing repeated",
    tree: [
      ...["--users", "20", "--folders", "10", "--messages", "40000"],
      ...["--attachment-share", "0", "--repetition", "0"],
    ],
    tools: ALL_TOOLS,
    rounds: { first: 3, unchanged: 3, cold: 0, restore: 1, inspect: 1, days: 0 },
    peers: { restic: { unchanged: 1 }, borg: ONCE, bup: ONCE },
    messages: 3,
    floor: true,
    limited: true,
    expectedMinutes: 7,
  },
  {
    id: "C",
    title: "a million messages in 10,000 mailboxes",
    tree: [...TREE_C, "--messages", "1000000", ...CONTENT_C],
    smallTree: [...TREE_C, "--messages", "100000", ...CONTENT_C],
    tools: ["cyrvault", "restic"],
    rounds: { first: 1, unchanged: 3, cold: 0, restore: 0, inspect: 2, days: 99 },
    peers: { restic: { unchanged: 1, days: 2 } },
    messages: 7,
    floor: false,
    limited: true,
    expectedMinutes: 38,
  },
  {
    id: "D",
    title: "250,000 mailboxes",
    tree: [
      ...["--users", "10000", "--folders", "25", "--messages", "250000"],
      ...["--attachment-share", "0", "--text-scale", "0.2"],
    ],
    tools: ["cyrvault", "restic"],
    rounds: { first: 1, unchanged: 3, cold: 2, restore: 0, inspect: 1, days: 0 },
    peers: { restic: { unchanged: 1, cold: 0 } },
    messages: 0,
    floor: false,
    limited: true,
    expectedMinutes: 14,
  },
];

/** The same on small trees: shows that everything works, and roughly how the tools compare. */
const QUICK: Readonly<Partial<Record<CaseId, Partial<CaseDefinition>>>> = {
  A: {
    tree: ["--users", "20", "--folders", "6", "--messages", "400"],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 1, inspect: 1, days: 2 },
    peers: { restic: { days: 1 }, borg: ONCE, bup: ONCE },
    messages: 1,
    expectedMinutes: 0.7,
  },
  B: {
    tree: [
      ...["--users", "4", "--folders", "5", "--messages", "1000"],
      ...["--attachment-share", "0", "--repetition", "0"],
    ],
    tools: ["cyrvault", "restic"],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 1, inspect: 1, days: 0 },
    peers: {},
    messages: 0,
    limited: false,
    expectedMinutes: 0.4,
  },
  C: {
    tree: ["--users", "30", "--folders", "10", "--messages", "2500", ...CONTENT_C],
    smallTree: ["--users", "30", "--folders", "10", "--messages", "250", ...CONTENT_C],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 0, inspect: 1, days: 2 },
    peers: { restic: { unchanged: 1, days: 1 } },
    messages: 2,
    expectedMinutes: 0.8,
  },
  D: {
    tree: [
      ...["--users", "40", "--folders", "25", "--messages", "1000"],
      ...["--attachment-share", "0", "--text-scale", "0.2"],
    ],
    rounds: { first: 1, unchanged: 1, cold: 0, restore: 0, inspect: 1, days: 0 },
    limited: false,
    expectedMinutes: 0.4,
  },
};

const SPOOL: CaseDefinition = {
  id: "S",
  title: "a real spool",
  tree: undefined,
  tools: ALL_TOOLS,
  rounds: { first: 1, unchanged: 3, cold: 0, restore: 1, inspect: 1, days: 0 },
  peers: { borg: ONCE, bup: ONCE },
  messages: 5,
  floor: true,
  limited: true,
  expectedMinutes: Number.NaN,
};

export function caseDefinitions(round: Round): readonly CaseDefinition[] {
  if (round === "spool") return [SPOOL];
  return round === "full" ? FULL : FULL.map((full) => ({ ...full, ...QUICK[full.id] }));
}

export function roundsOf({ rounds, peers }: CaseDefinition, step: keyof Rounds, tool: ToolName): number {
  return peers[tool]?.[step] ?? rounds[step];
}

/** One line each of what will be done. */
export function planLines(definition: CaseDefinition, tools: readonly ToolName[]): string[] {
  const { id, title, floor, rounds, messages, expectedMinutes, limited, smallTree } = definition;
  const line = (name: string, parts: readonly string[]) =>
    parts.length === 0 ? [] : [`  ${name}: ${parts.join(", ")}`];
  const times = (name: string, step: keyof Rounds) =>
    line(
      name,
      tools.flatMap((tool) => {
        const count = roundsOf(definition, step, tool);
        return count === 0 ? [] : [timesText(tool, count)];
      }),
    );
  const own = (name: string, count: number) => line(name, count === 0 ? [] : [timesText("cyrvault", count)]);
  const time = Number.isNaN(expectedMinutes) ? "time unknown" : `about ${expectedMinutes} min`;
  return [
    `${id}: ${title} (${time})`,
    ...times("first backup", "first"),
    ...(floor ? ["  the floor: zstd -19 --long=27"] : []),
    ...times("nothing changed, warm", "unchanged"),
    ...times("nothing changed, cold", "cold"),
    ...(smallTree === undefined ? [] : own("nothing changed, fewer messages", rounds.unchanged)),
    ...times("restore", "restore"),
    ...own("one message", messages),
    ...own("check, rebuild-index", rounds.inspect),
    ...(limited ? ["  once more with 256 MB: cyrvault, where control groups allow it"] : []),
    ...times("days, from day 2", "days"),
    ...(rounds.days > 0 && rounds.restore > 0 ? ["  restore after the days: cyrvault once"] : []),
  ];
}

function timesText(tool: ToolName, count: number): string {
  return `${tool} ${count === 1 ? "once" : `${count} times`}`;
}
